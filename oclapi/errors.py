"""Every way in which a request can fail, one leaf class per failure. Knows no HTTP:
resources/errors.py gives statuses.

OclError
  Invalid                 a body, parameter or line breaks a rule; `errors` says which field and why
  NotAuthenticated        credentials are needed, or those given are not good
  Forbidden               the caller is known and may not do this
  NotFound                no such item (or one that the caller must not know of)
  Frozen                  a write to a state that can't change any more
  MethodNotOffered        the address exists, the method is not offered there
  VersionExists           the repository already has a version of that id
  BodyTooLarge, BodyTypeNotAccepted
  TooManyRequests         the caller asked more often than the operator allows
  LinkRefused             an export link whose signature is wrong or has expired
  RangeNotSatisfiable     a byte range outside the archive
  ExportFailed            the last export job of a version failed a moment ago
  RepositoryBusy          other writers kept this one waiting too long; nothing was written
  StoreUnavailable, QueueUnavailable, SearchUnavailable
  SearchBehind            the search engine has still to learn of what is asked for
  IndexBusy, IndexIncomplete   why a command could not make the search index again
  OutcomeUnknown          the store's answer to a commit was lost: it may or may not have happened
  Overtaken               a job whose token is no longer the export's: another one owns it now
"""

from collections.abc import Mapping, Sequence
from typing import Any


class OclError(Exception):
    """Base of all. `detail` is one readable sentence; `errors` maps a field to its messages;
    `extra` are further answer keys.
    """

    retry_after: int | None = None  # seconds after which the same request may succeed

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
    """A body, parameter or line breaks a rule."""

    def __init__(
        self, errors: Mapping[str, Sequence[str]], extra: Mapping[str, Any] | None = None
    ) -> None:
        field, texts = next(iter(errors.items()))
        detail = (
            texts[0] if field == "__all__" or texts[0].startswith(field) else f"{field}: {texts[0]}"
        )
        super().__init__(detail, errors, extra)

    @classmethod
    def field(cls, name: str, text: str) -> "Invalid":
        """One field, one reason."""
        return cls({name: [text]})


class NotAuthenticated(OclError):
    """Credentials are needed, or those given are not good."""


class Forbidden(OclError):
    """The caller is known and may not do this."""


class NotFound(OclError):
    """No such item, or one that the caller must not know of."""


class Frozen(OclError):
    """A write to a state that can't change any more."""


class MethodNotOffered(OclError):
    """The address exists, the method is not offered there; `allow` names those that are."""

    def __init__(self, detail: str, allow: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.allow = tuple(allow)


class VersionExists(OclError):
    """The repository already has a version of that id."""


class BodyTooLarge(OclError):
    """The request's body is over the size limit."""


class BodyTypeNotAccepted(OclError):
    """The request's content type is not JSON."""


class TooManyRequests(OclError):
    """The caller asked more often than the operator allows; `retry_after` seconds later the next
    request is answered.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many requests; the next one is answered in {retry_after} s")
        self.retry_after = retry_after


class LinkRefused(OclError):
    """An export link whose signature is wrong or has expired."""


class RangeNotSatisfiable(OclError):
    """A byte range outside the archive; `size` is its length in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the archive has {size} bytes; the range asked for is outside it")
        self.size = size


class ExportFailed(OclError):
    """The last export job of this version failed a moment ago; asking again later starts another."""

    retry_after = 60


class RepositoryBusy(OclError):
    """Other writers kept this one waiting too long; nothing was written."""

    retry_after = 1


class StoreUnavailable(OclError):
    """The database, or the archives of exports, can't be reached."""

    retry_after = 5


class QueueUnavailable(OclError):
    """The job queue can't be reached; nothing was started."""

    retry_after = 10


class SearchUnavailable(OclError):
    """No search engine could answer in time: it is down, or too slow."""

    retry_after = 5
    # the engine takes this very request for wrong: sent again, it fails again, others may not
    refused = False


class SearchBehind(OclError):
    """The search engine has not learnt of the revision asked for; the store can answer."""


class IndexBusy(OclError):
    """The search index is being made again already."""


class IndexIncomplete(OclError):
    """A search index that was made again lacks rows; it was not put into use."""


class OutcomeUnknown(OclError):
    """The store's answer to a commit was lost and it could not be looked up: it may or may not have
    happened.
    """

    retry_after = 5


class Overtaken(OclError):
    """A job whose token is no longer the export's: another one owns it now, or it was cancelled."""
