"""Concepts, their names and descriptions (contract section 10)."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from flask import Response

from oclapi import bodies, jsonio, representations
from oclapi.editing import concepts
from oclapi.errors import NotFound
from oclapi.model import Json, Row
from oclapi.resources import body, listings, paging, params, resolve
from oclapi.resources.items import AllItems, ItemEndpoint, ItemList, ItemVersions, MappingsOf
from oclapi.resources.responses import created, nothing, ok, ok_bytes
from search import fields
from search.matching import Matcher, Texts
from search.words import terms

MOST_AT_ONCE = 500
"""A detail with more mappings than this is streamed."""


class ConceptList(ItemList):
    """The concepts of a repository. POST creates one."""

    kind = "concept"

    def post(self, **path: str) -> Response:
        repo = resolve.writable(self.store, path, self.caller)
        fields = bodies.concept_create(body.read(self.settings))
        item, _ = self.write(repo, lambda draft, current: concepts.create(draft, current, fields))
        return created(item.body, item.url, self.settings)


class AllConcepts(AllItems):
    """The concepts of all public sources."""

    kind = "concept"


class ConceptState(ItemEndpoint):
    """A version of a concept."""

    kind = "concept"

    def get(self, **path: str) -> Response:
        mappings = MappingsOf.from_params(self.kind)
        with self.store.snapshot() as session:
            place, row, latest = self.state(path, session)
            if mappings:
                total, found = mappings.page(
                    self, place.revision, row.url, session, limit=MOST_AT_ONCE
                )
        if mappings is None:
            if latest:
                return ok_bytes(row.body)
            return ok(representations.detail(row.body, latest=False))
        if total <= MOST_AT_ONCE:
            return ok(representations.detail(row.body, latest=latest, mappings=found))
        before, after = representations.detail_around(row.body, latest=latest)
        return ok_bytes(
            itertools.chain([before], mappings.stream(self, place.revision, row.url), [after])
        )


class Concept(ConceptState):
    """A concept at its latest version."""

    def put(self, **path: str) -> Response:
        repo = self.target(path)
        fields = bodies.concept_update(body.read(self.settings))
        item, _ = self.write(
            repo, lambda draft, current: concepts.update(draft, current, path["concept"], fields)
        )
        return ok_bytes(item.body)

    post = patch = put

    def delete(self, **path: str) -> Response:
        repo = self.target(path)
        comment = bodies.comment(body.read_optional(self.settings)).get("update_comment")
        self.write(
            repo, lambda draft, current: concepts.retire(draft, current, path["concept"], comment)
        )
        return nothing()


class ConceptVersions(ItemVersions):
    """The versions of a concept, as summaries, or as details with `verbose`."""

    kind = "concept"

    def entries(self, rows: Iterable[Row], newest: Row) -> Iterator[Json]:
        if params.flag("verbose"):
            return super().entries(rows, newest)
        pairs = itertools.pairwise(itertools.chain(rows, [None]))
        return (
            representations.concept_version(row, previous, latest=row.from_rev == newest.from_rev)
            for row, previous in pairs
            if row
        )


class ConceptMappings(ItemEndpoint):
    """The mappings of a concept.

    These are the mappings of the same source that start from the concept, and with
    `includeInverseMappings` those that point to it.
    """

    kind = "concept"

    def get(self, **path: str) -> Response:
        params.no_order()
        pages, mappings = paging.paging(self.settings), MappingsOf()
        with self.store.snapshot() as session:
            place, row = self.row(path, session)
            skip = min(pages.offset, listings.FAR)
            total, found = mappings.page(
                self, place.revision, row.url, session, limit=pages.limit, skip=skip
            )
        if pages.everything:
            return ok_bytes(
                mappings.stream(self, place.revision, row.url),
                paging.headers(self.settings, pages, total, total),
            )
        return ok(found, paging.headers(self.settings, pages, total, len(found)))


# Names and descriptions


class EntriesOfState(ItemEndpoint):
    """The names or descriptions of a version of a concept."""

    kind = "concept"
    part: ClassVar[str]
    text: ClassVar[str]

    def get(self, **path: str) -> Response:
        words = terms(params.text("q") or "")
        matcher = Matcher(words) if words else None
        return ok([entry for entry in self.entries(path) if self._matches(entry, matcher)])

    def entries(self, path: resolve.Path) -> Sequence[Json]:
        with self.store.snapshot() as session:
            _, row, _ = self.state(path, session)
        found: Sequence[Json] = jsonio.loads_own(row.body)[self.part]
        return found

    def _matches(self, entry: Json, matcher: Matcher | None) -> bool:
        matches = matcher is None or matcher.rank(Texts([], [entry[self.text]], [])) is not None
        for field in ("locale", f"{self.text}_type"):
            values = params.alternatives(field)
            if values is not None:
                matches = matches and fields.fold(entry[field] or "") in map(fields.fold, values)
        return matches


class EntryOfState(EntriesOfState):
    """A name or description of a version of a concept."""

    def get(self, **path: str) -> Response:
        return ok(self.entry(path))

    def entry(self, path: resolve.Path) -> Json:
        for entry in self.entries(path):
            if entry["uuid"] == path["uuid"]:
                return entry
        raise NotFound(f"the concept has no {self.text} {path['uuid']}")


class Entries(EntriesOfState, ABC):
    """The names or descriptions of a concept. POST adds one."""

    @abstractmethod
    def validated(self, fields: Json) -> Json:
        """Return the validated body of a new entry. Raises Invalid."""

    def post(self, **path: str) -> Response:
        repo = self.target(path)
        fields = self.validated(body.read(self.settings))
        (item, _), entry = self.write(
            repo,
            lambda draft, current: concepts.add_entry(
                draft, current, path["concept"], self.part, fields
            ),
        )
        return created(
            jsonio.dumps(entry), f"{item.url}{self.part}/{entry['uuid']}/", self.settings
        )


class Entry(EntryOfState, ABC):
    """A name or description of a concept."""

    @abstractmethod
    def validated(self, fields: Json) -> Json:
        """Return the validated body of an update. Raises Invalid."""

    def put(self, **path: str) -> Response:
        repo = self._target(path)
        fields = self.validated(body.read(self.settings))
        _, entry = self.write(
            repo,
            lambda draft, current: concepts.update_entry(
                draft, current, path["concept"], self.part, path["uuid"], fields
            ),
        )
        return ok(entry)

    post = patch = put

    def delete(self, **path: str) -> Response:
        repo = self._target(path)
        self.write(
            repo,
            lambda draft, current: concepts.delete_entry(
                draft, current, path["concept"], self.part, path["uuid"]
            ),
        )
        return nothing()

    def _target(self, path: resolve.Path) -> Json:
        self.entry(path)
        return self.target(path)


class NameListOfState(EntriesOfState):
    part, text = "names", "name"


class NameOfState(EntryOfState):
    part, text = "names", "name"


class NameList(Entries):
    part, text = "names", "name"

    def validated(self, fields: Json) -> Json:
        return bodies.name_create(fields)


class Name(Entry):
    part, text = "names", "name"

    def validated(self, fields: Json) -> Json:
        return bodies.name_update(fields)


class DescriptionListOfState(EntriesOfState):
    part, text = "descriptions", "description"


class DescriptionOfState(EntryOfState):
    part, text = "descriptions", "description"


class DescriptionList(Entries):
    part, text = "descriptions", "description"

    def validated(self, fields: Json) -> Json:
        return bodies.description_create(fields)


class Description(Entry):
    part, text = "descriptions", "description"

    def validated(self, fields: Json) -> Json:
        return bodies.description_update(fields)
