"""Views: what is read is a function of a repository and a revision."""

from dataclasses import dataclass, replace
from datetime import datetime

from oclapi.model import Repository, Revision, Version
from oclapi.representations import head_version
from oclapi.store.database import Session
from oclapi.store.store import Store
from search.base import Scope, Span


@dataclass(frozen=True, slots=True)
class View:
    """A repository or one of its versions, at a revision."""

    repo: Repository
    version: Version | None  # None for HEAD
    revision: Revision

    @property
    def named(self) -> Repository | Version:
        """The version, or the repository at HEAD. Its counts and dates are of its own revision."""
        return self.version or self.repo

    @property
    def shown_version(self) -> Version:
        """The version, or HEAD as a version."""
        return self.version or head_version(self.repo)

    def at(self, number: int) -> "View":
        """Return the same view at another revision of the repository."""
        return replace(self, revision=Revision(self.repo.number, number))

    def scope(self, since: int = 0) -> Scope:
        """Return what to search: the rows of the view that commit `since` or a later one wrote."""
        return Scope((Span(self.revision, since),)) if since <= self.revision.number else Scope()


def head(repo: Repository) -> View:
    """Return the view of the newest revision."""
    return View(repo, None, repo.revision)


def of_version(repo: Repository, version: Version) -> View:
    """Return the view of a version."""
    return View(repo, version, version.revision)


def content_at(store: Store, session: Session, view: View) -> datetime:
    """Return the time of the newest commit in the view, or of the repository's creation."""
    if view.revision == view.named.revision:
        return view.named.content_at
    return store.rows.content_at(session, view.revision) or view.repo.created_on
