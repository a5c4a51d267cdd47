"""The whole server with the CIEL sample of 2019.

It is imported, released, exported, downloaded and compared, and a subscriber follows it.
"""

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.acceptance.invariants import check_repository
from tests.acceptance.site import COMPLETE, concept_body, document, done, running

pytestmark = [pytest.mark.servers, pytest.mark.slow]

CIEL = "/orgs/CIEL/sources/CIEL/"
V1 = f"{CIEL}v1/"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data():
    folder = os.environ.get("OCL_TEST_DATA")
    if not folder:
        pytest.skip("OCL_TEST_DATA is unset: the CIEL sample is not there")
    return Path(folder)


@pytest.fixture(scope="module")
def concepts(data):
    """The input, by id."""
    return {str(line["id"]): line for line in read_lines(data / "ciel_concepts_2019.jsonl")}


@pytest.fixture(scope="module")
def mappings(data):
    return read_lines(data / "ciel_mappings_2019.jsonl")


@pytest.fixture(scope="module")
def old_export(data):
    return json.loads(document((data / "ciel_export_2015.tgz").read_bytes()))


def read_lines(file):
    return [json.loads(line) for line in file.read_bytes().splitlines()]


@pytest.fixture(scope="module")
def site(data):
    with running() as site:
        yield site


@pytest.fixture(scope="module")
def loaded(site, data, mappings, old_export, tmp_path_factory):
    """Return the outcome of each line of the two files.

    The sources that they name are created over HTTP first.
    """
    metadata = (
        "full_name",
        "description",
        "source_type",
        "website",
        "external_id",
        "default_locale",
        "supported_locales",
    )
    site.new_source("CIEL", "CIEL", **{name: old_export[name] for name in metadata})
    for url in sorted(
        {mapping["to_source_url"] for mapping in mappings if mapping.get("to_source_url")}
    ):
        site.new_source(*url.split("/")[2:5:2])
    return {
        kind: load(site, data / f"ciel_{kind}s_2019.jsonl", kind, tmp_path_factory.mktemp(kind))
        for kind in ("concept", "mapping")
    }


def load(site, file, kind, folder):
    """Import a file as an importer's user would, and return the report's lines."""
    command = [
        sys.executable,
        "-m",
        "oclapi",
        "import",
        str(file),
        "--type",
        kind,
        "--source",
        CIEL,
        "--report",
        str(folder / "report"),
    ]
    ended = subprocess.run(
        command, cwd=REPOSITORY, env=site.environ, capture_output=True, text=True, check=False
    )
    results = read_lines(folder / "report")
    refused_any = any(result["outcome"] == "failed" for result in results)
    assert ended.returncode == int(refused_any), ended.stderr
    return results


@pytest.fixture(scope="module")
def released(site, loaded):
    """Return the detail of version v1, which is created after one more small commit.

    A subscriber sees this commit twice.
    """
    done(site.client.post(f"{CIEL}concepts/", concept_body("newest")))
    body = {"id": "v1", "released": True, "description": "", "external_id": "v1-2019"}
    return done(site.client.post(f"{CIEL}versions/", body)).json


@pytest.fixture(scope="module")
def archive(site, released):
    """The answer that a subscriber's download gave."""
    return site.exported(V1)


@pytest.fixture(scope="module")
def exported(archive):
    return json.loads(document(archive.body))


def refused(concepts, mapping):
    """Return whether the mapping points to a concept of CIEL that is not in the file."""
    target = mapping.get("to_concept_url")
    return target is not None and target.split("/")[-2] not in concepts


def test_every_line_of_the_input_is_accounted_for(loaded, concepts, mappings):
    assert [(line["line"], line["outcome"]) for line in loaded["concept"]] == [
        (number, "created") for number in range(1, len(concepts) + 1)
    ]
    assert len(concepts) == 1946
    assert [line["line"] for line in loaded["mapping"]] == list(range(1, len(mappings) + 1))
    for line, mapping in zip(loaded["mapping"], mappings, strict=True):
        expected = ("failed", ["to_concept_url"]) if refused(concepts, mapping) else ("created", [])
        assert (line["outcome"], list(line["errors"] or {})) == expected, mapping
    assert Counter(line["outcome"] for line in loaded["mapping"]) == {
        "created": 4891,
        "failed": 688,
    }


def test_what_was_loaded_is_whole(site, released):
    with site.store() as store:
        check_repository(store, store.repos.by_url(CIEL).number)


def test_the_export_holds_every_concept_as_it_was_given(exported, concepts):
    there = {
        concept["id"]: concept for concept in exported["concepts"] if concept["id"] != "newest"
    }
    assert len(there) == len(exported["concepts"]) - 1
    assert there.keys() == concepts.keys()
    for id, given in concepts.items():
        assert concept_given(there[id]) == concept_given(given), id
        assert there[id]["url"] == f"{CIEL}concepts/{id}/"
        assert there[id]["display_name"] in [name["name"] for name in given["names"]]


def concept_given(concept):
    """What an author says of a concept, from a line of the input or an entry of an export."""
    fields = ("concept_class", "datatype", "external_id", "retired")
    return (
        str(concept["id"]),
        [concept[field] for field in fields],
        concept["extras"],
        [entry_given(name, "name") for name in concept["names"]],
        [entry_given(description, "description") for description in concept["descriptions"]],
    )


def entry_given(entry, kind):
    return [
        entry[kind].strip(),  # blanks at the ends are cut
        entry["locale"],
        entry.get("locale_preferred", False),
        entry.get(f"{kind}_type"),
        entry["external_id"],
    ]


def test_the_export_holds_every_mapping_that_was_taken_as_it_was_given(
    exported, concepts, mappings
):
    given = [mapping_given(mapping) for mapping in mappings if not refused(concepts, mapping)]
    assert Counter(map(mapping_given, exported["mappings"])) == Counter(given)
    names = {concept["url"]: concept["display_name"] for concept in exported["concepts"]}
    for mapping in exported["mappings"]:
        assert mapping["from_concept_code"] == mapping["from_concept_url"].split("/")[-2]
        assert mapping["from_concept_name"] == names[mapping["from_concept_url"]]
        assert mapping["from_source_url"] == CIEL
        if mapping["to_concept_url"]:
            assert mapping["to_source_url"] == CIEL
            assert mapping["to_concept_code"] == mapping["to_concept_url"].split("/")[-2]
            assert mapping["to_concept_name"] == names[mapping["to_concept_url"]]


def mapping_given(mapping):
    target = mapping.get("to_concept_url")
    outside = (None, None) if target else (mapping["to_source_url"], mapping["to_concept_code"])
    return (
        mapping["from_concept_url"],
        mapping["map_type"],
        target,
        *outside,
        mapping["external_id"],
        mapping["retired"],
    )


def test_the_export_is_in_commit_order(exported):
    for kind in ("concepts", "mappings"):
        keys = [(entry["updated_on"], entry["url"]) for entry in exported[kind]]
        assert keys == sorted(keys)
    assert list(exported)[-2:] == ["concepts", "mappings"]


def test_both_containers_hold_the_same_document_and_say_when_it_was_new(site, archive, exported):
    tarball = done(site.anonymous.get(f"{V1}export/?format=tgz"))
    assert document(tarball.body) == document(archive.body)
    newest = max(
        entry["updated_on"] for kind in ("concepts", "mappings") for entry in exported[kind]
    )
    for answer, ending in ((archive, "zip"), (tarball, "tgz")):
        assert answer.headers["lastUpdated"] == newest
        stamp = newest[:19].translate(str.maketrans("", "", "-:T"))
        assert (
            answer.headers["Content-Disposition"]
            == f'attachment; filename="CIEL_v1.{stamp}.{ending}"'
        )
    assert done(site.anonymous.get(path_of(archive.headers["exportURL"]))).body == tarball.body


def path_of(url):
    return "/" + url.split("/", 3)[3]


def test_the_export_is_the_document_that_the_version_shows(site, exported):
    answer = done(site.client.get(f"{V1}?{COMPLETE}"))
    shown = answer.json
    assert shown.pop("is_processing") is False
    assert shown == exported
    assert [key for key in shown if key in exported] == list(exported)
    assert int(answer.headers["num_found"]) == len(shown["concepts"]) + len(shown["mappings"])
    assert answer.headers["lastUpdated"] == max(
        entry["updated_on"] for entry in shown["concepts"] + shown["mappings"]
    )


def test_an_export_made_again_has_the_same_document_byte_for_byte(site, archive):
    assert site.client.post(f"{V1}export/").status == 202
    again = site.exported(V1)
    assert document(again.body) == document(archive.body)
    assert again.headers["Last-Modified"] >= archive.headers["Last-Modified"]


LISTED = {
    "top": """
        type id description version_external_id released retired extras created_on updated_on
        created_by updated_by version_url url sourceUrl source_url previousVersionUrl
        previous_version_url parentVersionUrl parent_version_url owner owner_type owner_url uuid
        short_code name source_type public_access default_locale full_name website external_id
        custom_validation_schema supported_locales versions_url concepts_url mappings_url
        versions active_concepts active_mappings source concepts mappings
    """,
    "source": """
        type uuid id short_code name full_name description website external_id source_type
        public_access default_locale supported_locales custom_validation_schema extras url
        versions_url concepts_url mappings_url active_concepts active_mappings owner owner_type
        owner_url versions created_on updated_on created_by updated_by
    """,
    "concept": """
        type uuid id external_id concept_class datatype display_name display_locale names
        descriptions retired source source_url owner owner_type owner_url version created_on
        updated_on version_created_on version_created_by extras mappings is_latest_version
        locale version_url url
    """,
    "name": "uuid external_id name locale locale_preferred name_type type",
    "description": "uuid external_id description locale locale_preferred description_type type",
    "mapping": """
        type id external_id retired map_type from_source_owner from_source_owner_type
        from_source_name from_source_url from_concept_code from_concept_name from_concept_url
        to_source_owner to_source_owner_type to_source_name to_source_url to_concept_code
        to_concept_name to_concept_url source owner owner_type url extras created_at updated_at
        created_by updated_by
    """,
}
"""The keys that the contract lists (its section 15, for the source section 8)."""


def types(objects):
    """key -> the JSON types of its values in these objects, null aside."""
    found = defaultdict(set)
    for one in objects:
        for key, value in one.items():
            found[key] |= {type(value)} - {type(None)}
    return found


def check_shape(part, ours, theirs):
    """Check that our objects have every key of theirs that the contract lists.

    The types must be the same, unless the value is always null in theirs.
    """
    mine, old = types(parts(ours)[part]), types(parts(theirs)[part])
    shared = [key for key in LISTED[part].split() if key in old]
    assert len(shared) > len(old) // 2
    for key in shared:
        assert all(key in one for one in parts(ours)[part]), key
        assert not old[key] or mine[key] == old[key], (key, mine[key], old[key])


def parts(exported):
    """Each kind of object in an export."""
    return {
        "top": [exported],
        "source": [exported.get("source", {})],
        "concept": exported["concepts"],
        "name": [name for concept in exported["concepts"] for name in concept["names"]],
        "description": [
            description
            for concept in exported["concepts"]
            for description in concept["descriptions"]
        ],
        "mapping": exported["mappings"],
    }


@pytest.mark.parametrize("part", ["top", "concept", "name", "description", "mapping"])
def test_readers_of_the_original_server_find_their_keys_and_types(part, exported, old_export):
    check_shape(part, exported, old_export)


@pytest.fixture(scope="module")
def like_theirs(site, data):
    """Return the collection of a later server as a source, and the export of such a source."""
    theirs = json.loads((data / "collection_export_v1.json").read_bytes())
    theirs["source"], theirs["sourceUrl"] = theirs.pop("collection"), theirs.pop("collectionUrl")
    metadata = (
        "full_name",
        "description",
        "website",
        "external_id",
        "default_locale",
        "supported_locales",
        "custom_validation_schema",
    )
    source = site.new_source(
        "openmrs", "reference-application", **{name: theirs["source"][name] for name in metadata}
    )
    for concept in theirs["concepts"]:
        done(site.client.post(f"{source}concepts/", concept))
    for version in ("v0", "v1"):
        done(
            site.client.post(
                f"{source}versions/", {"id": version, "description": "", "external_id": "x"}
            )
        )
    return json.loads(document(site.exported(f"{source}v1/").body)), theirs


@pytest.mark.parametrize("part", ["top", "source", "concept", "name", "description"])
def test_readers_of_a_later_server_find_their_keys_and_types(part, like_theirs):
    check_shape(part, *like_theirs)


class Subscriber:
    """A client of the feed: it keeps what it has seen, by URL, and where it is."""

    def __init__(self, site):
        self.client = site.anonymous
        self.copy = {}
        self.since = None

    def subscribe(self, site):
        (newest,) = done(self.client.get(f"{CIEL}versions/?limit=1&released=true")).json
        first = site.exported(newest["version_url"])
        self.since = first.headers["lastUpdated"]
        self.take(json.loads(document(first.body)))

    def poll(self, place=CIEL):
        """Return the entries of the difference by id. The next call continues from it."""
        answer = done(self.client.get(f"{place}?{COMPLETE}&updatedSince={self.since}"))
        self.since = answer.headers["lastUpdated"]
        self.date = answer.headers["Date"]
        return self.take(answer.json)

    def take(self, body):
        entries = [*body["concepts"], *body["mappings"]]
        self.copy |= {entry["url"]: entry for entry in entries}
        return {entry["id"]: entry for entry in entries}

    def complete(self, site):
        """Return whether the copy equals the current content of the source."""
        body = done(site.client.get(f"{CIEL}?{COMPLETE}")).json
        return self.copy == {
            entry["url"]: entry for entry in [*body["concepts"], *body["mappings"]]
        }


def showing(exported, id):
    """The ids of the mappings that show the name of a concept of CIEL."""
    url = f"{CIEL}concepts/{id}/"
    return {
        mapping["id"]
        for mapping in exported["mappings"]
        if url in (mapping["from_concept_url"], mapping["to_concept_url"])
    }


def active(exported, *, mapped):
    """The id of an active concept with mappings in both directions, or without any."""
    starts = {mapping["from_concept_url"] for mapping in exported["mappings"]}
    ends = {mapping["to_concept_url"] for mapping in exported["mappings"]}
    for concept in exported["concepts"]:
        here = (concept["url"] in starts, concept["url"] in ends)
        if not concept["retired"] and here == (mapped, mapped) and concept["id"] != "newest":
            yield concept["id"]


def test_a_subscriber_gets_exactly_what_changed_after_the_release(site, exported):
    subscriber = Subscriber(site)
    subscriber.subscribe(site)
    assert set(subscriber.poll()) == {"newest"}  # the newest commit may come twice
    renamed, gone = list(active(exported, mapped=True))[:2]
    edited = next(active(exported, mapped=False))
    reissued = showing(exported, renamed)
    assert len(reissued) > 2

    client = site.client
    done(client.put(f"{CIEL}concepts/{edited}/extras/unit/", {"unit": "mmol"}))
    done(
        client.put(
            f"{CIEL}concepts/{renamed}/",
            {"names": [{"name": "Another name", "locale": "en", "locale_preferred": True}]},
        )
    )
    done(client.delete(f"{CIEL}concepts/{gone}/"))
    done(client.post(f"{CIEL}concepts/", concept_body("added")))
    mapping = {"id": "m-added", "map_type": "SAME-AS", "from_concept_url": f"{CIEL}concepts/added/"}
    done(
        client.post(f"{CIEL}mappings/", {**mapping, "to_concept_url": f"{CIEL}concepts/{edited}/"})
    )
    difference = subscriber.poll()

    assert set(difference) == {"newest", edited, renamed, gone, "added", "m-added"} | reissued
    assert difference[edited]["extras"]["unit"] == "mmol"
    assert difference[gone]["retired"]
    url = f"{CIEL}concepts/{renamed}/"
    for id in reissued:
        shown = difference[id][
            "from_concept_name" if difference[id]["from_concept_url"] == url else "to_concept_name"
        ]
        assert (shown, difference[id]["version"]) == ("Another name", "2")
    assert subscriber.since == difference["m-added"]["updated_on"]
    assert subscriber.complete(site)
    assert set(subscriber.poll()) == {"m-added"}


def test_the_difference_to_a_newer_version_holds_what_it_brought(site, released):
    subscriber = Subscriber(site)
    subscriber.since = done(site.client.get(CIEL)).headers["lastUpdated"]
    before = set(subscriber.poll())
    done(site.client.post(f"{CIEL}concepts/", concept_body("in-v2")))
    done(site.client.post(f"{CIEL}versions/", {"id": "v2", "released": True}))
    done(site.client.post(f"{CIEL}concepts/", concept_body("after-v2")))
    assert set(subscriber.poll(f"{CIEL}v2/")) == before | {"in-v2"}
    assert set(subscriber.poll()) == {"in-v2", "after-v2"}


def test_a_chain_of_differences_misses_nothing(site, released):
    subscriber = Subscriber(site)
    subscriber.subscribe(site)
    subscriber.poll()
    for turn in range(20):
        done(site.client.post(f"{CIEL}concepts/", concept_body(f"chain-{turn}")))
        found = {id for id in subscriber.poll() if id.startswith("chain-")}
        assert found == {f"chain-{number}" for number in (turn - 1, turn) if number >= 0}
    assert subscriber.complete(site)


def test_a_client_that_keeps_whole_seconds_of_the_date_misses_nothing(site, released):
    subscriber = Subscriber(site)
    subscriber.subscribe(site)
    subscriber.poll()
    for turn in range(30):
        subscriber.since = (
            parsedate_to_datetime(subscriber.date).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        )
        done(site.client.post(f"{CIEL}concepts/", concept_body(f"date-{turn}")))
        assert f"date-{turn}" in subscriber.poll()
    assert subscriber.complete(site)
