"""Bring Solr's copy of a repository up to date: rows first, then the marker.

A process may be killed on any line. The copy is then correct up to its marker. Rows beyond the
marker are never read, and the next run writes them again. Two processes may follow the same
repository, because Solr keeps the document that was read at the newer revision.

Only emptying or replacing a copy while another process writes to it could leave a marker above rows
that do not exist. So these operations start a new generation first (`IndexNotes`). A writer that
finds a new generation after its post removes the marker. It does the same when its canary, a row
from before the post, no longer exists: then Solr itself was emptied.
"""

import itertools
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from oclapi.errors import NotFound, Overtaken
from oclapi.model import Json
from oclapi.store.change_log import RepoHead, RowChange
from oclapi.store.index_notes import Generation
from oclapi.store.store import Store
from search.documents import Marker, document
from search.solr import SolrIndex

log = logging.getLogger(__name__)

ROWS = 2000
BYTES = 8 * 2**20
"""Most rows of one post, and most bytes of their bodies."""


@dataclass(frozen=True, slots=True)
class Post:
    """Documents that are sent in one request."""

    documents: list[Json]
    reached: int | None  # revision that is complete with them; None in the middle of a revision


@dataclass(slots=True)
class _Batch:
    """Documents that are still to be sent."""

    documents: list[Json] = field(default_factory=list)
    size: int = 0  # bytes of the bodies

    def add(self, change: RowChange, url: str) -> None:
        self.documents.append(document(change.row, change.head, url))
        self.size += len(change.row.body)

    def is_full(self) -> bool:
        return len(self.documents) >= ROWS or self.size >= BYTES


@dataclass(slots=True)
class _Canary:
    """A row that was indexed before the current post."""

    row: str | None  # its document id; None: nothing was indexed before


class Follower:
    """Indexes the revisions of one store in one index.

    With `respect_locks` it stops at a copy that another process has locked (`IndexNotes.lock`).
    """

    def __init__(self, store: Store, index: SolrIndex, *, respect_locks: bool = True) -> None:
        self._store, self._index, self._respect_locks = store, index, respect_locks
        self._notes, self._change_log = store.index_notes, store.change_log

    def follow(
        self,
        number: int,
        enough: Callable[[int], bool] = lambda rows: False,
        upto: int | None = None,
    ) -> bool:
        """Bring the copy up to the head of the repository. Returns True when it is up to date.

        With `upto` it stops after the post that reaches that revision. `enough` is called after
        each post with the number of rows written so far; when it returns True, the work stops after
        the next complete revision. Returns False also when another process has locked the copy. The
        copy of a deleted repository is emptied. The next post is prepared while Solr handles the
        current one.

        Raises SearchUnavailable, StoreUnavailable, NotFound, and Overtaken when the copy was
        emptied or replaced meanwhile.
        """
        generation = self._generation(number)
        if self._respect_locks and generation.locked:
            return False
        head = self._change_log.head(number)
        if head is None:
            self.forget_gone(number)
            return True
        after = self._reached(head)
        if after is None:
            self.forget(number)
            generation, after = self._generation(number), -1
        sent, canary = 0, _Canary(self._index.some_row(number) if after > 0 else None)
        while head.rev > after:
            goal = replace(head, rev=min(head.rev, upto)) if upto is not None else head
            if goal.rev <= after:
                return False
            with closing(self.posts(goal, max(after, 0))) as posts:
                sent, after = self._send(goal, generation, posts, enough, sent, canary)
            if after < goal.rev:
                return False
            head = self._change_log.head(number) or head
            if enough(sent):
                break
        return after >= head.rev

    def index_early(self, number: int, revisions: Sequence[int]) -> None:
        """Index the rows of these revisions now, ahead of earlier revisions.

        So `q` finds an edit while a large import is still being indexed. The marker stays, and
        `follow` writes these rows again later. Does nothing when the copy has no marker or is
        locked. Raises the errors of `follow`.
        """
        generation, head = self._generation(number), self._change_log.head(number)
        if (self._respect_locks and generation.locked) or head is None or not self._begun(head):
            return
        batch, no_canary = _Batch(), _Canary(None)
        for change in itertools.chain.from_iterable(
            self._change_log.changes(number, rev - 1, rev) for rev in revisions
        ):
            batch.add(change, head.url)
            if batch.is_full():
                self._post(number, generation, Post(batch.documents, None), no_canary)
                batch = _Batch()
        self._post(number, generation, Post(batch.documents, None), no_canary)

    def _begun(self, head: RepoHead) -> bool:
        reached = self._reached(head)
        return reached is not None and reached >= 0

    def forget(self, number: int) -> None:
        """Empty the copy of a repository.

        A process that has seen its marker must not write the next one. Searches show the marker
        until the commit, so a new generation starts before and after.
        """
        self._notes.next_generation(number)
        self._index.forget(number)
        self._index.commit()
        self._notes.next_generation(number)
        self._notes.accept(number)

    def forget_gone(self, number: int) -> None:
        """Empty the copy of a deleted repository."""
        self.forget(number)
        self._notes.forget(number)

    def posts(self, head: RepoHead, after: int) -> Generator[Post, None, None]:
        """Yield the posts that bring the copy from revision `after` to `head`, in order.

        A post ends with a complete revision. A revision that is too large is split into several
        posts. Memory: two posts.
        """
        whole, part, current, done = _Batch(), _Batch(), after, after
        for change in self._change_log.changes(head.repo, after, head.rev):
            if change.rev != current:
                whole.documents += part.documents
                whole.size += part.size
                part, done, current = _Batch(), current, change.rev
            if (
                len(whole.documents) + len(part.documents) >= ROWS
                or whole.size + part.size >= BYTES
            ):
                if whole.documents:
                    yield Post(whole.documents, done)
                    whole = _Batch()
                if part.is_full():
                    yield Post(part.documents, None)
                    part = _Batch()
            part.add(change, head.url)
        yield Post(whole.documents + part.documents, head.rev)

    def _reached(self, head: RepoHead) -> int | None:
        """Return the revision up to which the copy is correct.

        Returns -1 for an empty copy and None for a copy of another history of the repository.
        """
        marker = self._index.marker(head.repo)
        if marker is None:
            return None if self._index.count(head.repo) else -1
        if (
            marker.store == self._notes.identity()
            and self._change_log.commit(head.repo, marker.rev) == marker.commit
        ):
            return marker.rev  # newer than `head` when another process follows too
        log.warning(
            "the index has another history of a repository and is built again",
            extra={"repo": head.repo, "rev": marker.rev},
        )
        return None

    def _send(
        self,
        head: RepoHead,
        generation: Generation,
        posts: Iterator[Post],
        enough: Callable[[int], bool],
        sent: int,
        canary: "_Canary",
    ) -> tuple[int, int]:
        """Write posts until `enough`.

        Returns the number of rows written so far and the revision that the copy has reached.
        """
        reached = -1
        with ThreadPoolExecutor(1) as poster:
            posting: Future[bool] | None = None
            for post in posts:
                if posting and not posting.result():
                    return sent, reached
                posting = poster.submit(self._post, head.repo, generation, post, canary)
                sent += len(post.documents)
                if enough(sent) and post.reached is not None:
                    break
            if posting and posting.result() and post.reached is not None:
                reached = post.reached
        return sent, reached

    def _post(self, number: int, generation: Generation, post: Post, canary: "_Canary") -> bool:
        """Write one post. Returns False when another process has locked the copy."""
        marker = None
        if post.reached is not None:
            commit = self._change_log.commit(number, post.reached)
            if commit is None:
                raise Overtaken("the repository's log was replaced while it was read")
            marker = Marker(number, post.reached, commit, self._notes.identity())
        refused = self._index.write(post.documents, marker)
        if refused:
            log.error(
                "the index rejected documents",
                extra={"repo": number, "documents": len(refused), "first": refused[0]},
            )
            self._notes.refuse(number, refused, datetime.now(UTC))
        if self._change_log.head(number) is None:
            self.forget_gone(number)
            raise NotFound("the repository was deleted")
        now = self._generation(number)
        if now.number != generation.number:
            self.forget(number)
            raise Overtaken("the copy was emptied or replaced while it was written")
        if marker and canary.row and not self._index.holds(number, canary.row):
            self.forget(number)
            raise Overtaken("the index was emptied while it was written")
        canary.row = canary.row or next(
            (one["id"] for one in post.documents if one["id"] not in refused), None
        )
        return not (self._respect_locks and now.locked)

    def _generation(self, number: int) -> Generation:
        return self._notes.generation(number, datetime.now(UTC))
