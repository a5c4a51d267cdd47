"""Words: how texts and `q` are taken apart, with case and accents folded. Pure.

Nothing of a query language gets through here: a term holds letters, digits and marks only.
"""

import re
import unicodedata
from dataclasses import dataclass

_PIECE = re.compile(r'"([^"]*)"(\*?)|([^\s"]+)|"')
_PLAIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "þ": "th", "æ": "ae", "œ": "oe"})
"""Letters that Unicode does not take apart into a plain one and an accent."""
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
"""Scripts written without spaces: Thai, Lao, Burmese, Khmer, Japanese, Chinese. Each of their characters counts as a word."""


@dataclass(frozen=True, slots=True)
class Term:
    """What one word or phrase of `q` looks for: these words, one after the other."""

    words: tuple[str, ...]
    prefix: bool = False  # the last of them may go on


class _Characters(dict[int, str | None]):
    """What becomes of each character of a folded text; filled as they are met, so it is as large as the scripts in use."""

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


def fold(text: str) -> str:
    """Lower case; compatible forms are made one. Accents are left as characters of their own, which `words` drops."""
    text = text.casefold()
    return text if text.isascii() else unicodedata.normalize("NFKD", text.translate(_PLAIN))


def words(text: str) -> list[str]:
    """The words of a text: runs of letters and digits, accents dropped; single characters of scripts that put no spaces."""
    return fold(text).translate(_characters).split()


def terms(text: str) -> list[Term]:
    """What `q` looks for; all terms must be found. Any text is fine: what is no phrase in quotes and no `*` at an end is plain words.

    A word with a mark inside (`x-ray`, `A00.1`) is a phrase. Without any letter or digit the list is empty: nothing is looked for.
    """
    found: list[Term] = []
    for phrase, star, plain in _PIECE.findall(text):
        inside = tuple(words(phrase or plain))
        if inside:
            found.append(Term(inside, bool(star) or plain.endswith("*")))
    return list(dict.fromkeys(found))
