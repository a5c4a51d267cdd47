"""ICD-10-CM, the clinical modification of ICD-10 by the CDC (public domain), as lines of an import.

Read from the package simple_icd_10_cm, which carries the tabular list. A concept's id is its code.
39 blocks hold a single category of the same code (B10): such a block has the range as its id
(B10-B10), as the others have.
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

with warnings.catch_warnings():  # it reads its data, 2 s long, in a way that newer Pythons warn of
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
"""Lists of texts, and the description type of each."""
INSTRUCTIONS = (
    (icd.get_notes, "Note"),
    (icd.get_code_first, "Code first"),
    (icd.get_use_additional_code, "Use additional code"),
    (icd.get_code_also, "Code also"),
    (icd.get_seven_chr_note, "Seventh character"),
)
"""Single texts, likewise."""


@dataclass(frozen=True, slots=True)
class Code:
    """One entry of the tabular list. `block`: the block, where a category has the same code."""

    code: str
    block: bool
    id: str

    def ask(self, question: Any) -> Any:
        return question(self.code, prioritize_blocks=self.block)


def edition() -> str:
    """What the entries were read from, and the form that `lines` gives them: another value, another
    import.
    """
    return f"simple-icd-10-cm {version('simple-icd-10-cm')}, form 1"


def codes() -> list[Code]:
    """Every chapter, block, category and code, in the order of the tabular list: a parent comes
    before its children.
    """
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
    """The id of the entry above, None for a chapter. A category alone in its block has the block's
    code above it.
    """
    above = code.ask(icd.get_parent)
    if not above:
        return None
    return f"{above}-{above}" if above == code.code else str(above)


def lines(listed: list[Code]) -> Iterator[Mapping[str, Any]]:
    """The organisation, the source, its concepts, then a mapping from each parent to each of its
    children, with the child's id.
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
        "full_name": "International Classification of Diseases, Tenth Revision, Clinical Modification",
    }
    for code in listed:
        yield concept(code)
    for code in listed:
        above = parent_id(code)
        if above:
            yield {
                "type": "Mapping",
                "source_url": SOURCE_URL,
                "id": code.id,
                "map_type": PARENT_OF,
                "from_concept_url": f"{SOURCE_URL}concepts/{above}/",
                "to_concept_url": f"{SOURCE_URL}concepts/{code.id}/",
            }


def concept(code: Code) -> Mapping[str, Any]:
    """The line of one entry: its title and inclusion terms as names, its notes as descriptions."""
    title = str(code.ask(icd.get_description))
    synonyms = dict.fromkeys(
        term for term in code.ask(icd.get_inclusion_term) if term.strip() and term != title
    )
    names = [
        {"name": title, "locale": "en", "locale_preferred": True, "name_type": "FULLY_SPECIFIED"}
    ]
    names += [{"name": term, "locale": "en", "name_type": "Synonym"} for term in synonyms]
    notes = [
        (text, kind) for question, kind in NOTES for text in code.ask(question) if text.strip()
    ]
    notes += [
        (text, kind) for question, kind in INSTRUCTIONS if (text := code.ask(question)).strip()
    ]
    seventh = code.ask(icd.get_seven_chr_def)
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
    return "Diagnosis" if code.ask(icd.is_leaf) else "Category"
