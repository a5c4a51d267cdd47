"""Word matching. Both engines take the words of texts and of searches from here.

Case and accents are ignored. The built-in search matches them here, and Solr in its index.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from oclapi.model import Kind, not_retired
from search.synonyms import Synonyms, spellings
from search.words import UNSPACED, Folding, Term, exact, letters, terms

LONGEST = 200
"""Most characters of a word. The rest of a longer one is ignored."""
CODE, NAME, WORDS_OF_CODE, WORDS_OF_NAME, IN_NAMES = 16, 8, 4, 2, 1
"""The parts of a rank: a code or a name is the whole search text, sign for sign or word for word,
or the names contain all terms."""
_ALIKE = {
    "\u0649": "\u064a",  # Arabic and Persian forms of one letter
    "\u06cc": "\u064a",
    "\u06a9": "\u0643",
    "\u0629": "\u0647",
    "\u06c1": "\u0647",
    "\u0640": "",  # only lengthens a word
    "\u02bc": " ",  # an apostrophe
    "\u2044": "\u2044",  # inside of a fraction that is one character
}
_JAMO = re.compile("[\u1100-\u11ff]")
"""The parts of decomposed Korean syllables."""
_BETWEEN = r"(?:[\W_](?:u00..|[bfnrt])?)+"
"""What stands between two words in JSON: signs, some of them as escapes, without backslashes."""


class _Words(Folding):
    """Parts words at signs."""

    def folded(self, char: str) -> str | None:
        kind = unicodedata.category(char)
        if unicodedata.combining(char) or kind == "Cf":  # accents, soft hyphens and joiners
            return None
        if kind == "Nd":
            return str(unicodedata.decimal(char))
        if kind[0] in "PSZC":
            return " "
        return f" {char} " if UNSPACED.match(char) else char


_words = _Words(_ALIKE)


def _parted(text: str) -> str:
    text = text.casefold()
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
        if _JAMO.search(text):
            text = unicodedata.normalize("NFC", letters(text))
    return text.translate(_words)


def words(text: str) -> list[str]:
    """Return the words of a text: runs of letters and digits, without accents.

    In scripts without spaces, and in Korean, each character is a word.
    """
    found = _parted(text).split()
    return found if len(text) <= LONGEST else [word[:LONGEST] for word in found]


def line(text: str) -> str:
    """Return the words of a text, separated by single spaces."""
    return " ".join(words(text))


class Need(NamedTuple):
    """Consecutive words that a text must contain."""

    words: str
    begins: bool = True  # the first one begins here, and not earlier
    ends: bool = True  # the last one ends here, and does not continue

    def inside(self) -> str:
        """Return what a line with a space at both ends contains then."""
        return f"{' ' * self.begins}{self.words}{' ' * self.ends}"


def alternatives(wanted: Sequence[Term], synonyms: Synonyms | None) -> list[list[tuple[Need, ...]]]:
    """Return, for each term, what a text must contain: all needs of one of the spellings."""
    texts = spellings(wanted, synonyms) if synonyms else [[term.text] for term in wanted]
    found = [
        [needs for text in either if (needs := _needs(text, term))]
        for term, either in zip(wanted, texts, strict=True)
    ]
    return [either for either in found if either]


def _needs(text: str, term: Term) -> tuple[Need, ...]:
    """Return what contains the spelling of a term.

    The signs inside a word make it several words, which are consecutive. With a `*` the first or
    last of them may stand elsewhere.
    """
    found = words(text)
    if not found:
        return ()
    begins = not term.suffix or bool(UNSPACED.match(found[0]))
    ends = not term.prefix or bool(UNSPACED.match(found[-1]))
    if len(found) == 1 or (begins and ends):
        return (Need(" ".join(found), begins, ends),)
    first = [] if begins else [Need(found[0], begins=False)]
    last = [] if ends else [Need(found[-1], ends=False)]
    between = found[len(first) : len(found) - len(last)]
    return (*first, *([Need(" ".join(between))] if between else []), *last)


def whole(wanted: Sequence[Term]) -> str:
    """Return the words of all terms, in their order."""
    return " ".join(line(term.text) for term in wanted)


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of an entry that `q` searches, best first."""

    codes: Sequence[str]
    names: Sequence[str]
    others: Sequence[str]


def texts_of(kind: Kind, body: Mapping[str, Any]) -> Texts:
    """Return the texts of a concept or mapping. Retired names and descriptions are left out."""
    if kind == "mapping":
        codes = (body["id"], body["from_concept_code"], body["to_concept_code"])
        both = (body["from_concept_name"], body["to_concept_name"])
        return Texts(codes, [name for name in both if name], _filled([body["external_id"]]))
    names, descriptions = not_retired(body["names"]), not_retired(body["descriptions"])
    external = _filled(part["external_id"] for part in (body, *names, *descriptions))
    return Texts(
        [body["id"]],
        [name["name"] for name in names],
        [*external, *(text["description"] for text in descriptions)],
    )


def _filled(values: Iterable[str | None]) -> list[str]:
    return [value for value in values if value]


class Matcher:
    """Finds entries that contain every term, or that have the whole text as a code or name.

    A word with a mark inside (`x-ray`, `A00.1`) matches as consecutive words. With synonyms, any
    spelling of a term will do.
    """

    def __init__(self, text: str, synonyms: Synonyms | None = None) -> None:
        wanted = terms(text)
        self._wanted = [
            [[need.inside() for need in needs] for needs in either]
            for either in alternatives(wanted, synonyms)
        ]
        self._exact = exact(text)
        self._whole = whole(wanted)
        self._checks = [
            re.compile("|".join(f"(?:{_check(needs)})" for needs in either))
            for either in alternatives(wanted, synonyms)
        ]
        self._signs = [char.encode() for char in self._exact if char not in " '\"\\"]

    def may_hold(self, body: bytes) -> bool:
        """Return False when an entry can't match. This is a cheap check of the JSON bytes."""
        if not self._checks:
            return all(sign in body for sign in self._signs)
        text = body.decode()
        text = text.lower() if text.isascii() else _parted(text)
        return all(check.search(text) for check in self._checks)

    def rank(self, texts: Texts) -> int | None:
        """Return how well an entry matches, as a sum of CODE to IN_NAMES. None is no match."""
        rank = CODE * (self._exact in map(exact, texts.codes))
        rank += NAME * (self._exact in map(exact, texts.names))
        if not self._wanted:
            return rank or None
        codes, names = [list(map(line, some)) for some in (texts.codes, texts.names)]
        everything = _joined([*codes, *names, *map(line, texts.others)])
        if not (rank or self._are_in(everything)):
            return None
        rank += WORDS_OF_CODE * (self._whole in codes) + WORDS_OF_NAME * (self._whole in names)
        return rank + IN_NAMES * self._are_in(_joined(names))

    def _are_in(self, text: str) -> bool:
        return all(
            any(all(need in text for need in needs) for needs in either) for either in self._wanted
        )


def _joined(lines: Iterable[str]) -> str:
    return "\n".join(f" {one} " for one in lines)


def _check(needs: Sequence[Need]) -> str:
    """Return a pattern of words that the JSON of an entry contains if it meets the needs."""
    longest = max((need.words for need in needs), key=len)
    return _BETWEEN.join(map(re.escape, longest.split()))
