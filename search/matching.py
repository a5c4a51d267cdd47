"""Word matching of the built-in search. Case and accents are ignored."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from search.synonyms import Synonyms
from search.words import Term, apart

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


def words(text: str) -> list[str]:
    """Return the words of a text: runs of letters and digits, without accents.

    In scripts without spaces each character is a word.
    """
    return apart(text).translate(_characters).split()


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

    A word with a mark inside (`x-ray`, `A00.1`) matches as consecutive words. With synonyms, any
    spelling of a term will do.
    """

    def __init__(self, terms: Iterable[Term], synonyms: Synonyms | None = None) -> None:
        wanted = list(terms)
        spellings = [[term.text, *(synonyms.of(term.text) if synonyms else ())] for term in wanted]
        # By term: the lines of which one must be in the texts, and their words.
        self._wanted = [
            [_line(text).rstrip(" ") if term.prefix else _line(text) for text in texts]
            for term, texts in zip(wanted, spellings, strict=True)
        ]
        self._words = [[_Words(text) for text in texts] for texts in spellings]
        self._whole = " " + " ".join(_line(term.text).strip() for term in wanted) + " "

    def may_hold(self, body: bytes) -> bool:
        """Return False when an entry can't match. This is a cheap check of the JSON bytes."""
        if body.isascii():
            raw, text = body.lower(), ""
        else:
            text = apart(body.decode())
            # Drops accents, so the letters of a word stay together.
            raw = text.encode("ascii", "ignore")
        return all(any(words.are_in(raw, text) for words in either) for either in self._words)

    def rank(self, texts: Texts) -> int | None:
        """Return how well an entry matches: 3 is best, None is no match.

        3: a code equals the whole search text. 2: a name does. 1: the names contain all terms.
        0: all texts together contain all terms.
        """
        codes, names = [_line(text) for text in texts.codes], [_line(text) for text in texts.names]
        everything = "\n".join([*codes, *names, *map(_line, texts.others)])
        if not self._are_in(everything):
            return None
        if self._whole in codes:
            return 3
        if self._whole in names:
            return 2
        return 1 if self._are_in("\n".join(names)) else 0

    def _are_in(self, text: str) -> bool:
        return all(any(line in text for line in lines) for lines in self._wanted)


class _Words:
    """The words of one spelling of a term, for a quick check."""

    def __init__(self, text: str) -> None:
        apart = set(words(text))
        self._ascii = [word.encode() for word in apart if word.isascii()]
        self._strange = [word for word in apart if not word.isascii()]

    def are_in(self, raw: bytes, text: str) -> bool:
        """Return whether all occur; `text` is "" when there are only ASCII characters."""
        if not all(word in raw for word in self._ascii):
            return False
        if not self._strange:
            return True
        shown = text.translate(_characters)
        return all(word in shown for word in self._strange)
