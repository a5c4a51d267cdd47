"""What holds for a stored repository at every moment, whatever was killed before."""

import hashlib
import itertools
from collections import Counter, defaultdict

from oclapi import jsonio, times
from oclapi.model import LIVE, ExportKey
from oclapi.store.commits import COUNTED
from oclapi.store.digests import EMPTY


def check_repository(store, number):
    """Read everything that the store has of a source and check that it is consistent.

    Raises AssertionError. The log has every revision in order of time, with the counts
    and the content digest of the rows that are visible at it. The rows of an entry form a chain
    without gap or overlap, and the last one is living. Each body has the revision, the time and the
    state of its row. Mappings show the names of their concepts.
    """
    repo = store.database.repos.find_one({"_id": number})
    log = list(store.database.revisions.find({"repo": number}).sort("rev"))
    rows = list(store.database.rows.find({"repo": number}).sort([("from_rev", 1), ("url", 1)]))
    check_log(repo, log)
    check_counts(log, rows)
    check_digests(repo, log, rows)
    check_chains(repo, rows)
    moments = {revision["rev"]: revision["at"] for revision in log}
    for row in rows:
        check_body(row, moments)
    check_names(rows)
    check_versions(store, repo, log)


def check_log(repo, log):
    assert [revision["rev"] for revision in log] == list(range(1, repo["rev"] + 1))
    ats = [revision["at"] for revision in log]
    assert all(earlier < later for earlier, later in itertools.pairwise(ats))
    assert len({revision["commit"] for revision in log}) == len(log)
    if log:
        assert (repo["counts"], repo["content_at"]) == (log[-1]["counts"], log[-1]["at"])
        assert repo["at"] >= log[-1]["at"]
    else:
        assert repo["counts"] == dict.fromkeys(COUNTED, 0)


def check_counts(log, rows):
    """Check that each revision's counts are those of its visible rows and of its own changes."""
    moved, written = defaultdict(Counter), Counter(row["from_rev"] for row in rows)
    for row in rows:
        names = (
            [f"{row['kind']}s"] if row["retired"] else [f"{row['kind']}s", f"active_{row['kind']}s"]
        )
        moved[row["from_rev"]].update(names)
        moved[row["to_rev"]].subtract(names)
    visible = Counter(dict.fromkeys(COUNTED, 0))
    for revision in log:
        visible.update(moved[revision["rev"]])
        assert revision["counts"] == visible, revision["rev"]
        assert revision["changes"] == written.pop(revision["rev"])
    assert not written, "rows of a revision that the log does not name"


def check_digests(repo, log, rows):
    """Check each row's hash and each revision's digest, as the contract defines them (21.4)."""
    total, moved = 0, Counter()
    for row in rows:
        digest = hashlib.sha512(row["url"].encode() + b"\0" + row["body"])
        assert row["hash"] == digest.digest(), row["url"]
        moved[row["from_rev"]] += int(digest.hexdigest(), 16)
        moved[row["to_rev"]] -= int(digest.hexdigest(), 16)
    for revision in log:
        total += moved[revision["rev"]]
        assert revision["digest"].hex() == f"{total % 2**512:0128x}", revision["rev"]
    assert repo["digest"] == (log[-1]["digest"] if log else EMPTY)


def check_chains(repo, rows):
    items = defaultdict(list)
    for row in rows:
        assert 1 <= row["from_rev"] <= repo["rev"], row["url"]
        assert row["to_rev"] == LIVE or row["from_rev"] < row["to_rev"] <= repo["rev"], row["url"]
        items[row["url"]].append(row)
    for url, states in items.items():
        ends = [row["to_rev"] for row in states]
        assert ends == [*(row["from_rev"] for row in states[1:]), LIVE], url
        assert len({jsonio.loads_own(row["body"])["uuid"] for row in states}) == 1, url


def check_body(row, moments):
    body = jsonio.loads_own(row["body"])
    assert (body["url"], body["id"], body["retired"]) == (row["url"], row["id"], row["retired"])
    assert row["at"] == moments[row["from_rev"]], row["url"]
    assert body["updated_on"] == times.format(row["at"]), row["url"]
    assert body["version"] == str(row["number"] if row["kind"] == "mapping" else row["from_rev"]), (
        row["url"]
    )
    assert body["version_url"] == f"{row['url']}{body['version']}/"


def check_names(rows):
    """Check that each state of a mapping shows its source's concept names of the same time."""
    names = defaultdict(list)
    for row in rows:
        if row["kind"] == "concept":
            names[row["url"]].append((row["from_rev"], row["to_rev"], row["display"]))
    for row in rows:
        if row["kind"] != "mapping":
            continue
        body, last = jsonio.loads_own(row["body"]), row["to_rev"] - 1
        shown = {"from": body["from_concept_name"]}
        if body["to_concept_url"] and not row["own_to_name"]:
            shown["to"] = body["to_concept_name"]
        for end, name in shown.items():
            if row[end] in names:
                assert [name] == [
                    display for start, stop, display in names[row[end]] if start <= last < stop
                ], (row["url"], end)


def check_versions(store, repo, log):
    versions = list(store.database.versions.find({"repo": repo["_id"]}).sort("at"))
    assert repo["versions"] == len(versions) + 1
    assert [version["rev"] for version in versions] == sorted(
        version["rev"] for version in versions
    )
    for version in versions:
        assert version["rev"] <= repo["rev"]
        if version["rev"]:
            named = log[version["rev"] - 1]
            assert (version["counts"], version["content_at"]) == (named["counts"], named["at"])
        assert store.exports.read(ExportKey(str(version["_id"]))) is not None
