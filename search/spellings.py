"""Other spellings of search words: British and American, as one word or as two.

The query contains all spellings, so the index needs none. A spelling that does not occur costs
almost nothing.
"""

import re
from collections.abc import Iterator

MOST = 12
"""Most spellings of a word or phrase. Real words never need more."""

_PAIRS = """
aemi emi, aesth esth, aetiolog etiolog, anaem anem, caec cec, caesar cesar, faec fec, gynaec gynec,
haem hem, laev lev, mediaev mediev, naev nev, paed ped, palae pale, taeni teni, caesi cesi,
amoeb ameb, coeli celi, coelo celo, foet fet, homoeo homeo, manoeuv maneuv, oedem edem,
oesoph esoph, oestr estr, pnoea pnea, rrhoea rrhea, centre center, fibre fiber, goitre goiter,
litre liter, metre meter, titre titer, calibre caliber, theatre theater, lustre luster, sulph sulf,
leuco leuko, aluminium aluminum, grey gray, mould mold, programme program, ageing aging,
gramme gram, defence defense, licence license, practise practice, sceptic skeptic,
judgement judgment, enrolment enrollment, skilful skillful, labell label, modell model,
channell channel, counsell counsel, signall signal, travell travel, tunnell tunnel, cancell cancel,
analogue analog, catalogue catalog, dialogue dialog, artefact artifact, calliper caliper,
moustache mustache, pyjama pajama, odour odor
"""
_BOTH = [tuple(pair.split()) for pair in _PAIRS.replace("\n", "").split(",")]
_REPLACEMENTS = [*_BOTH, *((american, british) for british, american in _BOTH)]

_ENDINGS = [
    (re.compile(r"our(s|al|ally|ed|ing|able|ful|less)?$"), r"or\1"),
    (re.compile(r"or(s|al|ally|ed|ing|able|ful|less)?$"), r"our\1"),
    (re.compile(r"([iy])s(e|es|ed|er|ers|ing|able|ations?)$"), r"\1z\2"),
    (re.compile(r"([iy])z(e|es|ed|er|ers|ing|able|ations?)$"), r"\1s\2"),
]
_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae"})


def spellings(text: str) -> tuple[str, ...]:
    """Return at most MOST other spellings of a word or phrase, in lower case."""
    text = text.casefold().translate(_LIGATURES)
    found = {text: None}  # an ordered set
    for spelling in found.copy():
        _spread(spelling, found)
    del found[text]
    return tuple(found)


def _spread(text: str, found: dict[str, None]) -> None:
    """Add the other spellings of a text, and their other spellings."""
    for other in _by_one_rule(text):
        if len(found) > MOST:
            return
        if other not in found:
            found[other] = None
            _spread(other, found)


def _by_one_rule(text: str) -> Iterator[str]:
    for there, instead in _REPLACEMENTS:
        # Skip a spelling that is part of the text already: "aemi" contains "emi".
        if there in text and not (there in instead and instead in text):
            yield text.replace(there, instead)
    words = text.split(" ")
    for position, word in enumerate(words):
        if len(word) > 4:
            for ending, instead in _ENDINGS:
                if (other := ending.sub(instead, word)) != word:
                    yield " ".join([*words[:position], other, *words[position + 1 :]])


def in_two(word: str) -> Iterator[str]:
    """Yield the word split in two at each position: "xray" as "x ray"."""
    for position in range(1, len(word)):
        yield f"{word[:position]} {word[position:]}"
