"""Generated data that resembles CIEL.

Concepts have names in many languages, and mappings to other terminologies. The result is import
lines (contract section 16). The same arguments give the same bytes on every machine: only
`Random.random` is used, whose sequence Python guarantees, and no floating-point number is written.
Memory does not grow with the size.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, TypeVar

from oclapi import jsonio

Item = TypeVar("Item")

OWNER = "BENCH"
EXTERNAL = (
    ("IHTSDO", "SNOMED-CT"),
    ("WHO", "ICD-10-WHO"),
    ("Regenstrief", "LOINC"),
    ("NLM", "RxNORM"),
)
LOCALES = ("en", "es", "fr", "sw", "ht", "pt", "vi", "ur", "am")
CLASSES = ("Diagnosis", "Finding", "Test", "Drug", "Procedure", "Question", "Misc", "Symptom")
DATATYPES = ("N/A", "N/A", "N/A", "Numeric", "Coded", "Text", "Boolean")
MAP_TYPES = ("SAME-AS", "NARROWER-THAN", "BROADER-THAN")
SYLLABLES = {
    "ur": "خون,کی,کمی,بہ,نے,وج,ہ,سے,سر,ذر,ات,ٹو,ٹن,ور,م,دل,جگر,گر,دہ,بخ,ار",
    "am": "ደም,ማነስ,በሽ,ታ,ል,ብ,ጉ,በት,ኩ,ላ,ሊት,ት,ኩሳት,ራስ,ምታ,ሆድ,ቁር,ጠት",
}
LATIN = (
    "an,emi,a,due,to,blo,od,los,s,hem,ol,y,sis,fra,ct,ure,ne,phr,itis,car,di,ac,pul,mon,ary,"
    "der,mat,op,ath,ia,gas,tr,ic,ost,eo"
)
WORDS = 3000  # of each alphabet


def lines(
    concepts: int,
    *,
    source: str = "CIEL",
    mappings: int | None = None,
    first: int = 1,
    repositories: bool = True,
    seed: int = 1,
) -> Iterator[bytes]:
    """Yield lines without line ends: owners and sources, concepts from `first` on, their mappings.

    Without `repositories` the owners and sources are left out. A concept has 3 to 21 names (8 on
    average) in 3 to 7 locales (5 on average). By default there are 2.5 mappings for each concept.
    """
    if repositories:
        yield from _repositories(source)
    yield from _concepts(concepts, source, first, Random(seed))
    yield from _mappings(
        concepts,
        round(concepts * 2.5) if mappings is None else mappings,
        source,
        first,
        Random(seed + 1),
    )


def source_url(source: str) -> str:
    return f"/orgs/{OWNER}/sources/{source}/"


def concept_url(source: str, number: int) -> str:
    return f"{source_url(source)}concepts/{number}/"


def _repositories(source: str) -> Iterator[bytes]:
    yield _line(type="Organization", id=OWNER, name="Made-up data")
    for owner, other in EXTERNAL:
        yield _line(type="Organization", id=owner, name=owner)
        yield _line(type="Source", id=other, name=other, owner=owner, owner_type="Organization")
    yield _line(
        type="Source",
        id=source,
        name=source,
        owner=OWNER,
        owner_type="Organization",
        source_type="Dictionary",
        default_locale="en",
        supported_locales=list(LOCALES),
    )


def _concepts(count: int, source: str, first: int, random: Random) -> Iterator[bytes]:
    vocabulary = {
        locale: _vocabulary(SYLLABLES.get(locale, LATIN).split(","), seed)
        for seed, locale in enumerate(LOCALES)
    }
    for number in range(first, first + count):
        others = _shuffled(LOCALES[1:], random)[: 2 + _below(5, random)]
        names: list[dict[str, Any]] = []
        for locale in ("en", *others):
            for position in range(1 + _extra_names(random)):
                text = _phrase(vocabulary[locale], 2 + _below(4, random), random)
                names.append(
                    {
                        "name": f"{text} {number}" if position == 0 else text,
                        "locale": locale,
                        "locale_preferred": position == 0,
                        "name_type": "FULLY_SPECIFIED" if position == 0 else None,
                        "external_id": _code(f"{number}{len(names)}", "B"),
                    }
                )
        descriptions = [
            {
                "description": _phrase(vocabulary[locale], 8 + _below(16, random), random),
                "locale": locale,
            }
            for locale in ("en", others[0])[: _below(3, random)]
        ]
        extras = (
            {"route": _below(9, random), "hl7": {"code": f"C{number}", "active": True}}
            if random.random() < 0.3
            else {}
        )
        yield _line(
            type="Concept",
            id=str(number),
            owner=OWNER,
            owner_type="Organization",
            source=source,
            external_id=_code(number, "A"),
            concept_class=_one(CLASSES, random),
            datatype=_one(DATATYPES, random),
            names=names,
            descriptions=descriptions,
            extras=extras,
            retired=random.random() < 0.05,
        )


def _mappings(
    concepts: int, count: int, source: str, first: int, random: Random
) -> Iterator[bytes]:
    """Yield mappings, spread evenly over the concepts. Two in five point to the source itself."""
    for number in range(count):
        start, round_ = first + number % concepts, number // concepts
        line: dict[str, Any] = {
            "type": "Mapping",
            "owner": OWNER,
            "owner_type": "Organization",
            "source": source,
            "from_concept_url": concept_url(source, start),
            "map_type": MAP_TYPES[round_ % len(MAP_TYPES)],
            "external_id": _code(f"{start}{round_}", "C"),
        }
        if concepts > 1 and random.random() < 0.4:
            end = first + (start - first + 1 + _below(concepts - 1, random)) % concepts
            line["to_concept_url"] = concept_url(source, end)
        else:
            owner, other = _one(EXTERNAL, random)
            line |= {
                "to_source_url": f"/orgs/{owner}/sources/{other}/",
                "to_concept_code": f"{start}{_below(10**6, random):06}-{round_}",
            }
        yield jsonio.dumps(line)


def _line(**fields: Any) -> bytes:
    return jsonio.dumps(fields)


def _extra_names(random: Random) -> int:
    """Return the number of further names in a locale: 0, 1 or 2, and 0.6 on average."""
    return _one((0, 0, 0, 1, 2), random)


def _vocabulary(syllables: Sequence[str], seed: int) -> list[str]:
    random = Random(seed)
    return [
        "".join(_one(syllables, random) for _ in range(1 + _below(4, random))) for _ in range(WORDS)
    ]


def _phrase(words: Sequence[str], count: int, random: Random) -> str:
    """Return random words. Some are much more frequent than others, as in a language."""
    return " ".join(_one(words, random, often=True) for _ in range(count)).capitalize()


def _code(number: int | str, letter: str) -> str:
    """Return an external id of 36 characters, like those of CIEL."""
    return f"{number}".ljust(36, letter)


def _shuffled(items: Sequence[str], random: Random) -> list[str]:
    return [item for _, item in sorted((random.random(), item) for item in items)]


def _one(items: Sequence[Item], random: Random, *, often: bool = False) -> Item:
    """Return a random item. With `often` the first items are much more frequent.

    The cube is a product, because powers differ between machines.
    """
    position = random.random()
    return items[int((position * position * position if often else position) * len(items))]


def _below(limit: int, random: Random) -> int:
    return int(random.random() * limit)
