"""How the built-in search looks for words in texts: case and accents folded. Pure."""

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
"""Letters that Unicode does not take apart into a plain one and an accent."""
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Scripts written without spaces: Thai, Lao, Burmese, Khmer, Japanese, Chinese. Each of their
characters counts as a word.
"""


class _Characters(dict[int, str | None]):
    """What becomes of each character of a folded text; filled as they are met, so it is as large as
    the scripts in use.
    """

    def __missing__(self, code: int) -> str | None:
        char = chr(code)
        made: str | None = char
        if unicodedata.combining(char):
            made = None
        elif unicodedata.category(char)[0] in "PSZC":
            made = " "
        elif _UNSPACED.match(char):
            made = f" {char} "
        self[code] = made
        return made


_characters = _Characters()


def _apart(text: str) -> str:
    """Lower case, one form for compatible characters, accents as characters of their own."""
    text = text.casefold()
    if not text.isascii():
        for letter, plain in _PLAIN.items():
            text = text.replace(letter, plain)
        text = unicodedata.normalize("NFKD", text)
    return text


def words(text: str) -> list[str]:
    """The words of a text: runs of letters and digits, accents dropped; single characters in
    scripts that put no spaces.
    """
    return _apart(text).translate(_characters).split()


def _line(text: str) -> str:
    """A text's words with a space around each, so that a whole word and words in a row are found as
    parts of a string.
    """
    return f" {' '.join(words(text))} "


@dataclass(frozen=True, slots=True)
class Texts:
    """What `q` looks at in one entry, best first."""

    codes: Sequence[str]
    names: Sequence[str]
    others: Sequence[str]


class Matcher:
    """Finds entries that hold every term. A word with a mark inside (`x-ray`, `A00.1`) is read as
    its parts in a row.
    """

    def __init__(self, terms: Iterable[Term]) -> None:
        lines = [(_line(term.text), term.prefix) for term in terms]
        self._wanted = [line.rstrip(" ") if prefix else line for line, prefix in lines]
        apart = {word for line, _ in lines for word in line.split()}
        self._ascii = [word.encode() for word in apart if word.isascii()]
        self._strange = [word for word in apart if not word.isascii()]
        self._whole = " " + " ".join(line.strip() for line, _ in lines) + " "

    def may_hold(self, body: bytes) -> bool:
        """A quick look at published JSON: False when it can't match. Texts in JSON keep their
        letters as they are.
        """
        if body.isascii():
            return not self._strange and _all_in(self._ascii, body.lower())
        text = _apart(body.decode())
        raw = text.encode("ascii", "ignore")  # letters of a word without accents stay together
        if not _all_in(self._ascii, raw):
            return False
        return not self._strange or all(
            word in text.translate(_characters) for word in self._strange
        )

    def rank(self, texts: Texts) -> int | None:
        """How well an entry matches, more is better; None: it does not.

        3: a code is what was asked for; 2: a name is; 1: the names hold all terms; 0: all texts
        together do.
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
