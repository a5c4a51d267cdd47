"""The terms of a search text, for all engines.

Only quotation marks around a phrase and `*` at the end of a word have a meaning. Everything else is
plain words; no engine's own syntax is recognised.
"""

import re
import unicodedata
from dataclasses import dataclass

MOST_TERMS = 100
"""Most terms. The rest of a longer text is ignored."""
_PLAIN = str.maketrans(
    {
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
)
"""Letters that Unicode does not decompose into a base letter and an accent."""
_PART = re.compile(r'"([^"]*)"\**|([^\s"\0]+)')


@dataclass(frozen=True, slots=True)
class Term:
    """A word, or a phrase: consecutive words in this order."""

    text: str
    phrase: bool = False
    prefix: bool = False  # the word may continue


def apart(text: str) -> str:
    """Return the text in lower case, with compatible characters unified and accents decomposed."""
    text = text.casefold()
    return text if text.isascii() else unicodedata.normalize("NFKD", text.translate(_PLAIN))


def terms(text: str) -> tuple[Term, ...]:
    """Return the distinct terms of `q`. An entry must contain all of them.

    Text without a letter or digit has no terms.
    """
    found: dict[tuple[str, bool, bool], Term] = {}
    for phrase, plain in _PART.findall(unicodedata.normalize("NFC", text)):
        for term in [_phrase(phrase)] if phrase else _words(plain):
            if any(char.isalnum() for char in term.text):
                found.setdefault((term.text.casefold(), term.phrase, term.prefix), term)
                if len(found) == MOST_TERMS:
                    return tuple(found.values())
    return tuple(found.values())


def _phrase(text: str) -> Term:
    words = text.replace("*", " ").replace("\0", " ").split()
    return Term(" ".join(words), phrase=len(words) > 1)


def _words(text: str) -> list[Term]:
    words = [word for word in text.split("*") if word]
    return [
        Term(word, prefix=text.endswith("*") and place == len(words) - 1)
        for place, word in enumerate(words)
    ]
