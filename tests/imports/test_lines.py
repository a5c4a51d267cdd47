"""Reading lines and grouping them into batches, without a store."""

import io
import unicodedata
from urllib.parse import quote

import pytest

from oclapi import jsonio
from oclapi.imports import lines, run
from oclapi.imports.line_types import Options
from oclapi.imports.lines import line_of, read, split
from tests.imports.conftest import LAB, REF, concept, mapping


def line(given, **options):
    return line_of(
        1, given if isinstance(given, bytes) else jsonio.dumps(given), Options(**options)
    )


def settled(given, **options):
    result = line(given, **options).settled
    return result.outcome, set(result.errors or ())


@pytest.mark.parametrize(
    ("given", "outcome", "fields"),
    [
        (b"{", "invalid", {"__all__"}),
        (b"[1]", "invalid", {"__all__"}),
        (b'{"type": "Concept", "id": NaN}', "invalid", {"__all__"}),
        ({"id": "1"}, "invalid", {"type"}),
        ({"type": 5}, "unknown", {"type"}),
        ({"type": "Fruit"}, "unknown", {"type"}),
        ({"type": "User"}, "invalid", {"username"}),
        ({"type": "Collection", "id": "CORE"}, "unknown", {"type"}),
        ({"type": "Reference"}, "unknown", {"type"}),
        ({**concept(1), "__action": "MELT"}, "invalid", {"__action"}),
        ({**concept(1), "__action": "SKIP"}, "others", set()),
        ({"type": "Concept", "source_url": LAB}, "invalid", {"id"}),
        ({"type": "Concept", "id": "1"}, "invalid", {"owner", "source"}),
        ({"type": "Source", "id": "LAB", "name": "Lab"}, "invalid", {"owner"}),
        (concept("a\tb"), "failed", {"id"}),
        (concept("x" * 256), "failed", {"id"}),
        (concept(1, mappings=[{"id": "a\n", "map_type": "x"}]), "failed", {"mappings"}),
        ({"type": "Source", "owner": "NorthLab", "id": "a/b", "name": "x"}, "failed", {"id"}),
        ({"type": "Source", "owner": "a/b", "id": "a", "name": "x"}, "failed", {"owner"}),
        (concept(1, source="/orgs/"), "failed", {"source_url"}),
        (concept(1, mappings={"a": 1}), "failed", {"mappings"}),
        (concept(1, mappings=[{"from_concept_url": f"{LAB}concepts/2/"}]), "failed", {"mappings"}),
    ],
)
def test_an_error_of_a_line_that_needs_no_store_is_its_outcome(given, outcome, fields):
    assert settled(given) == (outcome, fields)


def test_the_message_for_a_bad_id_names_the_character():
    assert line(concept("a\tb")).settled.errors == {"id": ["the character U+0009 is not allowed"]}
    given = {"type": "Source", "owner": "a/b", "id": "a", "name": "x"}
    assert line(given).settled.errors["owner"][0].startswith("/ (U+002F) is not allowed: ")


@pytest.mark.parametrize("short", ["HEM/BC", "%2F", "FY21 Q1", "Ébola", "[12.03.2025.1]"])
def test_an_id_of_content_is_kept_in_form_nfc_and_encoded_in_its_url(short):
    decomposed = unicodedata.normalize("NFD", short)
    found = line({**concept(1), "id": decomposed})
    assert (found.item.id, found.item.create["id"]) == (short, short)
    assert found.url == f"{LAB}concepts/{quote(short, safe='')}/"
    version = {"type": "Source Version", "source_url": LAB, "id": decomposed}
    assert line(version).url == f"{LAB}{quote(short, safe='')}/"
    one = {**mapping(1, 2), "id": decomposed, "from_concept_url": f"{LAB}concepts/{decomposed} 1"}
    start = f"{LAB}concepts/{quote(f'{short} 1', safe='')}/"
    if not {"%", "/"} & {*short}:  # these must be encoded
        assert line(one).item.key == (start, one["map_type"], f"{LAB}concepts/2/")
    assert line(one).url == f"{LAB}mappings/{quote(short, safe='')}/"


@pytest.mark.parametrize("spelling", ["Concept", "concept", "CONCEPT", " concept "])
def test_types_are_case_insensitive(spelling):
    assert line({**concept(1), "type": spelling}).type == "Concept"


def test_integer_ids_are_read_as_their_decimal_text():
    assert line({**concept(1), "id": 7}).url == f"{LAB}concepts/7/"
    assert line({**concept(1), "id": 7}).item.create["id"] == "7"
    assert settled({**concept(1), "id": True}) == ("failed", {"id"})


def test_default_type_and_source_apply_only_to_lines_without_them():
    bare = {"id": 1, "concept_class": "Test", "names": [{"name": "x", "locale": "en"}]}
    assert line(bare, type="concept", source=LAB).url == f"{LAB}concepts/1/"
    assert (
        line({**bare, "owner": "NorthLab", "source": "REF"}, type="Concept", source=LAB).parent
        == REF
    )
    assert settled({**bare, "source": "REF"}, type="Concept", source=LAB) == ("failed", {"__all__"})
    for other in (
        {"owner": "NorthLab", "owner_type": "User"},
        {"owner_type": "User", "source": "LAB"},
        {"owner_url": "/orgs/South/"},
    ):
        assert settled({**bare, **other}, type="Concept", source=LAB) == ("failed", {"__all__"})
    for same in (
        {"owner_url": "/orgs/NorthLab/"},
        {"owner": "NorthLab", "owner_type": "organization"},
    ):
        assert line({**bare, **same}, type="Concept", source=LAB).parent == LAB
    assert (
        line(
            {**bare, "owner": "amina", "owner_type": "user", "source": "Own"}, type="concept"
        ).parent
        == "/users/amina/sources/Own/"
    )


def test_blank_lines_are_skipped_but_numbered():
    raw = [b"\n", b"  \t\r\n", jsonio.dumps(concept(1)), b""]
    assert [line.number for line in read(enumerate(raw, 1), Options())] == [3]


def test_a_line_that_is_too_long_is_cut_while_reading():
    stream = io.BytesIO(b"short\n" + b"x" * 100 + b"\nlast")
    assert list(split(stream, longest=10)) == [b"short\n", b"x" * 11, b"last"]


def test_a_byte_order_mark_before_the_first_line_is_removed():
    mark = b"\xef\xbb\xbf"
    assert list(split(io.BytesIO(mark + b"{}\r\n" + mark + b"{}"))) == [b"{}\r\n", mark + b"{}"]
    assert list(read(enumerate(split(io.BytesIO(mark)), 1), Options())) == []


def test_a_line_over_the_limit_is_invalid(monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE", 20)
    assert settled(concept(1)) == ("invalid", {"__all__"})


def batched(*given):
    numbered = enumerate(map(jsonio.dumps, given), 1)
    return [[line.number for line in batch] for batch in run.batches(read(numbered, Options()))]


def test_a_batch_ends_before_a_second_line_for_the_same_item():
    assert batched(concept(1), concept(2), concept(1), concept(3)) == [[1, 2], [3, 4]]
    assert batched(mapping(1, 2), mapping(2, 1), mapping(1, 2, id="m")) == [[1, 2], [3]]
    assert batched(mapping(1, 2, id="m"), mapping(1, 3, id="m")) == [[1], [2]]
    own = [{"map_type": "SAME-AS", "to_concept_url": f"{LAB}concepts/2/"}]
    assert batched(concept(1, mappings=own), mapping(1, 2)) == [[1], [2]]


def test_equal_ids_in_two_sources_are_different_items():
    assert batched(concept(1), concept(1, source=REF), concept(2)) == [[1, 2, 3]]


def test_a_batch_has_a_limit_of_rows_and_bytes(monkeypatch):
    monkeypatch.setattr(run, "BATCH_ROWS", 3)
    own = [
        {"map_type": "SAME-AS", "to_concept_url": f"{LAB}concepts/{number}/"} for number in (8, 9)
    ]
    assert batched(concept(1), concept(2, mappings=own), concept(3), concept(4)) == [
        [1],
        [2],
        [3, 4],
    ]
    monkeypatch.setattr(run, "BATCH_BYTES", 2 * len(jsonio.dumps(concept(1))))
    assert batched(*(concept(number) for number in range(1, 6))) == [[1, 2], [3, 4], [5]]


def test_organisations_sources_and_versions_have_their_own_batches():
    version = {"type": "Source Version", "source_url": LAB, "id": "v1"}
    assert batched(concept(1), version, concept(2)) == [[1], [2], [3]]


def test_lookup_lists_share_no_commit_with_other_sources():
    classes = "/orgs/OCL/sources/Classes/"
    assert batched(
        concept(1, source=classes), concept(2, source=classes), concept(1), concept(2)
    ) == [[1, 2], [3, 4]]


def test_a_line_may_begin_its_urls_with_the_address_of_this_server():
    url = "/orgs/O/sources/S/concepts/A/"
    mapping = {"type": "Mapping", "map_type": "A", "to_concept_url": url}
    given = {**mapping, "from_concept_url": f"https://terms.example.org{url}", "source": "S"}
    given |= {"owner": "O", "owner_type": "Organization"}
    found = line(given, address="https://terms.example.org")
    assert found.item.create["from_concept_url"] == url
    assert found.item.key
    assert line(given).item.key is None
