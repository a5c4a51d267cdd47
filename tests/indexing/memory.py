"""A small index in memory with the writing methods of SolrIndex, for tests of its writers."""

from oclapi.model import Json
from search.documents import Marker


class MemoryIndex:
    """Documents by id. As in Solr, the document that was read at the newer head stays.

    Tests can observe writes and let them be rejected.
    """

    def __init__(self) -> None:
        self.documents: dict[str, Json] = {}
        self.marks: dict[int, Marker] = {}
        # number of documents, revision of the marker
        self.writes: list[tuple[int, int | None]] = []
        self.refuses: set[str] = set()
        self.before_write = lambda documents, marker: None
        self.after_write = lambda documents, marker: None

    def marker(self, repo):
        return self.marks.get(repo)

    def markers(self):
        return dict(self.marks)

    def write(self, documents, marker=None, *, force=False):
        self.before_write(documents, marker)
        for document in documents:
            old = self.documents.get(document["id"])
            if document["id"] not in self.refuses and (
                force or old is None or old["head"] < document["head"]
            ):
                self.documents[document["id"]] = document
        self.mark(marker)
        self.writes.append((len(documents), marker.rev if marker else None))
        self.after_write(documents, marker)
        return [document["id"] for document in documents if document["id"] in self.refuses]

    def mark(self, marker: Marker | None):
        if marker and (marker.repo not in self.marks or self.marks[marker.repo].rev < marker.rev):
            self.marks[marker.repo] = marker

    def forget(self, repo):
        self.marks.pop(repo, None)
        self.documents = {
            key: document
            for key, document in self.documents.items()
            if document["repo"] != str(repo)
        }

    def count(self, repo):
        return sum(document["repo"] == str(repo) for document in self.documents.values())

    def some_row(self, repo):
        return next(
            (key for key, document in self.documents.items() if document["repo"] == str(repo)), None
        )

    def holds(self, repo, row):
        return repo in self.marks and row in self.documents

    def commit(self):
        """Everything is seen at once."""

    def rows(self, repo):
        """(url, from_rev, to_rev, retired) of every row."""
        held = (document for document in self.documents.values() if document["repo"] == str(repo))
        return sorted(
            (document["url"], document["from_rev"], document["to_rev"], document["retired"])
            for document in held
        )


def stored(store, repo):
    """What `rows` should be."""
    head = store.change_log.head(repo).rev
    return sorted(
        (row.url, row.from_rev, row.to_rev, row.retired)
        for row in store.change_log.headers(repo, head)
    )
