"""The values that the packages exchange. No I/O.

Everything that is read is a function of (repository, revision): see `Revision`. Times are aware
UTC, in whole milliseconds.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Literal

from oclapi import jsonio

LIVE = 2**31 - 1
"""`to_rev` of a row that no later commit has ended."""

GRACE = timedelta(seconds=5)
"""How long a queued job counts as alive while the queue is down."""

Kind = Literal["concept", "mapping"]
RepositoryKind = Literal["source", "collection"]
Json = dict[str, Any]


def not_retired(texts: Iterable[Json]) -> list[Json]:
    """Return the names or descriptions that count: those that are not retired."""
    return [text for text in texts if not text.get("retired")]


@dataclass(frozen=True, slots=True, order=True)
class Revision:
    """One state of one repository. What is read at it never changes."""

    repo: int  # internal number of a source or collection, never reused
    number: int  # 0 is the empty repository; each commit adds 1


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of the rows that are visible at a revision to read."""

    kind: Kind
    since: int = 0  # only rows that this commit or a later one wrote
    retired: bool | None = False  # None: both


@dataclass(frozen=True, slots=True)
class Counts:
    """Exact numbers of entries at one revision."""

    concepts: int = 0
    mappings: int = 0
    active_concepts: int = 0  # not retired
    active_mappings: int = 0

    @property
    def entries(self) -> int:
        return self.concepts + self.mappings

    def of(self, kind: Kind, *, active: bool = False) -> int:
        """Return the number of entries of this kind."""
        name = f"{kind}s"
        return int(getattr(self, f"active_{name}" if active else name))

    def selected(self, selection: Selection) -> int:
        """Return the number of entries that a selection without `since` has."""
        everything = self.of(selection.kind)
        active = self.of(selection.kind, active=True)
        if selection.retired is None:
            return everything
        return everything - active if selection.retired else active


@dataclass(frozen=True, slots=True)
class Repository:
    """A source or collection, with its metadata and its newest revision."""

    number: int  # internal, never reused
    kind: RepositoryKind
    url: str
    id: str
    owner_url: str
    rev: int
    at: datetime  # its clock: the time of the newest commit, version or edit of metadata
    content_at: datetime  # of the newest commit; the creation before the first
    counts: Counts
    digest: bytes  # of its content, see store/digests.py
    versions: int  # HEAD is one of them
    created_on: datetime
    created_by: str
    updated_on: datetime
    updated_by: str
    uuid: str
    name: str
    full_name: str
    description: str | None
    website: str | None
    external_id: str | None
    source_type: str | None
    custom_validation_schema: str | None
    default_locale: str
    supported_locales: list[str]
    public_access: str  # View, Edit or None
    extras_json: bytes | None
    keeps_claims: bool  # whether its concepts have claims, see `Rows.keep_claims`
    hidden: bool  # whether its owner is deactivated

    @property
    def revision(self) -> Revision:
        return Revision(self.number, self.rev)

    @property
    def extras(self) -> Json | None:
        return None if self.extras_json is None else jsonio.loads_own(self.extras_json)


@dataclass(frozen=True, slots=True)
class Version:
    """A named revision of a repository, with metadata that was frozen with it."""

    key: str  # internal, 24 hex characters, never reused; empty for HEAD
    repo: int
    id: str
    rev: int
    content_at: datetime
    counts: Counts
    edition: int  # grows by 1 at each change that its export shows
    released: bool
    retired: bool
    description: str | None
    previous_version: str | None
    parent_version: str | None
    version_external_id: str | None
    extras_json: bytes | None
    frozen_json: bytes  # the detail of the repository when the version was created
    created_on: datetime
    created_by: str
    updated_on: datetime
    updated_by: str

    @property
    def revision(self) -> Revision:
        return Revision(self.repo, self.rev)

    @property
    def extras(self) -> Json | None:
        return None if self.extras_json is None else jsonio.loads_own(self.extras_json)

    @property
    def frozen(self) -> Json:
        return jsonio.loads_own(self.frozen_json)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Head:
    """The revision that a commit writes, its time, and its repository."""

    revision: Revision
    at: datetime  # `updated_on` of every row of this commit
    repo: Repository  # as the transaction sees it


@dataclass(frozen=True, slots=True)
class Row:
    """One state of a concept or mapping, seen by every revision R with from_rev <= R < to_rev."""

    repo: int
    kind: Kind
    url: str
    id: str
    from_rev: int
    to_rev: int  # LIVE: the newest state
    at: datetime
    retired: bool
    body: bytes  # the published JSON, rendered once; b"" when only the header was read
    # the other stored fields (see store/rows.py)
    header: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[int, str]:
        """Its position in commit order, unique within (repo, kind)."""
        return (self.from_rev, self.url)


@dataclass(frozen=True, slots=True)
class Change:
    """One item's new state in a commit."""

    repo: int
    kind: Kind
    url: str
    id: str
    retired: bool
    body: bytes
    header: Json  # filter and sort fields of the new row
    # the living row that this one ends, as read in the same transaction
    replaces: Row | None = None


@dataclass(frozen=True, slots=True)
class Removal:
    """The end of an entry in a commit: its living row ends without a successor."""

    replaces: Row  # as read in the same transaction

    @property
    def repo(self) -> int:
        return self.replaces.repo

    @property
    def kind(self) -> Kind:
        return self.replaces.kind


@dataclass(frozen=True, slots=True, order=True)
class ExportKey:
    """What an export is of: a version, or the difference to it from an older revision."""

    version: str  # the version's internal key
    since: int | None = None  # None: the whole version

    def __str__(self) -> str:
        return self.version if self.since is None else f"{self.version}-{self.since}"


@dataclass(frozen=True, slots=True)
class Job:
    """Work in the background. It is named by its token, which no other job ever has."""

    token: str
    state: Literal["queued", "running"]
    heartbeat: datetime  # when it was requested, claimed, or last reported its progress
    processed: int  # entries so far
    total: int  # entries
    tries: int  # how often it was started, after it died

    def is_alive(self, now: datetime, silence: timedelta, queue_is_up: Callable[[], bool]) -> bool:
        """Return whether it will end by itself.

        A running job is dead after `silence` without a heartbeat. A queued one waits for a worker,
        and the queue is needed to wake one. `queue_is_up` is only called for a job that is older
        than GRACE.
        """
        age = now - self.heartbeat
        if self.state == "running":
            return age < silence
        return age < GRACE or queue_is_up()


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed."""

    text: str  # one line
    at: datetime


@dataclass(frozen=True, slots=True)
class Archive:
    """A finished archive, with what is needed to serve both containers. Sizes are in bytes."""

    size: int  # of the cached file
    json_size: int
    json_crc: int
    start: int  # the JSON's deflate blocks are the bytes [start, end) of the cached file
    end: int
    mtime: int  # seconds since 1970, in both containers
    sha256: str  # of the cached file, hex


@dataclass(frozen=True, slots=True)
class ExportFile:
    """An archive in the cache."""

    name: str  # its path in the cache, which ends in the token of the job that made it
    edition: int  # of the version
    made_at: datetime
    content_at: datetime  # time of the newest commit in it
    archive: Archive

    @property
    def token(self) -> str:
        return PurePosixPath(self.name).stem


@dataclass(frozen=True, slots=True)
class Export:
    """The stored state of an export."""

    file: ExportFile | None  # the one that is served
    earlier: tuple[ExportFile, ...]  # replaced ones, which older links still name
    job: Job | None
    error: JobError | None  # of the last job
    wanted: int | None  # the edition of which a file is built without a request
    asked: bool = False  # somebody asked for its job; a release or an edit did not


@dataclass(frozen=True, slots=True)
class Organization:
    """An organisation. Its members own its repositories."""

    id: str
    uuid: str
    name: str
    members: tuple[str, ...]  # usernames; deactivated users are not among them
    public_access: str  # View, Edit or None
    company: str | None
    website: str | None
    location: str | None
    description: str | None
    extras_json: bytes | None
    created_on: datetime
    created_by: str
    updated_on: datetime
    updated_by: str

    @property
    def url(self) -> str:
        return f"/orgs/{self.id}/"

    @property
    def extras(self) -> Json | None:
        return None if self.extras_json is None else jsonio.loads_own(self.extras_json)


@dataclass(frozen=True, slots=True)
class User:
    """A user, without the hashes of the password and the tokens."""

    username: str
    uuid: str
    name: str
    email: str
    active: bool  # False: deactivated, or not verified yet
    unverified: bool  # signed up, but has not verified the e-mail address
    is_staff: bool
    is_superuser: bool
    company: str | None
    location: str | None
    preferred_locale: str | None
    website: str | None
    extras_json: bytes | None
    created_on: datetime
    created_by: str
    updated_on: datetime
    updated_by: str

    @property
    def url(self) -> str:
        return f"/users/{self.username}/"

    @property
    def extras(self) -> Json | None:
        return None if self.extras_json is None else jsonio.loads_own(self.extras_json)
