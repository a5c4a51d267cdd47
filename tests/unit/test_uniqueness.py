"""The index of unique values, compared with a search through all entries."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oclapi.editing.entries import Entry
from oclapi.editing.journal import Journal
from oclapi.editing.uniqueness import UniquenessIndex
from oclapi.errors import Invalid

URLS = ["/a/", "/b/", "/c/"]
VALUES = range(4)
REPOS = [SimpleNamespace(number=number) for number in (1, 2)]

places = st.tuples(st.sampled_from(REPOS), st.sampled_from(URLS))
puts = st.tuples(places, st.sets(st.sampled_from(VALUES)) | st.none())
looks = st.tuples(st.sampled_from(REPOS), st.sampled_from(VALUES))
steps = st.lists(st.one_of(puts.map(lambda put: ("put", *put)), looks.map(lambda at: ("look", at))))


@given(
    st.dictionaries(
        st.tuples(st.sampled_from([1, 2]), st.sampled_from(URLS)), st.sets(st.sampled_from(VALUES))
    ),
    st.lists(st.tuples(st.booleans(), steps), max_size=6),
)
def test_an_index_follows_the_entries_and_what_is_reverted(stored, batches):
    """In each batch all steps are kept, or all are reverted."""
    journal, entries = Journal(), {}
    living = {key: SimpleNamespace(url=key[1], header=values) for key, values in stored.items()}
    index = UniquenessIndex(
        journal,
        entries,
        lambda entry: () if entry.removed else entry.value,
        lambda number, wanted: [
            row for (repo, _), row in living.items() if repo == number and row.header & wanted
        ],
        lambda row: row.header,
    )

    def holders(number, value):
        found = {
            url for (repo, url), row in living.items() if repo == number and value in row.header
        }
        found -= {url for repo, url in entries if repo == number}
        return found | {
            url
            for (repo, url), entry in entries.items()
            if repo == number and not entry.removed and value in entry.value
        }

    def run(steps):
        for step, *what in steps:
            if step == "put":
                (repo, url), values = what
                row = living.get((repo.number, url))
                entry = Entry(repo, "mapping", url, values or set(), row, removed=values is None)
                index.put(entry)
                journal.set(entries, entry.key, entry)
            else:
                ((repo, value),) = what
                assert index.holders(repo.number, value) == holders(repo.number, value)

    for kept, steps in batches:
        if kept:
            run(steps)
        else:
            with pytest.raises(Invalid), journal.whole():
                run(steps)
                raise Invalid.field("x", "y")
    for repo in REPOS:
        for value in VALUES:
            assert index.holders(repo.number, value) == holders(repo.number, value)
