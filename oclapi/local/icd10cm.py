"""ICD-10-CM, the clinical modification of ICD-10 by the CDC (public domain), as import lines.

The package simple_icd_10_cm contains the tabular list. The id of a concept is its code. 39 blocks
contain a single category of the same code (B10). The id of such a block is a range (B10-B10), like
the ids of the other blocks.
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

with warnings.catch_warnings():  # it reads its data with a deprecated function (2 s)
    warnings.simplefilter("ignore", DeprecationWarning)
    import simple_icd_10_cm as icd

ORG = "CDC"
SOURCE = "ICD-10-CM"
SOURCE_URL = f"/orgs/{ORG}/sources/{SOURCE}/"
RELEASE = "2026"
PARENT_OF = "PARENT-OF"

NOTES = (
    (icd.get_includes, "Includes"),
    (icd.get_excludes1, "Excludes1"),
    (icd.get_excludes2, "Excludes2"),
)
"""Functions that return lists of texts, with the description type."""
INSTRUCTIONS = (
    (icd.get_notes, "Note"),
    (icd.get_code_first, "Code first"),
    (icd.get_use_additional_code, "Use additional code"),
    (icd.get_code_also, "Code also"),
    (icd.get_seven_chr_note, "Seventh character"),
)
"""Functions that return one text, with the description type."""


@dataclass(frozen=True, slots=True)
class Code:
    """An entry of the tabular list. `block`: a block, not a category of the same code."""

    code: str
    block: bool
    id: str

    def get(self, function: Any) -> Any:
        return function(self.code, prioritize_blocks=self.block)


def edition() -> str:
    """Return the edition of the package and of the lines. A new value makes a new import."""
    return f"simple-icd-10-cm {version('simple-icd-10-cm')}, form 1"


def codes() -> list[Code]:
    """Return all chapters, blocks, categories and codes. Parents come before their children."""
    listed = icd.get_all_codes(True)
    found: list[Code] = []
    seen: set[str] = set()
    twice = {code for code in listed if code in seen or seen.add(code)}  # type: ignore[func-returns-value]
    met: set[str] = set()
    for code in listed:
        block = code in twice and code not in met
        met.add(code)
        found.append(Code(code, block, f"{code}-{code}" if block else code))
    return found


def parent_id(code: Code) -> str | None:
    """Return the id of the parent, or None for a chapter."""
    parent = code.get(icd.get_parent)
    if not parent:
        return None
    return f"{parent}-{parent}" if parent == code.code else str(parent)


def lines(listed: list[Code]) -> Iterator[Mapping[str, Any]]:
    """Yield the lines of the organisation, the source, its concepts and its mappings.

    A mapping leads from each parent to each of its children and has the child's id.
    """
    yield {
        "type": "Organization",
        "id": ORG,
        "name": "Centers for Disease Control and Prevention",
        "website": "https://www.cdc.gov/nchs/icd/",
    }
    yield {
        "type": "Source",
        "owner": ORG,
        "id": SOURCE,
        "name": SOURCE,
        "source_type": "Dictionary",
        "default_locale": "en",
        "full_name": (
            "International Classification of Diseases, Tenth Revision, Clinical Modification"
        ),
    }
    for code in listed:
        yield concept(code)
    for code in listed:
        parent = parent_id(code)
        if parent:
            yield {
                "type": "Mapping",
                "source_url": SOURCE_URL,
                "id": code.id,
                "map_type": PARENT_OF,
                "from_concept_url": f"{SOURCE_URL}concepts/{parent}/",
                "to_concept_url": f"{SOURCE_URL}concepts/{code.id}/",
            }


def concept(code: Code) -> Mapping[str, Any]:
    """Return the line of an entry: title and inclusion terms are names, notes are descriptions."""
    title = str(code.get(icd.get_description))
    synonyms = dict.fromkeys(
        term for term in code.get(icd.get_inclusion_term) if term.strip() and term != title
    )
    names = [
        {"name": title, "locale": "en", "locale_preferred": True, "name_type": "FULLY_SPECIFIED"}
    ]
    names += [{"name": term, "locale": "en", "name_type": "Synonym"} for term in synonyms]
    notes = [
        (text, kind) for function, kind in NOTES for text in code.get(function) if text.strip()
    ]
    notes += [
        (text, kind) for function, kind in INSTRUCTIONS if (text := code.get(function)).strip()
    ]
    seventh = code.get(icd.get_seven_chr_def)
    return {
        "type": "Concept",
        "source_url": SOURCE_URL,
        "id": code.id,
        "concept_class": _class(code),
        "datatype": "N/A",
        "names": names,
        "descriptions": [
            {"description": text, "locale": "en", "description_type": kind} for text, kind in notes
        ],
        **({"extras": {"seventh_character": seventh}} if seventh else {}),
    }


def _class(code: Code) -> str:
    if code.code.isdigit():
        return "Chapter"
    if code.block or (icd.is_block(code.code) and not icd.is_category(code.code)):
        return "Block"
    return "Diagnosis" if code.get(icd.is_leaf) else "Category"
