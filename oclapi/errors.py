"""Every way in which a request can fail, one leaf class per failure.

This module knows no HTTP; resources/errors.py maps the classes to statuses.

OclError
  Invalid                 a body, parameter or line is invalid; `errors` says which field and why
  NotAuthenticated        credentials are missing or not valid
  Forbidden               the caller is known and may not do this
  NotFound                no such item, or one that the caller must not see
  Frozen                  a write to a state that can no longer change
  MethodNotAllowed        the address exists, the method is not offered there
  VersionExists           the repository already has a version of that id
  BodyTooLarge, UnsupportedMediaType
  TooManyRequests         the caller sent more requests than the operator allows
  LinkRefused             an export link whose signature is wrong or has expired
  RangeNotSatisfiable     a byte range outside the archive
  ExportFailed            the last export job of a version failed recently
  RepositoryBusy          this write waited too long for other writers; nothing was written
  StoreUnavailable, QueueUnavailable, SearchUnavailable
  SearchBehind            the search engine has not indexed the requested revision yet
  WrongFormat             the format of the database is not that of this program
  IndexBusy, IndexIncomplete   why a command could not rebuild the search index
  OutcomeUnknown          the response to a commit was lost: it may or may not have happened
  Overtaken               a job that was cancelled or replaced by another one
"""

from collections.abc import Mapping, Sequence
from typing import Any


class OclError(Exception):
    """Base class of all errors.

    `detail` is one readable sentence, `errors` maps a field to its messages, and `extra` contains
    further keys of the response. `waits` says that a later line of the same import may remove the
    cause: what is named may come, or what is taken may become free.
    """

    retry_after: int | None = None  # seconds after which the same request may succeed
    waits: bool = False

    def __init__(
        self,
        detail: str,
        errors: Mapping[str, Sequence[str]] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = {name: list(texts) for name, texts in (errors or {}).items()}
        self.extra = dict(extra or {})


class Invalid(OclError):
    """A body, parameter or line is invalid."""

    def __init__(
        self,
        errors: Mapping[str, Sequence[str]],
        extra: Mapping[str, Any] | None = None,
        *,
        waits: bool = False,
    ) -> None:
        field, texts = next(iter(errors.items()))
        detail = (
            texts[0] if field == "__all__" or texts[0].startswith(field) else f"{field}: {texts[0]}"
        )
        super().__init__(detail, errors, extra)
        self.waits = waits

    @classmethod
    def field(cls, name: str, text: str, *, waits: bool = False) -> "Invalid":
        """Return the error for one field with one reason."""
        return cls({name: [text]}, waits=waits)


class NotAuthenticated(OclError):
    """Credentials are missing or not valid."""


class Forbidden(OclError):
    """The caller is known and may not do this."""


class NotFound(OclError):
    """No such item, or one that the caller must not see."""

    def __init__(self, detail: str, *, waits: bool = False) -> None:
        super().__init__(detail)
        self.waits = waits


class Frozen(OclError):
    """A write to a state that can no longer change."""


class MethodNotAllowed(OclError):
    """The path exists but not for this method; `allow` lists its methods."""

    def __init__(self, detail: str, allow: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.allow = tuple(allow)


class VersionExists(OclError):
    """The repository already has a version of that id."""


class BodyTooLarge(OclError):
    """The request body is over the size limit."""


class UnsupportedMediaType(OclError):
    """The request's content type is not JSON."""


class TooManyRequests(OclError):
    """The caller sent too many requests; the next one is accepted after `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many requests; try again in {retry_after} s")
        self.retry_after = retry_after


class LinkRefused(OclError):
    """An export link whose signature is wrong or has expired."""


class RangeNotSatisfiable(OclError):
    """A byte range outside the archive; `size` is its length in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the requested range is outside the archive of {size} bytes")
        self.size = size


class ExportFailed(OclError):
    """The last export job of this version failed recently. A later request starts another."""

    retry_after = 60


class RepositoryBusy(OclError):
    """This write waited too long for other writers; nothing was written."""

    retry_after = 1


class StoreUnavailable(OclError):
    """The database, or the archives of exports, can't be reached."""

    retry_after = 5


class QueueUnavailable(OclError):
    """The job queue can't be reached; nothing was started."""

    retry_after = 10


class SearchUnavailable(OclError):
    """No search engine responded in time: it is down or too slow."""

    retry_after = 5
    # The engine refused this request as invalid. It would fail again, while others may succeed.
    refused = False


class SearchBehind(OclError):
    """The search engine has not indexed the requested revision yet; the store has it."""


class WrongFormat(OclError):
    """The database has another format than this program, see oclapi/migration.py."""


class IndexBusy(OclError):
    """The search index is being rebuilt already."""


class IndexIncomplete(OclError):
    """A rebuilt search index lacks rows; it was not put into use."""


class OutcomeUnknown(OclError):
    """The response to a commit was lost, and the commit could not be looked up.

    It may or may not have happened.
    """

    retry_after = 5


class Overtaken(OclError):
    """A job that was cancelled or replaced by another one."""
