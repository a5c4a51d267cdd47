"""What a search text means, before any engine looks for it. Pure.

Nothing of an engine's own syntax has a meaning here: what is no phrase in quotation marks and no
`*` at the end of a word is plain words.
"""

import re
import unicodedata
from dataclasses import dataclass

MOST_TERMS = 100
"""Terms that count; of a longer text the first do."""
_PIECE = re.compile(r'"([^"]*)"\**|([^\s"\0]+)')


@dataclass(frozen=True, slots=True)
class Term:
    """One word, or a phrase: words that stand together in this order."""

    text: str
    phrase: bool = False
    prefix: bool = False  # the word may go on


def terms(text: str) -> tuple[Term, ...]:
    """The terms of `q`, all of which must be found, each once. Without a letter or digit there are
    none: nothing is asked for.
    """
    found: dict[tuple[str, bool, bool], Term] = {}
    for phrase, plain in _PIECE.findall(unicodedata.normalize("NFC", text)):
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
