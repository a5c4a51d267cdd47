"""What every engine answers: one body of behaviours, run on each."""

from datetime import UTC, datetime

import pytest

from oclapi.model import Revision
from search.base import FACETS, Filter, Query, Scope, Span
from search.fields import id_key, name_key
from search.synonyms import synonyms

CONCEPTS = Query("concept")
MAPPINGS = Query("mapping")


def by(name, *values, **how):
    return (Filter(name, values, **how),)


def extra(path, *values, negated=False):
    return (Filter("extras", values, tuple(path.split(".")), negated),)


# Revisions


@pytest.mark.parametrize(
    ("rev", "ids"),
    [
        (0, []),
        (1, ["a10", "A2", "A1"]),
        (2, ["B2", "B1", "a10", "A2", "A1"]),
        (5, ["C1", "B1", "B2", "a10", "A2"]),
    ],
)
def test_a_row_is_found_from_its_commit_until_the_next(engine, library, rev, ids):
    assert engine.ids(library.at(rev), CONCEPTS) == ids
    assert engine.ids(library.at(rev), Query("concept", descending=False)) == ids[::-1]
    assert engine.find(library.at(rev), CONCEPTS, limit=0).total == len(ids)


def test_a_key_names_the_state_that_stood_at_the_revision(engine, library):
    states = {
        rev: {key.url: key.from_rev for key in engine.find(library.at(rev), CONCEPTS).keys}
        for rev in (2, 6)
    }
    assert states[2][library.lab.concept_url("B1")] == 2
    assert states[6][library.lab.concept_url("B1")] == 5


def test_a_difference_holds_what_a_commit_from_then_on_brought_in(engine, library):
    assert engine.ids(library.at(6, since=5), CONCEPTS) == ["C1", "B1"]
    assert engine.ids(library.at(6, since=5), Query("concept", retired=None)) == ["C1", "B1", "A1"]
    assert engine.find(library.at(6, since=2), Query("concept", sort="id"), limit=0).total == 3


@pytest.mark.parametrize(
    ("retired", "ids"), [(False, ["m2", "m1"]), (None, ["m3", "m2", "m1"]), (True, ["m3"])]
)
def test_retired_entries_are_left_out_or_taken_in(engine, library, retired, ids):
    found = engine.find(library.at(6), Query("mapping", retired=retired))
    assert ([key.url.split("/")[-2] for key in found.keys], found.total) == (ids, len(ids))


def test_nowhere_nothing_is_found(engine):
    found = engine.find(Scope(), Query("concept", facets=True))
    assert (found.total, list(found.keys), found.last) == (0, [], None)
    assert {name: list(values) for name, values in found.facets.items()} == {
        name: [] for name in FACETS["concept"]
    }


# Filters

CONCEPT_FILTERS = {
    "a class": (by("conceptClass", "DIAGNOSIS"), ["B1", "A2"]),
    "two classes": (by("conceptClass", "diagnosis", "Procedure"), ["B1", "a10", "A2"]),
    "a class with a comma": (by("conceptClass", "misc, other"), ["B2"]),
    "a part of a class": (by("conceptClass", "diag"), []),
    "a datatype": (by("datatype", "text"), ["B1"]),
    "a locale": (by("locale", "FR"), ["A2"]),
    "another locale": (by("locale", "zh-hans", "fr"), ["B2", "A2"]),
    "its source": (by("source", "labx"), ["C1", "B1", "B2", "a10", "A2"]),
    "another source": (by("source", "REFX"), []),
    "its owner": (by("owner", "northlab"), ["C1", "B1", "B2", "a10", "A2"]),
    "part of an owner": (by("owner", "North"), []),
    "its owner's type": (by("ownerType", "organization"), ["C1", "B1", "B2", "a10", "A2"]),
    "another owner's type": (by("ownerType", "User"), []),
    "an organisation": (by("org", "NorthLab"), ["C1", "B1", "B2", "a10", "A2"]),
    "a user": (by("user", "NorthLab"), []),
    "a collection": (by("collection", "LABX"), []),
    "an editor": (by("updatedBy", "ROOT"), ["C1", "B1", "B2", "a10", "A2"]),
    "another editor": (by("updatedBy", "amina"), []),
    "an extra": (extra("units", "NONE"), ["B1"]),
    "one of a list": (extra("list", "y"), ["B1"]),
    "not an extra": (extra("units", "none", negated=True), ["C1", "B2", "a10", "A2"]),
    "a nested extra of a retired one": (extra("a.b", "1"), []),
    "two filters": ((*by("conceptClass", "diagnosis"), *by("datatype", "None")), ["A2"]),
    "a value that no id has": (by("source", "(", "a|b", ".*", "\0"), []),
}


@pytest.mark.parametrize(("filters", "ids"), CONCEPT_FILTERS.values(), ids=CONCEPT_FILTERS)
def test_a_filter_takes_concepts_by_whole_values(engine, library, filters, ids):
    found = engine.find(library.at(6), Query("concept", filters=filters))
    assert ([key.url.split("/")[-2] for key in found.keys], found.total) == (ids, len(ids))


MAPPING_FILTERS = {
    "a type": (by("mapType", "SAME-as"), ["m3", "m1"]),
    "a type with a space": (by("mapType", "narrower than"), ["m2"]),
    "a code at either end": (by("concept", "A2"), ["m3", "m2"]),
    "a code in other letters": (by("concept", "a2"), ["m3", "m2"]),
    "a name": (by("concept", "glucose"), ["m1"]),
    "a name from": (by("fromConcept", "Serum Glucose"), ["m3", "m1"]),
    "a code to": (by("toConcept", "G-22", "none"), ["m1"]),
    "a URL to": (by("toConcept", "/orgs/RefOrg/sources/REFX/concepts/G-22/"), ["m1"]),
    "a URL from": (by("fromConcept", "/orgs/NorthLab/sources/LABX/concepts/A1/"), ["m3", "m1"]),
    "a source at either end": (by("conceptSource", "refx"), ["m1"]),
    "a source from": (by("fromConceptSource", "labx"), ["m3", "m2", "m1"]),
    "a source to": (by("toConceptSource", "labx"), ["m3", "m2"]),
    "an owner to": (by("toConceptOwner", "RefOrg"), ["m1"]),
    "an owner at either end": (by("conceptOwner", "reforg"), ["m1"]),
    "an owner from": (by("fromConceptOwner", "reforg"), []),
    "an owner's type": (by("conceptOwnerType", "Organization"), ["m3", "m2", "m1"]),
    "an owner's type to": (by("toConceptOwnerType", "User"), []),
    "an owner's type from": (by("fromConceptOwnerType", "organization"), ["m3", "m2", "m1"]),
    "an extra": (extra("k", "true"), ["m3"]),
    "the source": (by("source", "LABX"), ["m3", "m2", "m1"]),
}


@pytest.mark.parametrize(("filters", "ids"), MAPPING_FILTERS.values(), ids=MAPPING_FILTERS)
def test_a_filter_takes_mappings_by_whole_values(engine, library, filters, ids):
    assert engine.ids(library.at(6), Query("mapping", retired=None, filters=filters)) == ids


# Sorts and pages

SORTS = {
    "id": ("concept", ["A2", "a10", "B1", "B2", "C1"]),
    "name": ("concept", ["C1", "A2", "a10", "B1", "B2"]),
    "conceptClass": ("concept", ["A2", "B1", "B2", "a10", "C1"]),
    "datatype": ("concept", ["A2", "B2", "C1", "a10", "B1"]),
    "lastUpdate": ("concept", ["A2", "a10", "B2", "B1", "C1"]),
    "bestMatch": ("concept", ["A2", "B1", "B2", "C1", "a10"]),
    "source": ("concept", ["A2", "B1", "B2", "C1", "a10"]),
    "owner": ("concept", ["A2", "B1", "B2", "C1", "a10"]),
    "mapType": ("mapping", ["m2", "m1"]),
    "fromConcept": ("mapping", ["m1", "m2"]),
    "toConcept": ("mapping", ["m2", "m1"]),
}


@pytest.mark.parametrize("sort", SORTS)
def test_a_sort_orders_by_folded_values_and_then_by_url(engine, library, sort):
    kind, ids = SORTS[sort]
    assert engine.ids(library.at(6), Query(kind, sort=sort, descending=False)) == ids
    assert engine.ids(library.at(6), Query(kind, sort=sort)) == ids[::-1]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_that_follow_each_other_hold_each_row_once(engine, library, sort, descending, limit):
    kind, ids = SORTS[sort]
    query = Query(kind, sort=sort, descending=descending)
    seen, after = [], None
    while True:
        found = engine.find(
            library.at(6), query, limit=limit, skip=len(seen) if after is None else 0, after=after
        )
        assert found.total == len(ids)
        if not found.keys:
            break
        seen += [key.url.split("/")[-2] for key in found.keys]
        after = found.last
    assert seen == (ids[::-1] if descending else ids)


@pytest.mark.parametrize("sort", SORTS)
def test_a_skip_leaves_out_what_comes_before(engine, library, sort):
    kind, ids = SORTS[sort]
    query = Query(kind, sort=sort, descending=False)
    assert engine.ids(library.at(6), query, limit=2, skip=1) == ids[1:3]
    assert engine.ids(library.at(6), query, limit=2, skip=100) == []


IN_ORDER = {
    "id": ["i-1", "I-2", "i-2", "i-10", "i-x"],
    "name": ["i-10", "i-2", "I-2", "i-1", "i-x"],
}
"""The ids of the source NAMES by sort."""


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", IN_ORDER)
@pytest.mark.parametrize("limit", [1, 2, 5])
@pytest.mark.parametrize("text", ["", "name"])
def test_ids_and_names_are_in_the_order_of_a_reader(engine, library, sort, descending, limit, text):
    query = Query("concept", text, sort=sort, descending=descending)
    span, seen, after = Span(Revision(library.names.number, 1)), [], None
    while len(seen) < 5:
        page = engine.find(span, query, limit=limit, after=after, fresh=False)
        seen += [key.url.split("/")[-2] for key in page.keys]
        after = page.last
    assert seen == (IN_ORDER[sort][::-1] if descending else IN_ORDER[sort])


def test_the_place_of_a_page_is_the_same_in_every_engine(engine, library):
    last = {
        sort: engine.find(
            library.at(6), Query("concept", sort=sort, descending=False), limit=1
        ).last
        for sort in ("lastUpdate", "name", "id", "conceptClass", "bestMatch")
    }
    assert last == {
        "lastUpdate": (1, library.lab.concept_url("A2")),
        "name": (name_key("Fever of unknown origin"), library.lab.concept_url("C1")),
        "id": (id_key("A2"), library.lab.concept_url("A2")),
        "conceptClass": ("diagnosis", library.lab.concept_url("A2")),
        "bestMatch": None,
    }


# Words

WORDS = {
    "a word": ("fever", {"A2", "B1", "C1"}),
    "in capitals": ("FEVER", {"A2", "B1", "C1"}),
    "two words": ("fever high", {"A2"}),
    "a phrase": ('"yellow fever"', {"B1"}),
    "a phrase the wrong way round": ('"fever yellow"', set()),
    "a prefix": ("fev*", {"A2", "B1", "C1"}),
    "the start of a word": ("feve", set()),
    "without the accent": ("fievre", {"A2"}),
    "with the accent": ("fièvre", {"A2"}),
    "a code": ("b1", {"B1"}),
    "the start of a code": ("b*", {"B1", "B2"}),
    "an external id": ("EXT-77", {"B1"}),
    "an external id of a name": ("NAME-5", {"a10"}),
    "an external id of a description": ("NOTE-9", {"a10"}),
    "a hyphen": ("x-ray", {"a10"}),
    "words of a description": ("picture", {"a10"}),
    "Chinese": ("糖尿病", {"B2"}),
    "nothing of it": ("absent", set()),
    "one of it": ("fever absent", set()),
    "no word": ('* " *', {"A2", "B1", "B2", "C1", "a10"}),
    "a retired one": ("serum", set()),
}


@pytest.mark.parametrize(("text", "ids"), WORDS.values(), ids=WORDS)
def test_words_find_concepts(engine, library, text, ids):
    found = engine.find(library.at(6), Query("concept", text=text, sort="bestMatch"), fresh=False)
    assert ({key.url.split("/")[-2] for key in found.keys}, found.total) == (ids, len(ids))


SIGNS_FOUND = {
    "A+": ["s0", "s2", "s1", "c2"],
    "a-": ["s1", "s2", "s0", "c2"],
    "A": ["s2", "s1", "s0", "c2"],
    "CD8%": ["s4", "s3"],
    "cd8": ["s3", "s4"],
    "++": ["s5"],
    "+": ["s6"],
    "1:32": ["s7", "s8"],
    "1 32": ["s8", "s7"],
    "\u00bd": ["s9"],
    "\u20ac": ["s11"],
    "%": [],
    "10\u2079/L": ["s12", "s13"],
    "109/l": ["s13", "s12"],
    "\u0437\u0434\u043e\u0440\u043e\u0432'\u044f": ["s15", "s14"],
    "\u0437\u0434\u043e\u0440\u043e\u0432\u2019\u044f": ["s15", "s14"],
    "glycemia": ["c4"],
    "gly\u00adcemia": ["c4"],
    "crohns": ["c4"],
    "x-ray": ["c3", "c1", "c2"],
    "xray": ["c3", "c1", "c2"],
    "x ray": ["c3", "c1", "c2"],
    "chest x-ray": ["c1", "c3", "c2"],
    "*ray": ["c3", "c1", "c2"],
    "x-ra*": ["c3", "c1", "c2"],
    "*hes*": ["c3", "c1", "c2"],
    "*hild": ["c2"],
    "hild*": [],
    "*ches": [],
    "of *": ["s16", "c4", "c2"],
    "S16": ["s16"],
}
"""The order is: exact code, exact name, their words, all words in names; then short names first."""


@pytest.mark.parametrize("text", SIGNS_FOUND)
def test_what_is_the_whole_text_sign_for_sign_comes_first(engine, library, text):
    span = Span(Revision(library.signs.number, 2))
    query = Query("concept", text, sort="bestMatch")
    assert engine.ids(span, query, fresh=False) == SIGNS_FOUND[text]
    backward = Query("concept", text, sort="bestMatch", descending=False)
    assert engine.ids(span, backward, fresh=False) == SIGNS_FOUND[text][::-1]


def test_a_code_of_a_mapping_is_found_sign_for_sign(engine, library):
    span = Span(Revision(library.signs.number, 2))
    for text, ids in (("A+", ["p", "q"]), ("A-", ["q", "p"])):
        assert engine.ids(span, Query("mapping", text, sort="bestMatch"), fresh=False) == ids


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("glucose", ["m1", "m3"]),
        ("a2", ["m2", "m3"]),
        ("G-22", ["m1"]),
        ("m2", ["m2"]),
        ('"serum glucose"', ["m1", "m3"]),
    ],
)
def test_words_find_mappings_by_codes_and_names(engine, library, text, ids):
    query = Query("mapping", text=text, sort="lastUpdate", descending=False, retired=None)
    assert sorted(engine.ids(library.at(6), query, fresh=False)) == ids


@pytest.fixture
def own_synonyms(monkeypatch, tmp_path):
    """Searches use a file with one line of a user's own."""
    file = tmp_path / "synonyms.txt"
    file.write_text("pyrexia, fever, yellow jack\n")
    monkeypatch.setattr("search.synonyms.FILE", file)
    synonyms.cache_clear()
    yield
    synonyms.cache_clear()


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("pyrexia", {"A2", "B1", "C1"}),
        ("high pyrexia", {"A2"}),
        ('"high pyrexia"', {"A2"}),
        ('"yellow jack"', {"A2", "B1", "C1"}),
        ("PYREXIA unknown", {"C1"}),
        ("oedème", set()),
    ],
)
@pytest.mark.usefixtures("own_synonyms")
def test_a_synonym_that_a_user_added_is_found(engine, library, text, ids):
    found = engine.find(library.at(6), Query("concept", text=text, sort="bestMatch"), fresh=False)
    assert {key.url.split("/")[-2] for key in found.keys} == ids


def test_what_was_asked_for_exactly_comes_first(engine, library):
    query = Query("concept", text="B1", sort="bestMatch")
    assert engine.ids(library.at(2), query, fresh=False)[0] == "B1"
    assert (
        engine.ids(
            library.at(6), Query("concept", text="yellow fever", sort="bestMatch"), fresh=False
        )[0]
        == "B1"
    )


def test_words_filters_and_sorts_go_together(engine, library):
    query = Query(
        "concept",
        text="fever",
        filters=by("conceptClass", "diagnosis"),
        sort="name",
        descending=False,
    )
    assert engine.ids(library.at(6), query, fresh=False) == ["A2", "B1"]
    assert engine.ids(library.at(1), query, fresh=False) == ["A2"]
    assert engine.ids(library.at(6), query, fresh=False, limit=1, skip=1) == ["B1"]


@pytest.mark.parametrize(
    "text",
    [
        "*:*",
        "{!term f=repo}1",
        "repo:1 OR kind:mapping",
        '"',
        '"unbalanced',
        "a\0b",
        "\\",
        "(((",
        "[* TO *]",
        "~2 ^5 && || !",
        "x" * 10_000,
        "fever " * 1500,
        "_val_:1",
        "${jndi}",
        "الحمى",
        "a AND",
        "-fever",
    ],
)
def test_any_text_is_words_only(engine, library, text):
    found = engine.find(library.at(6), Query("concept", text=text, sort="bestMatch"), fresh=False)
    assert {key.repo for key in found.keys} <= {library.lab.number}
    assert found.total <= 5


# Facets


def test_facets_count_the_whole_filtered_answer(engine, library):
    query = Query("concept", filters=by("datatype", "none", "text"), facets=True)
    found = engine.find(library.at(6), query, limit=1, fresh=False)
    assert (len(found.keys), found.total) == (1, 5)
    assert {name: list(map(tuple, values)) for name, values in found.facets.items()} == {
        "conceptClass": [
            ("Diagnosis", 1),
            ("Misc, other", 1),
            ("Procedure", 1),
            ("Test", 1),
            ("diagnosis", 1),
        ],
        "datatype": [("None", 4), ("Text", 1)],
        "locale": [("en", 4), ("fr", 1), ("zh-Hans", 1)],
        "retired": [("false", 5)],
        "source": [("LABX", 5)],
        "collection": [],
        "owner": [("NorthLab", 5)],
        "ownerType": [("Organization", 5)],
    }


def test_facets_of_mappings_name_both_ends(engine, library):
    facets = engine.find(
        library.at(6), Query("mapping", retired=None, facets=True), limit=0, fresh=False
    ).facets
    assert {
        name: list(map(tuple, facets[name]))
        for name in ("mapType", "retired", "conceptSource", "toConceptOwner")
    } == {
        "mapType": [("Narrower Than", 1), ("SAME-AS", 1), ("same-as", 1)],
        "retired": [("false", 2), ("true", 1)],
        "conceptSource": [("LABX", 3), ("REFX", 1)],
        "toConceptOwner": [("NorthLab", 2), ("RefOrg", 1)],
    }
    assert set(facets) == set(FACETS["mapping"])


def test_facets_count_what_words_find(engine, library):
    facets = engine.find(
        library.at(6), Query("concept", text="fever", facets=True), limit=1, fresh=False
    ).facets
    assert list(map(tuple, facets["conceptClass"])) == [
        ("Diagnosis", 1),
        ("Test", 1),
        ("diagnosis", 1),
    ]


# Several repositories


def everywhere(library):
    return Scope(heads=(library.lab.number, library.ref.number, library.own.number))


def test_living_rows_of_several_repositories_come_in_order_of_time(engine, library):
    assert engine.ids(everywhere(library), CONCEPTS) == [
        "C1",
        "B1",
        "B2",
        "a10",
        "A2",
        "O1",
        "R1",
        "G-22",
    ]
    assert engine.ids(everywhere(library), Query("concept", descending=False), limit=3, skip=1) == [
        "R1",
        "O1",
        "A2",
    ]
    assert engine.find(everywhere(library), Query("concept", retired=None), limit=0).total == 9
    assert engine.ids(Scope(heads=(library.ref.number,)), CONCEPTS) == ["R1", "G-22"]


def test_several_repositories_are_filtered_and_sorted(engine, library):
    assert engine.ids(
        everywhere(library), Query("concept", sort="name", descending=False), limit=3
    ) == ["C1", "G-22", "A2"]
    by_source = ["A2", "B1", "B2", "C1", "a10", "O1", "G-22", "R1"]
    for sort in ("source", "owner"):
        assert engine.ids(everywhere(library), Query("concept", sort=sort)) == by_source[::-1]
        query = Query("concept", sort=sort, descending=False)
        assert engine.ids(everywhere(library), query) == by_source
        assert engine.ids(everywhere(library), query, limit=3, skip=4) == by_source[4:7]
    found = engine.find(everywhere(library), Query("concept", filters=by("source", "refx", "own")))
    assert ([key.url.split("/")[-2] for key in found.keys], found.total) == (
        ["O1", "R1", "G-22"],
        3,
    )


def test_several_repositories_since_a_moment(engine, library):
    moment = library.store.rows.content_at(None, Revision(library.lab.number, 5))
    scope = Scope(heads=everywhere(library).heads, since=moment)
    assert engine.ids(scope, CONCEPTS) == ["C1", "B1"]
    assert engine.find(scope, CONCEPTS, limit=0).total == 2
    assert (
        engine.ids(Scope(heads=scope.heads, since=datetime(2999, 1, 1, tzinfo=UTC)), CONCEPTS) == []
    )


def test_several_repositories_at_revisions_of_their_own(engine, library):
    parts = (
        library.at(2, since=2),
        Span(Revision(library.ref.number, 1)),
        Span(Revision(library.own.number, 0)),
    )
    found = engine.find(Scope(parts), CONCEPTS)
    assert ([key.url.split("/")[-2] for key in found.keys], found.total) == (
        ["B2", "B1", "R1", "G-22"],
        4,
    )


def test_pages_of_several_repositories_hold_each_row_once(engine, library):
    for query in (CONCEPTS, Query("concept", sort="name", descending=False)):
        whole = engine.ids(everywhere(library), query)
        seen, after = [], None
        while True:
            found = engine.find(
                everywhere(library),
                query,
                limit=3,
                skip=len(seen) if after is None else 0,
                after=after,
            )
            if not found.keys:
                break
            seen += [key.url.split("/")[-2] for key in found.keys]
            after = found.last
        assert seen == whole
