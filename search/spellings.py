"""Other ways to write the words of a search: British and American, in one word or in two. Pure.

The words are looked for in every way, so the index need not know. A way that nobody writes finds
nothing and costs next to nothing.
"""

import re
from collections.abc import Iterator

MOST = 12
"""Ways to write one word or phrase, at most; the rules never need more for real words."""

_PAIRS = """
aemi emi, aesth esth, aetiolog etiolog, anaem anem, caec cec, caesar cesar, faec fec, gynaec gynec, haem hem, laev lev, mediaev mediev,
naev nev, paed ped, palae pale, taeni teni, caesi cesi,
amoeb ameb, coeli celi, coelo celo, foet fet, homoeo homeo, manoeuv maneuv, oedem edem, oesoph esoph, oestr estr, pnoea pnea, rrhoea rrhea,
centre center, fibre fiber, goitre goiter, litre liter, metre meter, titre titer, calibre caliber, theatre theater, lustre luster,
sulph sulf, leuco leuko, aluminium aluminum, grey gray, mould mold, programme program, ageing aging, gramme gram,
defence defense, licence license, practise practice, sceptic skeptic, judgement judgment, enrolment enrollment, skilful skillful,
labell label, modell model, channell channel, counsell counsel, signall signal, travell travel, tunnell tunnel, cancell cancel,
analogue analog, catalogue catalog, dialogue dialog, artefact artifact, calliper caliper, moustache mustache, pyjama pajama, odour odor
"""
_BOTH = [tuple(pair.split()) for pair in _PAIRS.replace("\n", "").split(",")]
_WAYS = [*_BOTH, *((american, british) for british, american in _BOTH)]

_ENDINGS = [
    (re.compile(r"our(s|al|ally|ed|ing|able|ful|less)?$"), r"or\1"),
    (re.compile(r"or(s|al|ally|ed|ing|able|ful|less)?$"), r"our\1"),
    (re.compile(r"([iy])s(e|es|ed|er|ers|ing|able|ations?)$"), r"\1z\2"),
    (re.compile(r"([iy])z(e|es|ed|er|ers|ing|able|ations?)$"), r"\1s\2"),
]
_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae"})


def spellings(text: str) -> tuple[str, ...]:
    """Other spellings of a word or phrase, at most MOST, without itself; in lower case."""
    text = text.casefold().translate(_LIGATURES)
    found = {text: None}  # an ordered set
    for way in found.copy():
        _spread(way, found)
    del found[text]
    return tuple(found)


def _spread(text: str, found: dict[str, None]) -> None:
    """Add what the rules make of a text, and what they make of that."""
    for other in _by_one_rule(text):
        if len(found) > MOST:
            return
        if other not in found:
            found[other] = None
            _spread(other, found)


def _by_one_rule(text: str) -> Iterator[str]:
    for there, instead in _WAYS:
        # what is there may be a part of what it came from: "haem" holds no "hem", but "aemi" holds
        # "emi"
        if there in text and not (there in instead and instead in text):
            yield text.replace(there, instead)
    words = text.split(" ")
    for place, word in enumerate(words):
        if len(word) > 4:
            for ending, instead in _ENDINGS:
                if (other := ending.sub(instead, word)) != word:
                    yield " ".join([*words[:place], other, *words[place + 1 :]])


def in_two(word: str) -> Iterator[str]:
    """The word as two, at each place: "xray" as "x ray"."""
    for place in range(1, len(word)):
        yield f"{word[:place]} {word[place:]}"
