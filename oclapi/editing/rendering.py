"""The row that a commit writes for an entry: its published JSON, and its header for queries."""

from oclapi import jsonio, representations
from oclapi.editing import openmrs
from oclapi.editing.entries import Entry, uses
from oclapi.editing.values import concept_value, mapping_value
from oclapi.model import Change, Head, Json, Removal, Repository, Row
from search import fields


def render(entry: Entry, head: Head, by: str) -> Change | Removal:
    """Return the change of an entry in the commit `head`. `by` is the user who makes it."""
    if entry.removed:
        assert entry.row is not None  # what was never stored can't be removed
        return Removal(entry.row)
    value = entry.value
    if entry.kind == "concept":
        number = head.revision.number
        body = representations.concept_body(value, entry.repo.url, number, head.at, by)
    else:
        number = entry.row.header["number"] + 1 if entry.row else 1
        body = representations.mapping_body(value, entry.repo.url, number, head.at, by)
    return Change(
        entry.repo.number,
        entry.kind,
        entry.url,
        value["id"],
        value["retired"],
        body,
        header(entry, number, by, claims=head.repo.keeps_claims),
        entry.row,
    )


def header(entry: Entry, number: int, by: str, *, claims: bool) -> Json:
    """Return the header of the row of the entry's version `number`, which `by` wrote.

    Everything in it is computed from the entry, so a migration computes it again for stored rows.
    """
    if entry.kind == "concept":
        found = fields.concept_header(entry.value, by)
        if claims:
            found["claims"] = openmrs.claims(entry.value)
        return found
    found = fields.mapping_header(entry.value, number, by)
    if used := uses(entry):
        found["uses"] = used
    return found


def header_of_row(row: Row, repo: Repository) -> Json:
    """Return the header that a stored row of the repository would have today.

    It is computed from the body. A mapping keeps whether the name of its target is its own, because
    a body does not say that.
    """
    if row.kind == "concept":
        value, number = concept_value(row), row.from_rev
    else:
        value, number = mapping_value(row), row.header["number"]
    by = jsonio.loads_own(row.body)["updated_by"]
    entry = Entry(repo, row.kind, row.url, value, row)
    return header(entry, number, by, claims=repo.keeps_claims)
