"""The mappings that are shown with concepts (contract 10)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from oclapi import jsonio, representations
from oclapi.model import Json, Revision, Row
from oclapi.store.database import Session
from oclapi.store.store import Store


@dataclass(frozen=True, slots=True)
class MappingOptions:
    """Which mappings of a concept to show, and how."""

    inverse: bool = False  # also those that point to the concept
    retired: bool | None = False  # None: both
    verbose: bool = False  # details instead of summaries


def of_concepts(
    store: Store,
    session: Session,
    revision: Revision,
    concepts: Sequence[str],
    options: MappingOptions,
) -> dict[str, list[Json]]:
    """Return the mappings of each of these concepts at the revision, by concept URL.

    Cost: one query, two with `inverse`. Without a session, they are read in a snapshot of their
    own.
    """
    if session is None:
        with store.snapshot() as own:
            return of_concepts(store, own, revision, concepts, options)
    found = store.rows.of_concepts(
        session, revision, concepts, inverse=options.inverse, retired=options.retired
    )
    return {url: [_shown(row, options) for row in rows] for url, rows in found.items()}


def page(
    store: Store,
    session: Session,
    revision: Revision,
    concept: str,
    options: MappingOptions,
    *,
    limit: int,
    skip: int = 0,
) -> tuple[int, list[Json]]:
    """Return the number of mappings of a concept, and one page of them."""
    total, rows = store.rows.of_concept(
        session,
        revision,
        concept,
        limit=limit,
        skip=skip,
        inverse=options.inverse,
        retired=options.retired,
    )
    return total, [_shown(row, options) for row in rows]


def batches(
    store: Store, revision: Revision, concept: str, options: MappingOptions
) -> Iterator[list[bytes]]:
    """Yield all mappings of a concept as JSON, in lists. Needs no session."""
    found = store.rows.of_concept_batches(
        revision, concept, inverse=options.inverse, retired=options.retired
    )
    return ([jsonio.dumps(_shown(row, options)) for row in rows] for rows in found)


def _shown(row: Row, options: MappingOptions) -> Json:
    if options.verbose:
        return representations.detail(row.body)
    return representations.summary("mapping", row.body)
