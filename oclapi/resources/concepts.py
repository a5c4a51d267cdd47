"""Concepts, their names and descriptions (contract section 10)."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from flask import Response

from oclapi import bodies, jsonio, representations
from oclapi.editing import concepts
from oclapi.errors import NotFound
from oclapi.model import Json, Repository, Row
from oclapi.reading import mappings
from oclapi.resources import body, described, examples, paging, params, resolve, shapes
from oclapi.resources.entries import (
    AllEntries,
    EntryEndpoint,
    EntryList,
    EntryVersions,
    included_mappings,
    mapping_options,
)
from oclapi.resources.responses import array, created, nothing, ok, ok_bytes
from search import fields
from search.matching import Matcher, Texts
from search.words import asks

MOST_AT_ONCE = 500
"""A detail with more mappings than this is streamed."""


class ConceptList(EntryList):
    """The concepts of a repository. POST creates one."""

    about = described.EndpointDoc(
        tag="Concepts",
        noun="concept",
        returns=described.ListResponse(shapes.ConceptSummary, shapes.Concept),
        creates=shapes.Concept,
        query=(*described.CONCEPT_PARAMS, "cursor", *described.MAPPING_FLAGS),
        accepts={"post": bodies.Concept},
        example=examples.NEW_CONCEPT,
        headers=(*described.UPDATED_HEADER, *described.SEARCH_HEADERS),
    )

    kind = "concept"

    def post(self, **path: str) -> Response:
        repo = resolve.writable(self.store, path, self.caller)
        fields = bodies.concept_create(body.read(self.settings))
        item, _ = self.write(repo, lambda unit, current: concepts.create(unit, current, fields))
        return created(item.body, item.url, self.settings)


class AllConcepts(AllEntries):
    """The concepts of all public sources."""

    about = described.EndpointDoc(
        tag="Concepts",
        returns=described.ListResponse(shapes.ConceptSummary, shapes.Concept),
        query=(*described.CONCEPT_PARAMS, *described.MAPPING_FLAGS),
        headers=described.SEARCH_HEADERS,
    )

    kind = "concept"


class ConceptState(EntryEndpoint):
    """A version of a concept."""

    about = described.EndpointDoc(
        tag="Concepts",
        returns=shapes.Concept,
        query=(*described.MAPPING_FLAGS, "includeRetired", "verbose"),
    )

    kind = "concept"

    def get(self, **path: str) -> Response:
        with self.store.snapshot() as session:
            view, row, latest = self.state(path, session)
            options = included_mappings(self.kind)
            if options:
                total, found = mappings.page(
                    self.store, session, view.revision, row.url, options, limit=MOST_AT_ONCE
                )
        if options is None:
            if latest:
                return ok_bytes(row.body)
            return ok(representations.detail(row.body, latest=False))
        if total <= MOST_AT_ONCE:
            return ok(representations.detail(row.body, latest=latest, mappings=found))
        before, after = representations.detail_around(row.body, latest=latest)
        batches = mappings.batches(self.store, view.revision, row.url, options)
        return ok_bytes(itertools.chain([before], array(batches), [after]))


class Concept(ConceptState):
    """A concept at its latest version."""

    about = described.EndpointDoc(
        tag="Concepts",
        noun="concept",
        returns=shapes.Concept,
        query=(*described.MAPPING_FLAGS, "includeRetired", "verbose"),
        accepts={"put": bodies.ConceptChange, "delete": bodies.Comment},
        example=examples.CHANGED_CONCEPT,
        summaries={"delete": "Retire the concept"},
    )

    def put(self, **path: str) -> Response:
        repo = self.target(path)
        fields = bodies.concept_update(body.read(self.settings))
        item, _ = self.write(
            repo, lambda unit, current: concepts.update(unit, current, path["concept"], fields)
        )
        return ok_bytes(item.body)

    post = patch = put

    def delete(self, **path: str) -> Response:
        repo = self.target(path)
        comment = bodies.comment(body.read_optional(self.settings)).get("update_comment")
        self.write(
            repo, lambda unit, current: concepts.retire(unit, current, path["concept"], comment)
        )
        return nothing()


class ConceptVersions(EntryVersions):
    """The versions of a concept, as summaries, or as details with `verbose`."""

    about = described.EndpointDoc(
        tag="Concepts",
        returns=described.ListResponse(shapes.ConceptVersion, shapes.Concept),
        query=(*described.PAGE_PARAMS, "verbose"),
    )

    kind = "concept"

    def shown(self, rows: Iterable[Row], newest: Row, verbose: bool) -> Iterator[Json]:
        if verbose:
            return super().shown(rows, newest, verbose)
        pairs = itertools.pairwise(itertools.chain(rows, [None]))
        return (
            representations.concept_version(row, previous, latest=row.from_rev == newest.from_rev)
            for row, previous in pairs
            if row
        )


class ConceptMappings(EntryEndpoint):
    """The mappings of a concept.

    These are the mappings of the same source that start from the concept, and with
    `includeInverseMappings` those that point to it.
    """

    about = described.EndpointDoc(
        tag="Concepts",
        returns=described.ListResponse(shapes.MappingSummary, shapes.Mapping),
        query=(*described.PAGE_PARAMS, "verbose", "includeInverseMappings", "includeRetired"),
    )

    kind = "concept"

    def get(self, **path: str) -> Response:
        with self.store.snapshot() as session:
            view, row = self.row(path, session)
            params.no_order()
            pages, options = paging.paging(self.settings), mapping_options()
            total, found = mappings.page(
                self.store,
                session,
                view.revision,
                row.url,
                options,
                limit=pages.limit,
                skip=pages.skip,
            )
        if pages.everything:
            batches = mappings.batches(self.store, view.revision, row.url, options)
            return ok_bytes(array(batches), paging.all_headers(total))
        return ok(found, paging.headers(self.settings, pages, total, len(found)))


# Names and descriptions


class TextsOfState(EntryEndpoint):
    """The names or descriptions of a version of a concept."""

    kind = "concept"
    part: ClassVar[str]
    text: ClassVar[str]

    def get(self, **path: str) -> Response:
        texts = self.texts(path)
        words = params.words()
        matcher = Matcher(words) if asks(words) else None
        return ok([text for text in texts if self._matches(text, matcher)])

    def texts(self, path: resolve.Path) -> Sequence[Json]:
        with self.store.snapshot() as session:
            _, row, _ = self.state(path, session)
        found: Sequence[Json] = jsonio.loads_own(row.body)[self.part]
        return found

    def _matches(self, text: Json, matcher: Matcher | None) -> bool:
        matches = matcher is None or matcher.rank(Texts([], [text[self.text]], [])) is not None
        for field in ("locale", f"{self.text}_type"):
            values = params.alternatives(field)
            if values is not None:
                matches = matches and fields.fold(text[field] or "") in map(fields.fold, values)
        return matches


class TextOfState(TextsOfState):
    """A name or description of a version of a concept."""

    def get(self, **path: str) -> Response:
        return ok(self.named(path))

    def named(self, path: resolve.Path) -> Json:
        for text in self.texts(path):
            if text["uuid"] == path["uuid"]:
                return text
        raise NotFound(f"the concept has no {self.text} {path['uuid']}")


class TextList(TextsOfState, ABC):
    """The names or descriptions of a concept. POST adds one."""

    @abstractmethod
    def validated(self, fields: Json) -> Json:
        """Return the validated body of a new one. Raises Invalid."""

    def post(self, **path: str) -> Response:
        repo = self.target(path)
        fields = self.validated(body.read(self.settings))
        (item, _), entry = self.write(
            repo,
            lambda unit, current: concepts.add_text(
                unit, current, path["concept"], self.part, fields
            ),
        )
        return created(
            jsonio.dumps(entry), f"{item.url}{self.part}/{entry['uuid']}/", self.settings
        )


class Text(TextOfState, ABC):
    """A name or description of a concept."""

    @abstractmethod
    def validated(self, fields: Json) -> Json:
        """Return the validated body of an update. Raises Invalid."""

    def put(self, **path: str) -> Response:
        repo = self._target(path)
        fields = self.validated(body.read(self.settings))
        _, entry = self.write(
            repo,
            lambda unit, current: concepts.update_text(
                unit, current, path["concept"], self.part, path["uuid"], fields
            ),
        )
        return ok(entry)

    post = patch = put

    def delete(self, **path: str) -> Response:
        repo = self._target(path)
        self.write(
            repo,
            lambda unit, current: concepts.delete_text(
                unit, current, path["concept"], self.part, path["uuid"]
            ),
        )
        return nothing()

    def _target(self, path: resolve.Path) -> Repository:
        self.named(path)
        return self.target(path)


class NameListOfState(TextsOfState):
    about = described.EndpointDoc(
        **{**described.NAMES, "summaries": {"get": "The names of a version of a concept"}}
    )
    part, text = "names", "name"


class NameOfState(TextOfState):
    about = described.EndpointDoc(
        **{**described.NAME, "summaries": {"get": "A name of a version of a concept"}}
    )
    part, text = "names", "name"


class NameList(TextList):
    about = described.EndpointDoc(
        **described.NAMES, creates=shapes.ConceptName, accepts={"post": bodies.Name}
    )
    part, text = "names", "name"

    def validated(self, fields: Json) -> Json:
        return bodies.name_create(fields)


class Name(Text):
    about = described.EndpointDoc(
        **described.NAME, accepts={"put": bodies.NameChange}, errors={"delete": (400,)}
    )
    part, text = "names", "name"

    def validated(self, fields: Json) -> Json:
        return bodies.name_update(fields)


class DescriptionListOfState(TextsOfState):
    about = described.EndpointDoc(
        **{
            **described.DESCRIPTIONS,
            "summaries": {"get": "The descriptions of a version of a concept"},
        }
    )
    part, text = "descriptions", "description"


class DescriptionOfState(TextOfState):
    about = described.EndpointDoc(
        **{**described.DESCRIPTION, "summaries": {"get": "A description of a version of a concept"}}
    )
    part, text = "descriptions", "description"


class DescriptionList(TextList):
    about = described.EndpointDoc(
        **described.DESCRIPTIONS,
        creates=shapes.ConceptDescription,
        accepts={"post": bodies.Description},
    )
    part, text = "descriptions", "description"

    def validated(self, fields: Json) -> Json:
        return bodies.description_create(fields)


class Description(Text):
    about = described.EndpointDoc(
        **described.DESCRIPTION, accepts={"put": bodies.DescriptionChange}
    )
    part, text = "descriptions", "description"

    def validated(self, fields: Json) -> Json:
        return bodies.description_update(fields)
