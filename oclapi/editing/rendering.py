"""The row that a commit writes for an entry: its published JSON, and its header for queries."""

from oclapi import representations
from oclapi.editing import openmrs
from oclapi.editing.entries import Entry, uses
from oclapi.model import Change, Head, Removal
from search import fields


def render(entry: Entry, head: Head, by: str) -> Change | Removal:
    """Return the change of an entry in the commit `head`. `by` is the user who makes it."""
    if entry.removed:
        assert entry.row is not None  # what was never stored can't be removed
        return Removal(entry.row)
    value = entry.value
    if entry.kind == "concept":
        body = representations.concept_body(
            value, entry.repo.url, head.revision.number, head.at, by
        )
        header = fields.concept_header(value, by)
        if head.repo.keeps_claims:
            header["claims"] = openmrs.claims(value)
    else:
        number = entry.row.header["number"] + 1 if entry.row else 1
        body = representations.mapping_body(value, entry.repo.url, number, head.at, by)
        header = fields.mapping_header(value, number, by)
        if used := uses(entry):
            header["uses"] = used
    return Change(
        entry.repo.number,
        entry.kind,
        entry.url,
        value["id"],
        value["retired"],
        body,
        header,
        entry.row,
    )
