"""Ids of content with any characters: paths, bodies, filters, pages, exports (contract 1.2)."""

import io
import json
import unicodedata
import zipfile
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.export import build_export
from oclapi import urls
from oclapi.model import ExportKey
from tests.builders import concept_body, good, new_source
from tests.unit.test_urls import SPELLINGS, is_id

pytestmark = pytest.mark.servers

IDS = {
    "HEM/BC": "HEM%2FBC",
    "Food/Papaya": "Food%2FPapaya",
    "HP:0000118": "HP:0000118",
    "mg/dL": "mg%2FdL",
    "%": "%25",
    "%2F": "%252F",
    "M8000/3": "M8000%2F3",
    "A+": "A%2B",
    "1.0.0+b1": "1.0.0%2Bb1",
    "[12.03.2025.1]": "%5B12.03.2025.1%5D",
    "FY21 Q1": "FY21%20Q1",
    "Ébola": "%C3%89bola",
    "здоров'я": "%D0%B7%D0%B4%D0%BE%D1%80%D0%BE%D0%B2%27%D1%8F",
    'a "b", c': "a%20%22b%22%2C%20c",
    "HEM/names": "HEM%2Fnames",
    "?limit=1#x": "%3Flimit%3D1%23x",
    "😀" * 255: "%F0%9F%98%80" * 255,
}
"""Ids, and their canonical spelling in URLs."""
ODD = pytest.mark.parametrize(("short", "spelled"), IDS.items(), ids=lambda text: ascii(text[:12]))
BAD = {
    "x" * 256: "must have 1 to 255 characters",
    "": "must have 1 to 255 characters",
    ".": "may not be . or .., which clients and proxies remove from a URL",
    "..": "may not be . or .., which clients and proxies remove from a URL",
    " a": "must not begin or end with white space",
    "a\u00a0": "must not begin or end with white space",
    "a\tb": "the character U+0009 is not allowed",
    "a\x7fb": "the character U+007F is not allowed",
    "a\u2028b": "the character U+2028 is not allowed",
    "a\ue000b": "the character U+E000 is not allowed",
}


SOME_IDS = st.text(max_size=20).filter(is_id).map(urls.nfc) | st.sampled_from(list(IDS))


def exported(api, app, services, source, version):
    """The archive of a version, built now."""
    repo = services.store.repos.by_url(source.url)
    key = services.store.versions.by_id(repo.number, version).key
    with app.app_context():
        build_export(key, services.store.exports.read(ExportKey(key)).job.token)
    return good(raw(api, f"{urls.version_url(source.url, version)}export/"))


def raw(api, path, method="GET", query="", **options):
    """Send a request whose path is exactly this text."""
    line = f"{path}?{query}" if query else path
    overrides = {"RAW_URI": line, "REQUEST_URI": line, "QUERY_STRING": query}
    return api.open(method, "/", environ_overrides=overrides, **options)


@ODD
def test_a_concept_is_found_under_every_spelling_of_its_id(api, source, short, spelled):
    url = f"{source.url}concepts/{spelled}/"
    response = source.concept(short)
    assert response.headers["Location"] == f"http://localhost{url}"
    assert (response.get_json()["id"], response.get_json()["url"]) == (short, url)

    duplicate = api.post(
        f"{source.url}concepts/", concept_body(unicodedata.normalize("NFD", short))
    )
    assert (duplicate.status_code, list(duplicate.get_json()["errors"])) == (400, ["__all__", "id"])

    for write in SPELLINGS.values():
        path = f"{source.url}concepts/{quote(write(short), safe='%/')}"
        for found in (raw(api, path), raw(api, f"{path}/"), raw(api, f"{path}/1/")):
            assert good(found).get_json()["url"] == url
        assert good(raw(api, f"{path}/", "HEAD")).data == b""
        assert "PUT" in good(raw(api, f"{path}/", "OPTIONS")).headers["Allow"]
        assert good(raw(api, f"{path}/names/")).get_json()[0]["name"] == f"Name of {short}"
        good(raw(api, f"{path}/extras/a%2Fb/", "PUT", json={"a/b": 1}))
    assert good(raw(api, f"{url}versions/")).get_json()[-1]["url"] == f"{url}1/"
    changed = raw(
        api,
        url,
        "PUT",
        json={"id": unicodedata.normalize("NFD", short), "datatype": "Numeric"},
    )
    assert good(changed).get_json()["version_url"] == f"{url}3/"
    name = good(raw(api, f"{url}names/", "POST", json={"name": "n", "locale": "en"}))
    uuid = name.get_json()["uuid"]
    assert name.headers["Location"] == f"http://localhost{url}names/{uuid}/"
    assert good(raw(api, name.headers["Location"].removeprefix("http://localhost")))
    assert raw(api, url, "DELETE").status_code == 204
    assert source.ids("concepts/?retired=true") == [short]


@ODD
def test_a_mapping_names_concepts_under_every_spelling(api, source, short, spelled):
    source.concepts(short, "B")
    url = f"{source.url}concepts/{spelled}/"
    for position, write in enumerate(SPELLINGS.values()):
        body = {
            "id": f"{position}{short}"[:255],
            "map_type": f"T{position}",
            "from_concept_url": f"http://localhost{source.url}concepts/{write(short)}",
            "to_concept_url": f"{source.url}concepts/B/",
        }
        shown = good(api.post(f"{source.url}mappings/", body)).get_json()
        assert (shown["from_concept_url"], shown["from_concept_code"]) == (url, short)
        assert shown["url"] == urls.item_url(source.url, "mapping", body["id"])
        assert good(raw(api, shown["version_url"])).get_json()["id"] == body["id"]

        for value in (f"{source.url}concepts/{write(short)}", short):
            value = '"' + value.replace('"', '""') + '"'
            for name in ("concept", "fromConcept"):
                query = f"{name}={quote(value)}&limit=0"
                found = good(raw(api, f"{source.url}mappings/", query=query)).get_json()
                assert len(found) == position + 1
    assert len(good(raw(api, f"{url}mappings/")).get_json()) == len(SPELLINGS)

    external = {
        "map_type": "EXT",
        "from_concept_url": f"{source.url}concepts/B/",
        "to_source_url": source.url,
        "to_concept_code": unicodedata.normalize("NFD", short),
    }
    shown = good(api.post(f"{source.url}mappings/", external)).get_json()
    assert shown["to_concept_code"] == external["to_concept_code"]
    internal = {**external, "to_concept_url": url, "to_source_url": None, "to_concept_code": None}
    again = api.post(f"{source.url}mappings/", internal)
    assert (again.status_code, list(again.get_json()["errors"])) == (400, ["__all__"])


@ODD
def test_a_version_has_its_pages_exports_and_links(
    api, app, services, source, queue, short, spelled
):
    source.concepts(*(f"{short[:200]}/{number}" for number in range(3)))
    url = f"{source.url}{spelled}/"
    response = source.release(short)
    assert response.headers["Location"] == f"http://localhost{url}"
    assert (response.get_json()["id"], response.get_json()["version_url"]) == (short, url)
    assert (
        api.post(f"{source.url}versions/", {"id": unicodedata.normalize("NFD", short)}).status_code
        == 409
    )
    later = source.release("later", previous_version=unicodedata.normalize("NFD", short))
    assert later.get_json()["previous_version_url"] == url

    for write in SPELLINGS.values():
        path = f"{source.url}{quote(write(short), safe='%/')}"
        assert good(raw(api, path)).get_json()["version_url"] == url
        at_alias = f"{source.url}versions/{quote(write(short), safe='%/')}/concepts/"
        assert len(good(raw(api, at_alias)).get_json()) == 3
    good(raw(api, url, "PUT", json={"description": "Described"}))
    pages, following = [], f"http://localhost{url}concepts/?limit=1&sortAsc=id"
    while following:
        assert following.startswith(f"http://localhost{url}concepts/?")
        parts = urlsplit(following)
        page = good(raw(api, parts.path, query=parts.query))
        pages += [concept["id"] for concept in page.get_json()]
        following = page.headers.get("next")
    assert pages == [f"{short[:200]}/{number}" for number in range(3)]

    repo = services.store.repos.by_url(source.url)
    archive = exported(api, app, services, source, short)
    with zipfile.ZipFile(io.BytesIO(archive.data)) as file:
        document = json.loads(file.read("export.json"))
    assert (document["id"], document["version_url"]) == (short, url)
    assert [one["url"] for one in document["concepts"]] == [
        urls.item_url(source.url, "concept", name) for name in pages
    ]
    stamp = document["concepts"][-1]["updated_on"][:19].translate(str.maketrans("", "", "-:T"))
    safe = "".join(
        sign if sign.isascii() and (sign.isalnum() or sign in "-._@") else "_" for sign in short
    )[:80]
    name = f"{repo.id}_{safe}.{stamp}"
    true = quote(f"{repo.id}_{short}.{stamp}.zip", safe="")
    assert archive.headers["Content-Disposition"] == (
        f"attachment; filename=\"{name}.zip\"; filename*=UTF-8''{true}"
    )
    assert archive.headers["exportURL"].endswith(f"/{name}.tgz")
    linked = good(api.anonymous.get(urlsplit(archive.headers["exportURL"]).path))
    assert linked.headers["Content-Disposition"] == (
        f"attachment; filename=\"{name}.tgz\"; filename*=UTF-8''{true[:-4]}.tgz"
    )
    assert raw(api, url, "DELETE").status_code == 204


def test_a_plain_but_long_id_is_cut_in_a_file_name(api, app, services, source, queue):
    source.concept("A")
    source.release("v" * 81)
    repo = services.store.repos.by_url(source.url)
    archive = exported(api, app, services, source, "v" * 81)
    header = archive.headers["Content-Disposition"]
    assert header.startswith(f'attachment; filename="{repo.id}_{"v" * 80}.2')
    assert f"filename*=UTF-8''{repo.id}_{'v' * 81}.2" in header


@pytest.mark.parametrize(("short", "problem"), BAD.items(), ids=lambda text: ascii(text[:12]))
def test_a_bad_id_of_content_is_refused_and_in_a_path_unknown(api, source, short, problem):
    source.concepts("A", "B")
    bodies = {
        "concepts": concept_body(short),
        "mappings": {**source.mapping_body("m", "A", "B"), "id": short},
        "versions": {"id": short},
    }
    for noun, body in bodies.items():
        response = api.post(f"{source.url}{noun}/", body)
        assert response.status_code == 400
        assert response.get_json()["errors"] == {"id": [problem]}
        if short:
            path = f"{source.url}{noun}/{quote(short, safe='').replace('.', '%2e')}/"
            assert raw(api, path).status_code == 404
    assert source.ids() == ["A", "B"]


@pytest.mark.parametrize("short", ["a\0b", "a\ud800b"])
def test_an_id_with_a_nul_or_a_surrogate_is_refused(api, source, short):
    body = json.dumps(concept_body(short)).encode()
    response = api.open(
        "POST", f"{source.url}concepts/", data=body, headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 400
    assert source.ids() == []


@pytest.mark.parametrize("short", ["HEM/BC", "a b", "É", "a+b", "a:b", "a~b"])
def test_owners_and_repositories_keep_the_plain_rule_and_hear_which_character_is_wrong(
    api, source, short
):
    wrong = next(sign for sign in short if not (sign.isascii() and sign.isalnum()))
    shown = f"{wrong} (U+{ord(wrong):04X})" if wrong != " " else "U+0020"
    problem = f"{shown} is not allowed: an id {urls.ID_RULE}"
    owner = source.url.split("sources/")[0]
    for url, body, field in (
        ("/orgs/", {"id": short, "name": "x"}, "id"),
        (f"{owner}sources/", {"id": short, "name": "x"}, "id"),
        ("/users/", {"username": short, "name": "x", "email": "a@b.org"}, "username"),
    ):
        response = api.post(url, body)
        assert (response.status_code, response.get_json()["errors"]) == (400, {field: [problem]})
    assert raw(api, f"/orgs/{quote(short, safe='')}/").status_code == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
@pytest.mark.parametrize(
    "broken", ["%zz", "%", "A%", "%2", "%FF", "%C3", "%ED%A0%80", "%c3%28", "%C3%A9%zz"]
)
def test_a_step_that_is_not_utf_8_or_has_a_broken_escape_is_400(api, source, broken, method):
    for path in (
        f"{source.url}concepts/{broken}/",
        f"{source.url}concepts/{broken}",
        f"{source.url}{broken}/concepts/",
        f"{source.url}extras/{broken}/",
        f"/orgs/{broken}/",
        f"/{broken}/",
        f"/exports/1/{broken}/2/3/4.tgz",
    ):
        response = raw(api, path, method, **({"json": {}} if method != "GET" else {}))
        assert response.status_code == 400
        assert response.get_json()["detail"].startswith("a p")
        assert response.headers["Content-Type"] == "application/json"
    assert raw(api, f"{source.url}concepts/{broken}/", "HEAD").status_code == 400


def test_an_escape_is_decoded_once_and_its_case_does_not_matter(api, source):
    source.concepts("/", "%2F", "%252F", "é", "É")
    for spelled, short in {
        "%2f": "/",
        "%2F": "/",
        "%252F": "%2F",
        "%252f": None,
        "%25252F": "%252F",
        "%C3%A9": "é",
        "%c3%a9": "é",
        "e%CC%81": "é",
        "E%CC%81": "É",
    }.items():
        response = raw(api, f"{source.url}concepts/{spelled}/")
        if short is None:
            assert response.status_code == 404
        else:
            assert good(response).get_json()["id"] == short


def test_an_id_that_ends_like_a_sub_resource_is_not_that_sub_resource(api, source):
    source.concepts("HEM", "HEM/names", "names", "concepts")
    assert isinstance(good(raw(api, f"{source.url}concepts/HEM/names/")).get_json(), list)
    for spelled, short in {
        "HEM%2Fnames": "HEM/names",
        "names": "names",
        "concepts": "concepts",
    }.items():
        assert good(raw(api, f"{source.url}concepts/{spelled}/")).get_json()["id"] == short
        assert len(good(raw(api, f"{source.url}concepts/{spelled}/names/")).get_json()) == 1
    assert raw(api, f"{source.url}concepts%2FHEM/").status_code == 404
    assert raw(api, f"{source.url.replace('/sources/', '%2Fsources/')}").status_code == 404


def test_repeated_slashes_and_long_paths_are_answered(api, source):
    source.concept("a")
    assert raw(api, f"{source.url}concepts//a/").status_code == 404
    assert raw(api, f"{source.url}concepts/a//").status_code == 404
    assert raw(api, f"{source.url}concepts/{'%41' * 256}/").status_code == 404
    assert raw(api, f"{source.url}concepts/{'%C3%A9' * 1000}/").status_code == 404
    assert raw(api, f"{source.url}concepts/{'%2F' * 5000}/").status_code == 404
    assert raw(api, f"{source.url}concepts/{'%2F' * 6000}/").status_code == 414
    assert raw(api, f"{source.url}concepts/{'x' * 5000}/").status_code == 404


def test_the_application_can_be_mounted_below_a_prefix(api, source):
    source.concept("a/b")
    for path, status in (
        (f"/api{source.url}concepts/a%2Fb/", 200),
        (f"{source.url}concepts/a%2Fb/", 200),  # a proxy has removed the prefix
        (f"/apiary{source.url}concepts/a%2Fb/", 404),
    ):
        overrides = {"RAW_URI": path, "REQUEST_URI": path, "SCRIPT_NAME": "/api"}
        assert api.open("GET", "/", environ_overrides=overrides).status_code == status


def test_a_url_with_blanks_and_percent_signs_names_its_concept(api, source):
    source.concepts("Discharge location", "Dextrose 5%", "A")
    for start, code in {
        "Discharge location/": "Discharge location",
        "Dextrose 5%": "Dextrose 5%",
    }.items():
        body = {**source.mapping_body("m", "A", "A"), "id": code}
        body["from_concept_url"] = f"{source.url}concepts/{start}"
        shown = good(api.post(f"{source.url}mappings/", body)).get_json()
        assert shown["from_concept_code"] == code
        assert shown["from_concept_url"] == f"{source.url}concepts/{quote(code)}/"


@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(ids=st.lists(SOME_IDS, unique=True, min_size=3, max_size=8))
def test_any_ids_make_the_round_trip(api, app, services, queue, ids):
    source = new_source(api)
    source.concepts(*ids)
    for short in ids:
        url = urls.item_url(source.url, "concept", short)
        for write in SPELLINGS.values():
            path = f"{source.url}concepts/{quote(write(short), safe='%/')}/"
            assert good(raw(api, path)).get_json()["url"] == url
    for sort in ("lastUpdate", "id", "name"):
        assert sorted(source.ids(f"concepts/?limit=0&sortAsc={sort}")) == sorted(ids)
    source.release("v1")
    content = good(api.get(f"{source.url}v1/?includeConcepts=true&limit=0")).get_json()
    assert [concept["id"] for concept in content["concepts"]] == ids
    archive = exported(api, app, services, source, "v1")
    with zipfile.ZipFile(io.BytesIO(archive.data)) as file:
        document = json.loads(file.read("export.json"))
    assert document["concepts"] == content["concepts"]


def test_the_code_of_an_external_mapping_may_be_no_id(api, source):
    source.concept("A")
    for number, code in enumerate((".", "..", "a\ue000", "/", "😀" * 32_000, "x" * 32_000)):
        body = {
            "map_type": f"T{number}",
            "from_concept_url": f"{source.url}concepts/A/",
            "to_source_url": source.url,
            "to_concept_code": code,
        }
        shown = good(api.post(f"{source.url}mappings/", body)).get_json()
        assert shown["to_concept_code"] == code
        again = api.post(f"{source.url}mappings/", body)
        assert (again.status_code, list(again.get_json()["errors"])) == (400, ["__all__"])
        assert api.put(shown["url"], {"external_id": "x"}).status_code == 200


def test_the_log_names_the_decoded_ids(api, source, caplog):
    source.concept("HEM/É")
    caplog.set_level("INFO", logger="oclapi.app")
    good(api.get(f"{source.url}HEAD/concepts/HEM%2F%C3%89/"))
    record = next(one for one in caplog.records if one.getMessage() == "request")
    assert (record.version, record.concept) == ("HEAD", "HEM/É")
    assert record.address.endswith("/concepts/<content:concept>/")


def test_a_filter_takes_urls_of_the_longest_ids(api, source):
    short = "😀" * 255
    source.concepts(short, "A")
    source.mapping("m", short, "A")
    url = urls.item_url(source.url, "concept", short)
    found = good(raw(api, f"{source.url}mappings/", query=f"concept={quote(url)}&limit=0"))
    assert [mapping["id"] for mapping in found.get_json()] == ["m"]
    for value in ("/" + "." * 8000, "/orgs/" + "x" * 8186, "/" + "%2F" * 2700):
        query = f"concept={value},{value}"[:16_000]
        assert good(raw(api, f"{source.url}mappings/", query=query)).get_json() == []
    response = raw(api, f"{source.url}mappings/", query=f"concept=/{'x' * 8192}")
    assert (response.status_code, list(response.get_json()["errors"])) == (400, ["concept"])


@ODD
def test_words_of_an_id_find_it(api, source, short, spelled):
    source.concepts(short, "other")
    if not any(sign.isalnum() for sign in short):
        return
    query = f"q={quote(short, safe='')}"
    found = good(raw(api, f"{source.url}concepts/", query=query)).get_json()
    assert [concept["id"] for concept in found] == [short]


@pytest.mark.parametrize("sort", ["id", "lastUpdate", "name", "conceptClass"])
@pytest.mark.parametrize("direction", ["sortAsc", "sortDesc"])
def test_pages_of_odd_ids_hold_each_once(api, source, sort, direction):
    wanted = list(IDS)
    source.concepts(*wanted)
    found, following = [], f"{source.url}concepts/?limit=2&{direction}={sort}"
    while following:
        parts = urlsplit(following)
        page = good(raw(api, parts.path, query=parts.query))
        found += [concept["id"] for concept in page.get_json()]
        following = page.headers.get("next")
    assert sorted(found) == sorted(wanted)
    assert found == source.ids(f"concepts/?limit=0&{direction}={sort}")
