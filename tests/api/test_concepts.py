"""Concepts, their names, descriptions and extras over HTTP (contract 10, 11)."""

from typing import Any

import pytest

from tests.builders import concept_body, good


def shown(source, rest):
    return good(source.api.get(f"{source.url}{rest}")).get_json()


def test_a_created_concept_is_returned_as_it_is_read(api, source):
    created = source.concept(
        "1007",
        datatype="Numeric",
        extras={"units": "mmol/L"},
        external_id="x-1",
        update_comment="first",
    )

    assert created.status_code == 201
    assert created.headers["Location"] == f"http://localhost{source.url}concepts/1007/"
    assert shown(source, "concepts/1007/") == created.get_json()
    concept = created.get_json()
    assert concept["source_url"] == source.url
    assert concept["version_url"] == f"{source.url}concepts/1007/{concept['version']}/"
    assert (concept["extras"], concept["mappings"], concept["is_latest_version"]) == (
        {"units": "mmol/L"},
        [],
        True,
    )
    assert (concept["created_by"], concept["update_comment"]) == ("root", "first")


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH"])
def test_an_update_changes_only_the_given_fields_and_creates_a_version(api, source, method):
    before = source.concept("A", datatype="Text").get_json()

    after = good(
        api.open(
            method,
            f"{source.url}concepts/A/",
            json={"concept_class": "Drug", "update_comment": "why"},
        )
    ).get_json()

    changed = {name for name in before if before[name] != after[name]}
    assert changed == {
        "concept_class",
        "version",
        "version_url",
        "updated_on",
        "version_created_on",
        "update_comment",
    }
    assert shown(source, "concepts/A/") == after


def test_an_update_that_changes_nothing_creates_no_version(api, source):
    before = source.concept("A").get_json()

    after = good(
        api.put(
            f"{source.url}concepts/A/",
            {"concept_class": "Test", "id": "A", "update_comment": "nothing"},
        )
    ).get_json()

    assert after == before
    assert len(shown(source, "concepts/A/versions/")) == 1


def test_a_retired_concept_stays_readable_and_can_be_brought_back(api, source):
    source.concepts("A", "B")

    response = api.delete(f"{source.url}concepts/A/", {"update_comment": "obsolete"})

    assert (response.status_code, response.data) == (204, b"")
    assert "Content-Type" not in response.headers
    concept = shown(source, "concepts/A/")
    assert (concept["retired"], concept["update_comment"]) == (True, "obsolete")
    assert source.ids() == ["B"]
    assert source.ids("concepts/?includeRetired=true") == ["A", "B"]
    assert source.ids("concepts/?retired=true") == ["A"]
    again = api.delete(f"{source.url}concepts/A/")
    assert (again.status_code, list(again.get_json()["errors"])) == (400, ["__all__"])
    good(api.put(f"{source.url}concepts/A/", {"retired": False}))
    assert source.ids("concepts/?retired=false") == ["A", "B"]


def test_every_version_of_a_concept_stays_readable(api, source):
    first = source.concept("A").get_json()
    second = good(api.put(f"{source.url}concepts/A/", {"datatype": "Text"})).get_json()

    listed = shown(source, "concepts/A/versions/")
    assert [entry["version"] for entry in listed] == [second["version"], first["version"]]
    assert [entry["is_latest_concept_version"] for entry in listed] == [True, False]
    assert [entry["is_root_concept_version"] for entry in listed] == [False, True]
    assert listed[0]["previous_version_url"] == first["version_url"]
    assert good(api.get(first["version_url"])).get_json() == {**first, "is_latest_version": False}
    assert good(api.get(second["version_url"])).get_json() == second
    verbose = shown(source, "concepts/A/versions/?verbose=true")
    assert verbose == [second, {**first, "is_latest_version": False}]
    assert api.get(f"{source.url}concepts/A/99/").status_code == 404
    assert api.put(first["version_url"], {"datatype": "x"}).status_code == 405


def test_a_version_of_the_source_shows_its_concepts_as_they_were(api, source):
    source.concept("A", datatype="Text")
    source.release("v1")
    good(api.put(f"{source.url}concepts/A/", {"datatype": "Numeric"}))
    source.concept("B")

    assert shown(source, "v1/concepts/A/")["datatype"] == "Text"
    assert shown(source, "v1/concepts/A/")["is_latest_version"] is True
    assert shown(source, "versions/v1/concepts/A/")["datatype"] == "Text"
    assert shown(source, "latest/concepts/A/")["datatype"] == "Text"
    assert shown(source, "HEAD/concepts/A/")["datatype"] == "Numeric"
    assert source.ids("v1/concepts/") == ["A"]
    assert len(shown(source, "v1/concepts/A/versions/")) == 1
    assert api.get(f"{source.url}v1/concepts/B/").status_code == 404


NEW_NAME: dict[str, Any] = {"name": "Another", "locale": "fr"}
NEW_DESCRIPTION: dict[str, Any] = {"description": "Another", "locale": "fr"}
WRITES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("POST", "concepts/", concept_body("B")),
    ("PUT", "concepts/A/", {"datatype": "Text"}),
    ("PATCH", "concepts/A/", {"datatype": "Text"}),
    ("POST", "concepts/A/", {"datatype": "Text"}),
    ("DELETE", "concepts/A/", {}),
    ("POST", "concepts/A/names/", NEW_NAME),
    ("PUT", "concepts/A/names/:name/", NEW_NAME),
    ("DELETE", "concepts/A/names/:name/", {}),
    ("POST", "concepts/A/descriptions/", NEW_DESCRIPTION),
    ("PUT", "concepts/A/descriptions/:description/", {"description": "Changed"}),
    ("DELETE", "concepts/A/descriptions/:description/", {}),
    ("PUT", "concepts/A/extras/k/", {"k": 2}),
    ("DELETE", "concepts/A/extras/k/", {}),
    ("POST", "mappings/", {"id": "za"}),
    ("PUT", "mappings/az/", {"map_type": "NARROWER-THAN"}),
    ("DELETE", "mappings/az/", {}),
)
"""Writes that HEAD accepts. `:name` and `:description` stand for uuids."""


@pytest.mark.parametrize(
    ("method", "rest", "body"), WRITES, ids=[f"{method} {rest}" for method, rest, _ in WRITES]
)
def test_the_content_of_a_version_is_read_only_and_that_of_head_is_not(
    api, source, services, method, rest, body
):
    source.concept("Z")
    created = source.concept(
        "A",
        extras={"k": 1},
        names=[NEW_NAME, {"name": "A", "locale": "en"}],
        descriptions=[NEW_DESCRIPTION],
    ).get_json()
    source.mapping("az", "A", "Z")
    source.release("v1")
    rest = rest.replace(":name", created["names"][1]["uuid"]).replace(
        ":description", created["descriptions"][0]["uuid"]
    )
    if rest == "mappings/":
        body = source.mapping_body("za", "Z", "A")
    before = stored(services.store, source)

    for version in ("v1", "versions/v1", "latest"):
        frozen = api.open(method, f"{source.url}{version}/{rest}", json=body)

        assert frozen.status_code == 405
        assert "frozen" in frozen.get_json()["detail"]
        assert frozen.headers["Allow"] == "GET, HEAD, OPTIONS"
    assert stored(services.store, source) == before
    good(api.open(method, f"{source.url}HEAD/{rest}", json=body))
    assert stored(services.store, source) != before


def stored(store, source):
    """Return the source, its rows and its versions as stored."""
    repo = store.repos.by_url(source.url)
    rows = list(store.database.rows.find({"repo": repo.number}).sort([("url", 1), ("from_rev", 1)]))
    return repo, rows, list(store.database.versions.find({"repo": repo.number}).sort("id", 1))


def test_mappings_are_included_in_concepts_on_request(api, source):
    source.concepts("A", "B", "C")
    source.mapping("ab", "A", "B")
    source.mapping("ca", "C", "A")
    good(api.delete(f"{source.url}mappings/ca/"))
    source.mapping("ba", "B", "A")

    def ids(rest):
        return [mapping["id"] for mapping in shown(source, rest)["mappings"]]

    assert ids("concepts/A/") == []
    assert ids("concepts/A/?includeMappings=true") == ["ab"]
    assert ids("concepts/A/?includeInverseMappings=true") == ["ab", "ba"]
    assert sorted(ids("concepts/A/?includeInverseMappings=true&includeRetired=true")) == [
        "ab",
        "ba",
        "ca",
    ]
    assert "type" not in shown(source, "concepts/A/?includeMappings=true")["mappings"][0]
    assert shown(source, "concepts/A/?includeMappings=true&verbose=true")["mappings"] == [
        shown(source, "mappings/ab/")
    ]
    assert [m["id"] for m in shown(source, "concepts/A/mappings/")] == ["ab"]
    assert {m["id"] for m in shown(source, "concepts/A/mappings/?includeInverseMappings=true")} == {
        "ab",
        "ba",
    }
    assert shown(source, "concepts/A/mappings/?verbose=true") == [shown(source, "mappings/ab/")]


def test_a_mapping_from_a_concept_to_itself_is_listed_once(source):
    source.concepts("A", "B")
    source.mapping("aa", "A", "A")
    source.mapping("ba", "B", "A")

    def ids(mappings):
        return [mapping["id"] for mapping in mappings]

    inverse = "includeInverseMappings=true"
    for limit in (0, 100):
        rest = f"concepts/A/mappings/?{inverse}&limit={limit}"
        assert ids(shown(source, rest)) == ["aa", "ba"]
        listed = shown(source, f"concepts/?{inverse}&limit={limit}")
        assert {c["id"]: ids(c["mappings"]) for c in listed} == {"A": ["aa", "ba"], "B": ["ba"]}
    assert ids(shown(source, f"concepts/A/?{inverse}")["mappings"]) == ["aa", "ba"]


@pytest.mark.parametrize("limit", [0, 100])
@pytest.mark.parametrize("verbose", ["true", "false"])
def test_mappings_are_included_in_listed_concepts_on_request(api, source, limit, verbose):
    source.concepts("A", "B")
    source.mapping("ab", "A", "B")

    listed = shown(source, f"concepts/?includeInverseMappings=true&limit={limit}&verbose={verbose}")

    assert {
        concept["id"]: [mapping["id"] for mapping in concept["mappings"]] for concept in listed
    } == {"A": ["ab"], "B": ["ab"]}
    assert ("names" in listed[0]) == ("type" in listed[0]["mappings"][0]) == (verbose == "true")


# Names and descriptions


@pytest.mark.parametrize(("part", "text"), [("names", "name"), ("descriptions", "description")])
def test_an_entry_is_added_changed_and_removed(api, source, part, text):
    source.concept("A", descriptions=[{"description": "old", "locale": "en"}])
    url = f"{source.url}concepts/A/{part}/"

    created = api.post(url, {text: "Neu", "locale": "de", f"{text}_type": "SHORT"})
    assert created.status_code == 201
    entry = created.get_json()
    assert created.headers["Location"] == f"http://localhost{url}{entry['uuid']}/"
    assert good(api.get(f"{url}{entry['uuid']}/")).get_json() == entry

    changed = good(api.put(f"{url}{entry['uuid']}/", {text: "Neuer"})).get_json()
    assert changed == {**entry, text: "Neuer"}
    assert shown(source, f"concepts/A/{part}/")[1] == changed

    deleted = api.delete(f"{url}{entry['uuid']}/")
    assert deleted.status_code == 204
    assert api.get(f"{url}{entry['uuid']}/").status_code == 404
    assert api.put(f"{url}{entry['uuid']}/", {text: "x"}).status_code == 404
    assert len(shown(source, "concepts/A/versions/")) == 4


def test_the_last_name_can_not_be_deleted(api, source):
    concept = source.concept("A").get_json()

    response = api.delete(f"{source.url}concepts/A/names/{concept['names'][0]['uuid']}/")

    assert response.status_code == 400
    assert "names" in response.get_json()["errors"]


def test_a_retired_name_or_description_is_shown_and_counts_for_nothing(api, source):
    names = [
        {"name": "Fievre", "locale": "fr", "retired": True, "retire_reason": "misspelt"},
        {"name": "Fever", "locale": "en"},
    ]
    descriptions = [{"description": "Hot", "locale": "en", "retired": True}]
    concept = good(
        source.concept("A", names=names, descriptions=descriptions, retire_reason=None)
    ).get_json()

    assert (concept["display_name"], concept["display_locale"]) == ("Fever", "en")
    retired, kept = concept["names"]
    assert list(retired) == [
        "uuid",
        "external_id",
        "name",
        "locale",
        "locale_preferred",
        "name_type",
        "retired",
        "retire_reason",
        "type",
    ]
    assert (retired["retired"], retired["retire_reason"]) == (True, "misspelt")
    assert (kept["retired"], kept["retire_reason"]) == (False, None)
    [description] = concept["descriptions"]
    assert (description["retired"], description["retire_reason"]) == (True, None)
    source.release("v1")
    whole = shown(source, "v1/?includeConcepts=true&limit=0")
    assert whole["concepts"] == shown(source, "concepts/?verbose=true") == [concept]

    def found(query):
        return [entry["id"] for entry in shown(source, f"concepts/?{query}")]

    for query, ids in {
        "q=fever": ["A"],
        "q=fievre": [],
        "q=hot": [],
        "locale=en": ["A"],
        "locale=fr": [],
    }.items():
        assert found(query) == ids, query


def test_the_last_name_that_is_not_retired_stays(api, source):
    names = [
        {"name": "Fever", "locale": "en"},
        {"name": "Old", "locale": "en", "retired": True, "retire_reason": "old"},
    ]
    kept, old = source.concept("A", names=names).get_json()["names"]
    url = f"{source.url}concepts/A/names/"
    all_retired = {"names": ["at least one name that is not retired is needed"]}

    for response in (
        api.delete(f"{url}{kept['uuid']}/"),
        api.put(f"{url}{kept['uuid']}/", {"retired": True}),
        api.put(f"{source.url}concepts/A/", {"names": [{**kept, "retired": True}]}),
        api.post(f"{source.url}concepts/", concept_body("B", names=names[1:])),
    ):
        assert response.status_code == 400
        assert response.get_json()["errors"] == all_retired

    restored = good(api.put(f"{url}{old['uuid']}/", {"retired": False})).get_json()
    assert restored == {**old, "retired": False, "retire_reason": None}
    assert api.delete(f"{url}{kept['uuid']}/").status_code == 204
    assert shown(source, "concepts/A/")["names"] == [restored]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["Serum glucose", "Glukose", "GLU"]),
        ("locale=de", ["Glukose"]),
        ("locale=DE,fr", ["Glukose", "GLU"]),
        ("name_type=short", ["GLU"]),
        ("q=GLU", ["GLU"]),
        ("q=GLU*", ["Serum glucose", "Glukose", "GLU"]),
        ("q=glucose serum", ["Serum glucose"]),
        ('locale="de"&q=none', []),
    ],
)
def test_names_are_filtered(api, source, query, found):
    names = [
        {"name": "Serum glucose", "locale": "en"},
        {"name": "Glukose", "locale": "de"},
        {"name": "GLU", "locale": "fr", "name_type": "SHORT"},
    ]
    source.concept("A", names=names)

    assert [entry["name"] for entry in shown(source, f"concepts/A/names/?{query}")] == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("fiev", []),
        ("fiev*", ["Fièvre jaune"]),
        ("fievre", ["Fièvre jaune"]),
        ('"jaune fievre"', []),
        ("jaune fievre", ["Fièvre jaune"]),
        ("x-ray", ["X-ray of chest"]),
        ('"of chest"', ["X-ray of chest"]),
        ("*", ["Fièvre jaune", "X-ray of chest"]),
        ("jaune chest", []),
    ],
)
@pytest.mark.parametrize(("part", "text"), [("names", "name"), ("descriptions", "description")])
def test_names_and_descriptions_are_searched_like_lists(api, source, part, text, query, found):
    entries = [{text: value, "locale": "en"} for value in ("Fièvre jaune", "X-ray of chest")]
    source.concept("A", **{part: entries})
    response = good(api.open("GET", f"{source.url}concepts/A/{part}/", query_string={"q": query}))
    assert [entry[text] for entry in response.get_json()] == found


def test_names_and_descriptions_of_old_versions_are_read_only(api, source):
    first = source.concept("A").get_json()
    source.release("v1")
    good(api.put(f"{source.url}concepts/A/", {"names": [{"name": "New", "locale": "en"}]}))

    for base in (first["version_url"], f"{source.url}v1/concepts/A/"):
        assert good(api.get(f"{base}names/")).get_json() == first["names"]
        assert (
            good(api.get(f"{base}names/{first['names'][0]['uuid']}/")).get_json()
            == first["names"][0]
        )
        assert good(api.get(f"{base}descriptions/")).get_json() == []
        assert good(api.get(f"{base}extras/")).get_json() == {}
        assert api.post(f"{base}names/", {"name": "x", "locale": "en"}).status_code == 405
        assert (
            api.put(f"{base}names/{first['names'][0]['uuid']}/", {"name": "x"}).status_code == 405
        )


# Extras

KEYS = {
    "units": "units",
    "a.b": "a.b",
    "$ref": "$ref",
    "50%25": "50%",
    "a%2Fb": "a/b",
    "%C3%A9": "é",
    "%25": "%",
    "a%20b": "a b",
    "names": "names",
    "%2F": "/",
    "%2525": "%25",
}
"""Keys by their spelling in a path."""


@pytest.mark.parametrize(
    "value", [0, False, "", None, 1.0, 2**63 - 1, ["x", {"y": None}], {"deep": {"er": 1}}]
)
def test_an_extra_takes_any_value(api, source, value):
    source.concept("A")
    for base in (f"{source.url}concepts/A/", source.url):
        assert good(api.put(f"{base}extras/key/", {"key": value})).get_json() == {"key": value}
        assert good(api.get(f"{base}extras/key/")).get_json() == {"key": value}
        assert good(api.get(f"{base}extras/")).get_json() == {"key": value}


@pytest.mark.parametrize(("raw", "key"), list(KEYS.items()))
def test_an_extra_has_any_key(api, source, raw, key):
    source.concept("A")
    source.release("v1")
    for base in (f"{source.url}concepts/A/", source.url, f"{source.url}v1/"):
        good(api.put(f"{base}extras/{raw}/", {key: 1, "other": 2}))
        assert good(api.get(f"{base}extras/")).get_json() == {key: 1}
        assert good(api.get(f"{base}extras/{raw}")).get_json() == {key: 1}
        assert api.delete(f"{base}extras/{raw}/").status_code == 204
        assert api.get(f"{base}extras/{raw}/").status_code == 404
        assert api.delete(f"{base}extras/{raw}/").status_code == 404
        assert good(api.get(f"{base}extras/")).get_json() == {}


def test_a_body_without_the_key_is_refused(api, source):
    source.concept("A")
    for base in (f"{source.url}concepts/A/", source.url):
        response = api.put(f"{base}extras/key/", {"other": 1})
        assert response.status_code == 400
        assert "key" in response.get_json()["errors"]


def test_the_size_limit_of_extras_applies_to_writes_of_one_key(api, source):
    source.concept("A", extras={"first": "x" * 700_000})
    good(api.put(f"{source.url}extras/first/", {"first": "x" * 700_000}))
    for base in (f"{source.url}concepts/A/", source.url):
        response = api.put(f"{base}extras/second/", {"second": "x" * 700_000})
        assert (response.status_code, list(response.get_json()["errors"])) == (400, ["extras"])
        assert api.get(f"{base}extras/second/").status_code == 404


def test_each_changed_extra_of_a_concept_creates_a_version(api, source):
    source.concept("A")
    for value in (1, 1, 1.0):
        good(api.put(f"{source.url}concepts/A/extras/n/", {"n": value}))

    assert len(shown(source, "concepts/A/versions/")) == 3
