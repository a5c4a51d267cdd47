"""Word matching of the built-in search. Case and accents are ignored."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from search.words import Term

_PLAIN = {
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
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Scripts without spaces: Thai, Lao, Burmese, Khmer, Japanese, Chinese.

Each of their characters counts as a word.
"""


class _Characters(dict[int, str | None]):
    """Translation table for the characters of a folded text, filled on demand."""

    def __missing__(self, code: int) -> str | None:
        char = chr(code)
        result: str | None = char
        if unicodedata.combining(char):
            result = None
        elif unicodedata.category(char)[0] in "PSZC":
            result = " "
        elif _UNSPACED.match(char):
            result = f" {char} "
        self[code] = result
        return result


_characters = _Characters()


def _apart(text: str) -> str:
    """Return the text in lower case, with compatible characters unified and accents decomposed."""
    text = text.casefold()
    if not text.isascii():
        for letter, plain in _PLAIN.items():
            text = text.replace(letter, plain)
        text = unicodedata.normalize("NFKD", text)
    return text


def words(text: str) -> list[str]:
    """Return the words of a text: runs of letters and digits, without accents.

    In scripts without spaces each character is a word.
    """
    return _apart(text).translate(_characters).split()


def _line(text: str) -> str:
    """Return the words of a text with a space around each.

    Whole words and consecutive words can then be found as substrings.
    """
    return f" {' '.join(words(text))} "


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of an entry that `q` searches, best first."""

    codes: Sequence[str]
    names: Sequence[str]
    others: Sequence[str]


class Matcher:
    """Finds entries that contain every term.

    A word with a mark inside (`x-ray`, `A00.1`) matches as consecutive words.
    """

    def __init__(self, terms: Iterable[Term]) -> None:
        lines = [(_line(term.text), term.prefix) for term in terms]
        self._wanted = [line.rstrip(" ") if prefix else line for line, prefix in lines]
        apart = {word for line, _ in lines for word in line.split()}
        self._ascii = [word.encode() for word in apart if word.isascii()]
        self._strange = [word for word in apart if not word.isascii()]
        self._whole = " " + " ".join(line.strip() for line, _ in lines) + " "

    def may_hold(self, body: bytes) -> bool:
        """Return False when an entry can't match. This is a cheap check of the JSON bytes."""
        if body.isascii():
            return not self._strange and _all_in(self._ascii, body.lower())
        text = _apart(body.decode())
        raw = text.encode(
            "ascii", "ignore"
        )  # drops accents, so the letters of a word stay together
        if not _all_in(self._ascii, raw):
            return False
        return not self._strange or all(
            word in text.translate(_characters) for word in self._strange
        )

    def rank(self, texts: Texts) -> int | None:
        """Return how well an entry matches: 3 is best, None is no match.

        3: a code equals the whole search text. 2: a name does. 1: the names contain all terms.
        0: all texts together contain all terms.
        """
        codes, names = [_line(text) for text in texts.codes], [_line(text) for text in texts.names]
        everything = "\n".join([*codes, *names, *map(_line, texts.others)])
        if not all(wanted in everything for wanted in self._wanted):
            return None
        if self._whole in codes:
            return 3
        if self._whole in names:
            return 2
        together = "\n".join(names)
        return 1 if all(wanted in together for wanted in self._wanted) else 0


def _all_in(words: Iterable[bytes], raw: bytes) -> bool:
    return all(word in raw for word in words)
