"""Words that searches take for the same: spellings and synonyms, from a file that users may edit.

config/solr/configset/conf/synonyms.txt describes its format. A query contains all spellings, so the
index needs none. A spelling that does not occur costs almost nothing.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import config
from config.settings import BadSetting
from search.words import UNSPACED, Term

FILE = Path(config.__file__).parent / "solr" / "configset" / "conf" / "synonyms.txt"
MOST = 12
"""Most spellings of a word or phrase. Real words never need more."""
LONG = 5
"""Fewest letters of a word whose end may be replaced."""

_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae"})

FEW = 16
"""Most terms for which other spellings are searched. Solr limits the number of clauses."""
FEWER = 4
"""Most terms for which a word is also searched as two words."""
_HYPHENS = re.compile("[-\u2010-\u2015'\u2019\u02bc]")

Pair = tuple[str, str]


class BadSynonyms(BadSetting):
    """A line of the file can't be read. The text says which, and why."""


class Synonyms:
    """The synonyms of a file."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Raises BadSynonyms."""
        self._parts: list[Pair] = []
        self._ends: list[Pair] = []
        self._whole: list[Pair] = []
        for number, line in enumerate(lines, 1):
            text = line.partition("#")[0].strip()
            if text:
                self._add(number, [word.strip().casefold() for word in text.split(",")])
        # From left to right first, so that a British word finds its American form soonest.
        for pairs in (self._parts, self._ends, self._whole):
            pairs += [(other, one) for one, other in pairs]

    def of(self, text: str) -> tuple[str, ...]:
        """Return at most MOST other spellings of a word or phrase, in lower case."""
        text = text.casefold().translate(_LIGATURES)
        found = {text: None}  # an ordered set
        self._spread(text, found)
        del found[text]
        return tuple(found)

    def _add(self, number: int, words: list[str]) -> None:
        kinds = {(word.startswith("*"), word.endswith("*")) for word in words}
        plain = [word.strip("*") for word in words]
        if len(words) < 2 or not all(plain) or any("*" in word or "=>" in word for word in plain):
            raise BadSynonyms(f"line {number}: give two or more words, separated by commas")
        homes = {
            (True, True): self._parts,
            (True, False): self._ends,
            (False, False): self._whole,
        }
        if len(kinds) > 1 or (False, True) in kinds:
            raise BadSynonyms(
                f"line {number}: all must be whole words, parts (*word*) or ends (*word) of words"
            )
        home = homes[kinds.pop()]
        home += [(one, other) for one in plain for other in plain[plain.index(one) + 1 :]]

    def _spread(self, text: str, found: dict[str, None]) -> None:
        """Add the other spellings of a text, and their other spellings."""
        for other in self._by_one_rule(text):
            if len(found) > MOST:
                return
            if other not in found:
                found[other] = None
                self._spread(other, found)

    def _by_one_rule(self, text: str) -> Iterator[str]:
        for there, instead in self._parts:
            # Skip a spelling that is part of the text already: "aemi" contains "emi".
            if there in text and not (there in instead and instead in text):
                yield text.replace(there, instead)
        words = text.split(" ")
        for position, word in enumerate(words):
            if len(word) >= LONG:
                for end, instead in self._ends:
                    if word.endswith(end):
                        other = word.removesuffix(end) + instead
                        yield " ".join([*words[:position], other, *words[position + 1 :]])
        padded = f" {text} "
        for there, instead in self._whole:
            if f" {there} " in padded:
                yield padded.replace(f" {there} ", f" {instead} ").strip()


@functools.cache
def synonyms() -> Synonyms:
    """Return the synonyms of FILE, which is read once. Raises BadSynonyms."""
    return read(FILE)


def read(file: Path) -> Synonyms:
    """Return the synonyms of a file. Raises BadSynonyms, which names the file."""
    try:
        return Synonyms(file.read_text("utf-8").splitlines())
    except (BadSynonyms, UnicodeDecodeError, OSError) as error:
        raise BadSynonyms(f"{file.name} can't be read: {error}") from error


def spellings(wanted: Sequence[Term], synonyms: Synonyms) -> list[list[str]]:
    """Return the spellings of each term: its own, its synonyms, and as one word or as two."""
    found = [[term.text, *_others(term, len(wanted), synonyms)] for term in wanted]
    for position, (one, other) in enumerate(pairwise(wanted)):
        if not any(term.prefix or term.suffix or term.phrase for term in (one, other)):
            for place in (position, position + 1):  # "x ray" also finds xray
                found[place].append(one.text + other.text)
    return found


def _others(term: Term, terms_in_all: int, synonyms: Synonyms) -> list[str]:
    """Return other spellings of a term, also without hyphens, joined, or as two words."""
    if terms_in_all > FEW:
        return []
    text = term.text.casefold()
    found = list(synonyms.of(text))
    closed = (
        _HYPHENS.sub("", text)
        if not term.phrase
        else text.replace(" ", "")
        if text.count(" ") == 1
        else text
    )
    if closed != text:
        found += [closed, *synonyms.of(closed)]
    elif (
        not (term.prefix or term.suffix)
        and terms_in_all <= FEWER
        and 4 <= len(text) <= 24
        and text.isalpha()
        and not UNSPACED.search(text)
    ):
        found += in_two(text)
    return found


def in_two(word: str) -> Iterator[str]:
    """Yield the word split in two at each position: "xray" as "x ray"."""
    for position in range(1, len(word)):
        yield f"{word[:position]} {word[position:]}"
