"""Bringing Solr's copy of a repository up to the store's: rows first, then the marker that says how
far they reach.

Whoever is stopped on any line leaves a copy that is right up to its marker, and rows beyond it that
no reader asks for and that are written again. Two who follow the same repository do no harm either:
Solr keeps what was read at the newer revision. Only emptying a copy, or putting another in its
place, beside someone who writes to it could leave a marker above rows that are not there. So these
end the others' turn first (`IndexNotes`), and who finds that after a post takes the marker away
again. So does who finds that a row from before the post is gone: somebody emptied the engine
itself.
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
"""What goes into one post, at most: rows, and bytes of their bodies."""


@dataclass(frozen=True, slots=True)
class Post:
    """Documents that are sent at once, and the revision that the copy has reached with them; None
    inside of a revision.
    """

    documents: list[Json]
    reached: int | None


@dataclass(slots=True)
class _Batch:
    """Documents that wait to be sent."""

    documents: list[Json] = field(default_factory=list)
    size: int = 0  # bytes of their rows' bodies

    def add(self, news: RowChange, url: str) -> None:
        self.documents.append(document(news.row, news.head, url))
        self.size += len(news.row.body)

    def is_full(self) -> bool:
        return len(self.documents) >= ROWS or self.size >= BYTES


@dataclass(slots=True)
class _Canary:
    """A row that was in the copy before the post that is being written, None when there was none."""

    row: str | None


class Follower:
    """Fills one index from one store. `respect_locks`: stop where someone else holds the copy
    (`IndexNotes.hold`).
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
        """Bring the copy up to the repository's head, also to one that it gets meanwhile; True when
        there is nothing left to do.

        `upto`: or up to that revision, and no further than the end of the post that reaches it.
        `enough` is asked after each post with the rows written so far, and may end the work after
        the next whole revision. False too when someone holds the copy. A repository that is gone is
        forgotten. Reading goes on while Solr takes the post before. Raises SearchUnavailable,
        StoreUnavailable, Overtaken (the copy was emptied or replaced meanwhile), NotFound.
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
        """Write the rows of these revisions before their turn, so that words find them beside a
        load that is still being followed.

        They lie beyond the marker, which stays; `follow` writes them again when it comes there.
        Does nothing for a copy without a marker, or one that someone holds. Raises as `follow`.
        """
        generation, head = self._generation(number), self._change_log.head(number)
        if (self._respect_locks and generation.locked) or head is None or not self._begun(head):
            return
        batch, nobody = _Batch(), _Canary(None)
        for news in itertools.chain.from_iterable(
            self._change_log.news(number, rev - 1, rev) for rev in revisions
        ):
            batch.add(news, head.url)
            if batch.is_full():
                self._post(number, generation, Post(batch.documents, None), nobody)
                batch = _Batch()
        self._post(number, generation, Post(batch.documents, None), nobody)

    def _begun(self, head: RepoHead) -> bool:
        reached = self._reached(head)
        return reached is not None and reached >= 0

    def forget(self, number: int) -> None:
        """Empty the copy of a repository.

        Who saw its marker must not write the next one: searches show it until they are renewed, so
        turns end before and after.
        """
        self._notes.next_generation(number)
        self._index.forget(number)
        self._index.commit()
        self._notes.next_generation(number)
        self._notes.accept(number)

    def forget_gone(self, number: int) -> None:
        """Empty the copy of a repository that is deleted."""
        self.forget(number)
        self._notes.forget(number)

    def posts(self, head: RepoHead, after: int) -> Generator[Post, None, None]:
        """What brings the copy from revision `after` to `head`, in order; the last reaches it.

        A post ends with a whole revision; one that is too large for a post comes in several.
        Memory: two posts.
        """
        whole, part, current, done = _Batch(), _Batch(), after, after
        for news in self._change_log.news(head.repo, after, head.rev):
            if news.rev != current:
                whole.documents += part.documents
                whole.size += part.size
                part, done, current = _Batch(), current, news.rev
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
            part.add(news, head.url)
        yield Post(whole.documents + part.documents, head.rev)

    def _reached(self, head: RepoHead) -> int | None:
        """The revision up to which the copy is right; None when it is not one of this repository as
        it is.
        """
        marker = self._index.marker(head.repo)
        if marker is None:
            return None if self._index.count(head.repo) else -1
        if (
            marker.store == self._notes.identity()
            and self._change_log.commit(head.repo, marker.rev) == marker.commit
        ):
            return marker.rev  # it may be newer than `head` when somebody else follows too
        log.warning(
            "the index has another history of a repository and begins it again",
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
        """Write until `enough`; the number of rows written so far, and the revision that the copy
        has reached.
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
        """Write one post; False when someone holds the copy from now on."""
        marker = None
        if post.reached is not None:
            commit = self._change_log.commit(number, post.reached)
            if commit is None:
                raise Overtaken("the repository's log was replaced while it was read")
            marker = Marker(number, post.reached, commit, self._notes.identity())
        refused = self._index.write(post.documents, marker)
        if refused:
            log.error(
                "the index refused documents",
                extra={"repo": number, "documents": len(refused), "first": refused[0]},
            )
            self._notes.refuse(number, refused, datetime.now(UTC))
        if self._change_log.head(number) is None:
            self.forget_gone(number)
            raise NotFound("the repository is gone")
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
