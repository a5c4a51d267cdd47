"""What only Solr does: spellings, ranking, markers, writing, cores and failures.

The rest is in test_contract.py.
"""

import socketserver
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import search.solr
import search.solr_http
import search.solr_query
from oclapi.errors import SearchBehind, SearchUnavailable
from oclapi.model import Revision
from search.base import Filter, Query, Scope, Span
from search.documents import Marker, document
from search.solr import SolrIndex
from search.words import asks
from tests.search.rows import SOURCE, concept, described, mapping

pytestmark = pytest.mark.solr

AT_1 = Scope((Span(Revision(7, 1)),))


def fill(index, *rows, rev=1, repo=7, store="the store"):
    refused = index.write(
        [document(row, rev, SOURCE) for row in rows], Marker(repo, rev, f"commit {rev}", store)
    )
    index.commit()
    return refused


def ids(hits):
    return [key.url.split("/")[-2] for key in hits.keys]


def found(index, text, sort="bestMatch", **how):
    return ids(index.find(None, AT_1, Query("concept", text, sort=sort), limit=100, **how))


@pytest.fixture(scope="module")
def texts(new_solr_index):
    """An index of names in many spellings and scripts."""
    with new_solr_index(lambda: "the store") as index:
        fill(
            index,
            concept("hyphen", "Chest x-ray"),
            concept("closed", "Chest xray"),
            concept("open", "Chest x ray of lung"),
            concept("hb", "Haemoglobin level"),
            concept("edema", "Edema of leg"),
            concept("tumour", "Tumour behaviour, generalised"),
            concept("zh", "糖尿病の検査"),
            concept("ar", "مَلَارِيَا", "حمى"),
            concept("fa", "بيماري قلبي"),
            concept("gr", "Πυρετός"),
            concept("ru", "Жёлтая лихорадка"),
            concept("hi", "मलेरिया बुखार"),
            concept("ko", "당뇨병 검사"),
            concept("de", "Röntgenstraße"),
            concept("crohn", "Crohn's disease"),
            concept("A00.1", "Cholera, classic"),
            concept("marks", 'say "hi" \\ back'),
            concept("long", "y" * 50_000),
            concept("digits", "Dose ٢٥ mg", "Five \u00b5g"),
            concept("id-part", "Something", external_id="EXT:9/b"),
        )
        yield index


@pytest.mark.parametrize("text", ["x-ray", "x ray", "xray", '"x ray"', "X-RAY", "x-ra*"])
def test_a_hyphenated_word_is_found_in_each_way_to_write_it(texts, text):
    assert sorted(found(texts, text)) == ["closed", "hyphen", "open"]


@pytest.mark.parametrize(
    ("text", "one"),
    [
        ("hemoglobin", "hb"),
        ("haemoglobin", "hb"),
        ("hemog*", "hb"),
        ("hae*", "hb"),
        ("oedema", "edema"),
        ("edema leg", "edema"),
        ("tumor behavior", "tumour"),
        ("tumours", None),
        ("generalized", "tumour"),
        ('"hemoglobin level"', "hb"),
        ("糖尿病", "zh"),
        ("糖", "zh"),
        ("検査", "zh"),
        ("糖尿病の*", "zh"),
        ("病糖", None),
        ("ملاريا", "ar"),
        ("حمي", "ar"),
        ("بیماری", "fa"),
        ("πυρετος", "gr"),
        ("ΠΥΡΕΤΌΣ", "gr"),
        ("желтая", "ru"),
        ("ЛИХОРАДКА", "ru"),
        ("मलेरिया", "hi"),
        ("당뇨병", "ko"),
        ("rontgenstrasse", "de"),
        ("röntgen*", "de"),
        ("crohn", "crohn"),
        ("crohns", "crohn"),
        ("crohn's", "crohn"),
        ("Crohn’s", "crohn"),
        ("A00.1", "A00.1"),
        ("a00", "A00.1"),
        ("A00*", "A00.1"),
        ("A0", None),
        ("cholera classic", "A00.1"),
        ('"hi" back', "marks"),
        ("\\ say", "marks"),
        ("yyyy*", "long"),
        ("25", "digits"),
        ("ext:9/b", "id-part"),
        ("ext:*", "id-part"),
        ("e\u0301dema", "edema"),
        ("मले*", "hi"),
        ("मलेरि*", "hi"),
        ("مَلَا*", "ar"),
        ("\u03bcg", "digits"),
        ("\u00b5g", "digits"),
    ],
)
def test_a_word_is_found_whatever_its_case_accents_spelling_and_script(texts, text, one):
    assert found(texts, text) == ([one] if one else [])


@pytest.mark.parametrize(
    "text",
    [
        "*:*",
        "{!term f=repo}7",
        "x OR y",
        'id:"7"',
        "_query_:x",
        "a^2~",
        "[a TO b]",
        "(",
        '"' * 999,
        "\\" * 999,
        "a\0\x1f\x1e",
        "* a *",
        "a" * 10_000,
        "a*" * 5_000,
        "ab " * 3_300,
        '"' + "a b " * 2_500 + '"',
        " ".join(map(str, range(2_000))),
        "a" * 10_000 + "*",
        " ".join(f"tumor{n}" for n in range(16)),
        "filter(*:*)",
        "糖" * 3_000,
        "/a.*/",
        "\U0001f600",
        "a:b:c/d?e!f&&g||h",
        "-a +b",
    ],
)
def test_no_text_is_refused_or_finds_more_than_its_words(texts, text):
    hits = texts.find(None, AT_1, Query("concept", text, sort="bestMatch"), limit=100)
    assert hits.total in ((0, 1) if asks(text) else (20,))


def test_a_text_is_no_macro_of_solr(texts):
    assert found(texts, "${x}") == found(texts, "x") == ["hyphen", "open"]


def test_the_best_match_comes_first(index):
    fill(
        index,
        concept("d", "Other thing", descriptions=[described("malaria as a long story")]),
        concept("n2", "Severe malaria in children"),
        concept("n1", "Malaria"),
        concept("malaria", "Some fever"),
        concept("x", "Another", external_id="malaria"),
    )
    order = found(index, "malaria")
    assert (order[:2], sorted(order[2:4]), order[4:]) == (["malaria", "n1"], ["n2", "x"], ["d"])


def test_equal_matches_are_ordered_by_url(index):
    fill(index, *(concept(short_id, "Same words") for short_id in ("b", "c", "a")))
    assert found(index, "same") == ["c", "b", "a"]
    up = index.find(
        None, AT_1, Query("concept", "same", sort="bestMatch", descending=False), limit=10
    )
    assert ids(up) == ["a", "b", "c"]


# How far the index has come


def test_an_index_that_rejects_all_documents_gets_no_marker(index, monkeypatch):
    """Else searches would find the repository empty, as after the upload of another schema."""
    post = index._post
    monkeypatch.setattr(
        index, "_post", lambda documents, force: "store" in documents[0] and post(documents, force)
    )
    with pytest.raises(SearchUnavailable, match="make reindex"):
        fill(index, concept("A"), concept("B"))
    assert index.marker(7) is None
    assert fill(index, concept("C")) == ["7/1//orgs/NorthLab/sources/LABX/concepts/C/"]


def test_an_answer_that_has_to_be_fresh_is_refused_below_the_marker(index):
    fill(index, concept("A"))
    later = Scope((Span(Revision(7, 3)),))
    with pytest.raises(SearchBehind):
        index.find(None, later, Query("concept"), limit=1)
    late = index.find(None, later, Query("concept"), limit=1, fresh=False)
    assert (ids(late), late.behind) == (["A"], 2)
    assert index.find(None, AT_1, Query("concept"), limit=1).behind == 0


@pytest.mark.parametrize("store", ["another store", "the store/2"])
def test_what_was_written_for_another_store_counts_as_missing(index, store):
    fill(index, concept("A"), store=store)
    with pytest.raises(SearchBehind):
        index.find(None, AT_1, Query("concept"), limit=1)
    assert index.marker(7).store == store


def test_a_repository_without_marker_is_behind_even_at_its_first_revision(index):
    with pytest.raises(SearchBehind):
        index.find(None, Scope((Span(Revision(7, 0)),)), Query("concept"), limit=1)


def test_each_of_several_parts_must_be_fresh(index):
    fill(index, concept("A"))
    fill(index, concept("B", repo=8), rev=4, repo=8)
    parts = tuple(Span(Revision(repo, rev)) for repo, rev in ((7, 1), (8, 4)))
    assert index.find(None, Scope(parts), Query("concept"), limit=9).total == 2
    with pytest.raises(SearchBehind):
        index.find(None, Scope((parts[0], Span(Revision(8, 5)))), Query("concept"), limit=9)


def test_living_rows_come_with_the_sum_of_the_revisions_reached(index):
    fill(index, concept("A"), concept("Old", to=1), rev=3)
    fill(index, concept("B", repo=8), rev=4, repo=8)
    fill(index, concept("C", repo=9), rev=5, repo=9, store="another")
    hits = index.find(None, Scope(heads=(7, 8, 9, 10)), Query("concept"), limit=9)
    assert (sorted(ids(hits)), hits.reached) == (["A", "B", "C"], 7)


def test_thousands_of_repositories_can_be_asked_at_once(index):
    fill(index, concept("A"))
    parts = (Span(Revision(7, 1)), *(Span(Revision(repo, 3), since=2) for repo in range(100, 5000)))
    assert ids(index.find(None, Scope(parts), Query("concept"), limit=9, fresh=False)) == ["A"]
    assert ids(
        index.find(None, Scope(heads=tuple(range(1, 20_000))), Query("concept"), limit=9)
    ) == ["A"]


def test_thousands_of_values_can_be_asked_at_once(index):
    fill(index, concept("A", datatype=""), concept("B", datatype="n,a"))
    many = tuple(f"value {number}" for number in range(5000))
    for values, one in (((*many, "N,A"), "B"), (("", *many), "A"), (("",), "A")):
        hits = index.find(
            None, AT_1, Query("concept", filters=(Filter("datatype", values),)), limit=9
        )
        assert ids(hits) == [one]


# Pages


@pytest.fixture(scope="module")
def many(new_solr_index):
    with new_solr_index(lambda: "the store") as index:
        fill(
            index,
            *(concept(f"C{n:03}", f"Thing {n % 7}", "Word", rev=1 + n % 3) for n in range(100)),
            rev=3,
        )
        yield index


@pytest.mark.parametrize("sort", ["lastUpdate", "name", "bestMatch"])
@pytest.mark.parametrize("descending", [True, False])
def test_a_deep_page_is_the_same_from_either_end(many, monkeypatch, sort, descending):
    query = Query("concept", "word", sort=sort, descending=descending, facets=True)
    scope = Scope((Span(Revision(7, 3)),))
    whole = ids(many.find(None, scope, query, limit=100))
    assert len(whole) == 100
    monkeypatch.setattr(search.solr, "DEEP", 0)
    for skip, limit in (
        (1, 10),
        (45, 10),
        (60, 7),
        (90, 10),
        (95, 10),
        (99, 1),
        (99, 10),
        (100, 10),
        (500, 10),
    ):
        page = many.find(None, scope, query, limit=limit, skip=skip)
        assert (ids(page), page.total) == (whole[skip : skip + limit], 100)
        assert page.facets["conceptClass"] == [("Test", 100)]
        if page.last:
            follows = many.find(None, scope, query, limit=2, after=page.last)
            assert (ids(follows), follows.total) == (whole[skip + limit : skip + limit + 2], 100)


def test_a_page_goes_on_behind_any_value(index):
    names = [
        'a "quoted" one',
        "back\\slash",
        "[a TO b]",
        "*",
        "",
        " ",
        "\x01",
        "ü",
        "糖",
        "\U0001f600",
        "z" * 5000,
    ]
    fill(index, *(concept(f"C{place}", name or " ") for place, name in enumerate(names)))
    query = Query("concept", sort="name", descending=False)
    whole = ids(index.find(None, AT_1, query, limit=100))
    seen, after = [], None
    while len(seen) < len(names):
        page = index.find(None, AT_1, query, limit=1, after=after)
        seen += ids(page)
        after = page.last
    assert seen == whole


# Writing


def test_an_older_state_never_replaces_a_newer_one(index):
    fill(index, concept("A", to=5), rev=5)
    fill(index, concept("A"), rev=3)
    assert [to_rev for _, to_rev, _ in index.keys(7)] == [5]
    assert index.marker(7) == Marker(7, 5, "commit 5", "the store")


def test_a_repair_replaces_any_state(index):
    fill(index, concept("A", to=5), rev=5)
    assert (
        index.write([document(concept("A"), 3, SOURCE)], Marker(7, 3, "c", "the store"), force=True)
        == []
    )
    index.commit()
    assert [to_rev for _, to_rev, _ in index.keys(7)] == [2**31 - 1]
    assert index.marker(7).rev == 3


@pytest.mark.parametrize("place", [0, 3, 7])
def test_a_document_that_solr_refuses_is_set_aside(index, place):
    documents = [document(concept(f"C{number}"), 1, SOURCE) for number in range(8)]
    documents[place]["to_rev"] = "never"
    assert index.write(documents, Marker(7, 1, "c", "the store")) == [documents[place]["id"]]
    index.commit()
    assert (index.count(7), index.marker(7).rev) == (7, 1)


def test_texts_of_any_length_are_taken(index):
    long = "very long é" * 10_000
    rows = [
        concept(
            "A",
            long,
            "x" * 40_000,
            concept_class=long,
            datatype="x" * 40_000,
            external_id="x" * 40_000,
            descriptions=[described(long)],
            extras={"k" * 40_000: "x" * 40_000},
        ),
        mapping(
            "m",
            f"{SOURCE}concepts/A/",
            "/orgs/O/sources/X/concepts/B/",
            map_type="x" * 40_000,
            external_id=long,
            from_concept_name=long,
            to_concept_name="x" * 40_000,
        ),
    ]
    assert fill(index, *rows) == []
    query = Query(
        "concept",
        filters=(
            Filter("conceptClass", (long,)),
            Filter("extras", ("X" * 40_000,), ("k" * 40_000,)),
        ),
    )
    assert ids(index.find(None, AT_1, query, limit=1)) == ["A"]


def test_what_is_there_of_a_repository_can_be_listed_counted_and_forgotten(index, monkeypatch):
    monkeypatch.setattr(search.solr, "BATCH", 2)
    fill(index, *(concept(f"C{number}", retired=number == 1) for number in range(5)))
    fill(index, concept("A", repo=8), repo=8)
    assert sorted((key.url.split("/")[-2], retired) for key, _, retired in index.keys(7)) == [
        ("C0", False),
        ("C1", True),
        ("C2", False),
        ("C3", False),
        ("C4", False),
    ]
    assert (index.count(7), set(index.markers())) == (5, {7, 8})
    index.forget(7)
    index.commit()
    assert (index.count(7), index.marker(7), index.count(8), set(index.markers())) == (
        0,
        None,
        1,
        {8},
    )


def test_rows_are_found_without_asking_for_it_soon_after_they_are_written(index):
    index.write([document(concept("A"), 1, SOURCE)], Marker(7, 1, "c", "the store"))
    until = time.monotonic() + 20
    while index.marker(7) is None and time.monotonic() < until:
        pass
    assert index.find(None, AT_1, Query("concept"), limit=1).total == 1


# Cores


def test_cores_are_made_swapped_and_removed(index):
    other = index.of(f"{index.core}-new")
    assert (other.exists(other.core), other.ensure(), other.ensure(), other.exists(other.core)) == (
        False,
        True,
        False,
        True,
    )
    fill(other, concept("New"))
    assert index.count(7) == 0
    index.swap(index.core, other.core)
    assert (found(index, "", "lastUpdate"), other.count(7)) == (["New"], 0)
    index.remove(other.core)
    assert not index.exists(other.core)
    assert found(index, "", "lastUpdate") == ["New"]


# Failing


@contextmanager
def answering(answer):
    """A server that answers every request with this function of the handler."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer(self)

        def do_GET(self):
            self.do_POST()

        def log_message(self, *args):
            """Not into the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield SolrIndex(
            f"http://127.0.0.1:{server.server_port}/solr", "any", lambda: "the store", patience=1
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_user_and_password_of_the_address_are_sent_but_in_no_error(caplog):
    seen = []

    def refuse(handler):
        seen.append(handler.headers["Authorization"])
        send(handler, 401, b"{}")

    with answering(refuse) as open_index:
        address = open_index.url.replace("//", "//user:secret@")
        index = SolrIndex(address, "any", lambda: "the store", patience=1)
        for call in (lambda: index.count(7), lambda: index.exists("any"), index.commit):
            with pytest.raises(SearchUnavailable, match="401") as failure:
                call()
            assert "secret" not in str(failure.value)
    assert seen == ["Basic dXNlcjpzZWNyZXQ="] * 3
    assert "secret" not in caplog.text


def send(handler, status, body):
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b'{"error": {"msg": "no"}}'),
        (503, b"<html>"),
        (404, b'{"error": {"msg": "no core"}}'),
        (200, b"not JSON"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"name": "oclapi-2"}'),
        (200, b'{"name": "oclapi-2", "response": {"docs": [], "numFound": 0}, "facets": []}'),
    ],
)
def test_a_solr_that_answers_with_errors_is_unavailable(status, body):
    with (
        answering(lambda handler: send(handler, status, body)) as index,
        pytest.raises(SearchUnavailable),
    ):
        index.find(None, AT_1, Query("concept"), limit=1)


@pytest.mark.parametrize("body", [b"[]", b"null", b"{}", b"<html>"])
@pytest.mark.parametrize(
    "ask", [SolrIndex.markers, SolrIndex.counts, SolrIndex.ensure, SolrIndex.swap]
)
def test_what_is_not_solr_is_unavailable_to_jobs_too(body, ask):
    names = ("one", "other") if ask is SolrIndex.swap else ()
    with (
        answering(lambda handler: send(handler, 200, body)) as index,
        pytest.raises(SearchUnavailable),
    ):
        ask(index, *names)


def test_a_solr_that_hangs_costs_one_search_its_time_and_the_next_nothing(monkeypatch):
    monkeypatch.setattr(search.solr, "PAUSE", 60)
    release = threading.Event()
    with answering(lambda handler: release.wait(30)) as index:
        took = []
        for _ in range(2):
            begun = time.monotonic()
            with pytest.raises(SearchUnavailable):
                index.find(None, AT_1, Query("concept"), limit=1)
            took.append(time.monotonic() - begun)
        release.set()
    assert 0.9 < took[0] < 5
    assert took[1] < 0.1


@pytest.mark.parametrize("chunked", [False, True])
def test_a_solr_whose_answer_drips_costs_two_time_outs_at_most(chunked):
    release = threading.Event()

    def drip(handler):
        handler.send_response(200)
        handler.send_header(
            *(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", "100000"))
        )
        handler.end_headers()
        while not release.wait(0.05):
            handler.wfile.write(b"1\r\n \r\n" if chunked else b" ")

    with answering(drip) as index:
        begun = time.monotonic()
        with pytest.raises(SearchUnavailable):
            index.find(None, AT_1, Query("concept"), limit=1)
        took = time.monotonic() - begun
        release.set()
    assert took < 10  # the patience is one second


def test_an_answer_without_an_end_is_not_kept(monkeypatch):
    monkeypatch.setattr(search.solr_http, "LARGEST", 1000)
    endless = b'{"name": "' + b"x" * 1000 + b'"}'
    with (
        answering(lambda handler: send(handler, 200, endless)) as index,
        pytest.raises(SearchUnavailable, match="did not end"),
    ):
        index._check_schema()


def test_answers_share_a_connection():
    seen = set()

    def answer(handler):
        seen.add(handler.client_address)
        send(handler, 200, b'{"name": "oclapi-0"}')

    with answering(answer) as index:
        for _ in range(3):
            with pytest.raises(SearchUnavailable, match="oclapi-0"):
                index._check_schema()
    assert len(seen) == 1


def test_an_answer_that_breaks_off_is_a_failure():
    def break_off(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"{}")

    with answering(break_off) as index, pytest.raises(SearchUnavailable, match="failed"):
        index._check_schema()


def test_a_solr_that_is_gone_is_unavailable_and_is_used_again_when_it_is_back(index, monkeypatch):
    monkeypatch.setattr(search.solr, "PAUSE", 0.0)
    fill(index, concept("A"))
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as unused:
        port = unused.server_address[1]
    gone = SolrIndex(f"http://127.0.0.1:{port}/solr", index.core, lambda: "the store")
    with pytest.raises(SearchUnavailable):
        gone.find(None, AT_1, Query("concept"), limit=1)
    monkeypatch.setattr(gone, "_search", index._search)
    monkeypatch.setattr(gone, "_schema_checked", True)
    assert gone.find(None, AT_1, Query("concept"), limit=1).total == 1


def test_a_connection_that_solr_closed_meanwhile_is_opened_again():
    requests = []

    def answer(handler):
        requests.append(handler.path)
        if len(requests) == 2:
            # without a word, as a server does that was idle for too long
            handler.close_connection = True
            return
        send(handler, 200, b'{"name": "oclapi-0"}')

    with answering(answer) as index:
        for _ in range(2):
            with pytest.raises(SearchUnavailable, match="oclapi-0"):
                index._check_schema()
    assert len(requests) == 3


def test_cores_that_may_have_changed_names_do_not_change_them_back():
    requests = []

    def answer(handler):
        requests.append(handler.path.partition("?")[0])
        if requests[-1].endswith("cores"):
            handler.close_connection = True  # the names may have changed: nobody can tell
        else:
            send(handler, 200, b'{"mode": "std"}')

    with answering(answer) as index, pytest.raises(SearchUnavailable):
        index.swap("one", "other")
    assert requests == ["/solr/admin/info/system", "/solr/admin/cores"]


def test_an_index_with_an_old_schema_is_not_asked(index, monkeypatch):
    monkeypatch.setattr(search.solr, "SCHEMA", 99)
    with pytest.raises(SearchUnavailable, match="make reindex"):
        index.find(None, AT_1, Query("concept"), limit=1)
    with pytest.raises(SearchUnavailable, match="make reindex"):
        index.write([document(concept("A"), 1, SOURCE)])


def test_a_question_that_solr_refuses_does_not_stop_the_others(index, monkeypatch):
    fill(index, concept("A"))
    monkeypatch.setattr(search.solr_query, "words", lambda wanted: "((")
    with pytest.raises(SearchUnavailable):
        index.find(None, AT_1, Query("concept"), limit=1)
    monkeypatch.undo()
    assert index.find(None, AT_1, Query("concept"), limit=1).total == 1
