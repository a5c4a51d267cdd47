"""The terms of a search text, for all engines.

Only quotation marks around a phrase and `*` at an end of a word have a meaning. Everything else is
plain words; no engine's own syntax is recognised.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Scripts without spaces (Thai, Lao, Burmese, Khmer, Japanese, Chinese), and Korean syllables.

Each of their characters counts as a word.
"""
MOST_TERMS = 100
"""Most terms. The rest of a longer text is ignored."""
PLAIN = {
    "ø": "o",
    "ł": "l",
    "đ": "d",
    "ð": "d",
    "ħ": "h",
    "ı": "i",
    "þ": "th",
    "æ": "ae",
    "œ": "oe",
}
"""Letters that Unicode does not decompose into a base letter and an accent."""
_TYPOGRAPHIC = {
    **dict.fromkeys("\u2018\u2019\u02bc", "'"),
    **dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff", ""),
}
"""Apostrophes, and invisible characters."""
_MEANINGLESS = str.maketrans(dict.fromkeys('*"\0', " "))
_PART = re.compile(r'"([^"]*)"\**|([^\s"\0]+)')


@dataclass(frozen=True, slots=True)
class Term:
    """A word, or a phrase: consecutive words in this order."""

    text: str
    phrase: bool = False
    prefix: bool = False  # the word may continue
    suffix: bool = False  # the word may begin earlier


class Folding(dict[int, str | None]):
    """A translation table for decomposed texts, filled on demand: it removes accents."""

    def __init__(self, replaced: Mapping[str, str]) -> None:
        super().__init__({ord(char): text for char, text in {**PLAIN, **replaced}.items()})

    def __missing__(self, code: int) -> str | None:
        self[code] = self.folded(chr(code))
        return self[code]

    def folded(self, char: str) -> str | None:
        """Return what stands for a character that is not in the table yet."""
        return None if unicodedata.combining(char) else char


_letters = Folding({})
_exact = Folding(_TYPOGRAPHIC)


def letters(text: str) -> str:
    """Return the text without case and accents, with compatible characters unified."""
    text = text.casefold()
    return text if text.isascii() else unicodedata.normalize("NFKD", text).translate(_letters)


def exact(text: str) -> str:
    """Return the text with all of its signs, but without case, accents and invisible characters.

    Apostrophes are all the same, and so are blanks.
    """
    text = text.casefold()
    if not text.isascii():
        text = unicodedata.normalize("NFD", text).translate(_exact)
    return " ".join(text.split())


def asks(text: str) -> bool:
    """Return whether `q` contains more than blanks, stars and quotation marks."""
    return bool(exact(text.translate(_MEANINGLESS)))


def terms(text: str) -> tuple[Term, ...]:
    """Return the distinct terms of `q`. An entry must contain all of them.

    Text without a letter or digit has no terms.
    """
    found: dict[tuple[str, bool, bool, bool], Term] = {}
    for phrase, plain in _PART.findall(unicodedata.normalize("NFC", text)):
        for term in [_phrase(phrase)] if phrase else _words(plain):
            if any(char.isalnum() for char in term.text):
                kind = term.text.casefold(), term.phrase, term.prefix, term.suffix
                found.setdefault(kind, term)
                if len(found) == MOST_TERMS:
                    return tuple(found.values())
    return tuple(found.values())


def _phrase(text: str) -> Term:
    words = text.replace("*", " ").replace("\0", " ").split()
    return Term(" ".join(words), phrase=len(words) > 1)


def _words(text: str) -> list[Term]:
    words = [word for word in text.split("*") if word]
    return [
        Term(
            word,
            prefix=text.endswith("*") and place == len(words) - 1,
            suffix=text.startswith("*") and place == 0,
        )
        for place, word in enumerate(words)
    ]
