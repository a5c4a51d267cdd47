"""JSON from outside is read as the standard library reads it, or refused; nothing is bent."""

import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oclapi import jsonio
from oclapi.errors import Invalid

INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from(
    [-(2**63), 2**63 - 1, 10**18, -(10**18)]
)
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30
) | st.text('0123456789[]{}\\"u', max_size=40)
PLAIN = (
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=30,
)


def refusal(raw, max_depth=64):
    with pytest.raises(Invalid) as caught:
        jsonio.loads(raw, max_depth)
    [(field, [text])] = caught.value.errors.items()
    return field, text


def exactly(value):
    """Return a text that differs for 1, 1.0 and true, and keeps the order of keys."""
    return repr(value)


@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_what_the_standard_library_writes_is_read_as_it_reads_it(value, ascii_only, indent):
    raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert exactly(jsonio.loads(raw)) == exactly(json.loads(raw))


@given(VALUES)
def test_what_we_write_the_standard_library_reads_as_it_was(value):
    assert exactly(json.loads(jsonio.dumps(value))) == exactly(value)


@given(
    st.integers(min_value=2**63) | st.integers(max_value=-(2**63) - 1),
    st.sampled_from(["%d", "[[%d]]", '{"1": [0, %d]}', " %d "]),
)
def test_an_integer_beyond_64_bits_is_refused_wherever_it_stands(number, frame):
    assert "integer" in refusal((frame % number).encode())[1] or abs(number) > 10**308


@given(st.integers(0, 2**80), st.integers(0, 2**80), st.sampled_from(["", "e5", "E-7", "e+1"]))
def test_long_digits_of_a_decimal_number_are_no_integer(whole, fraction, exponent):
    raw = f"[{whole}.{fraction}{exponent}]".encode()
    assert jsonio.loads(raw) == json.loads(raw)


@given(st.text("\0\\u0123456789", max_size=12))
def test_a_text_is_refused_just_when_it_holds_nul(text):
    raw = json.dumps({"a": [text]}).encode()
    if "\0" in text:
        assert refusal(raw) == ("a", "a text or key may not contain the NUL character")
    else:
        assert jsonio.loads(raw) == {"a": [text]}


@given(st.integers(0, 12), st.integers(1, 12), st.booleans())
def test_nesting_is_counted_exactly_and_brackets_in_texts_are_not(deep, limit, objects):
    value: object = "[{" * 20
    for _ in range(deep):
        value = {"a": value} if objects else [value, "}]", []] if deep < limit else [value]
    raw = json.dumps(value).encode()
    if deep <= limit:
        assert jsonio.loads(raw, limit) == value
    else:
        assert refusal(raw, limit) == (
            "__all__",
            f"this JSON is nested more than {limit} levels deep",
        )


@given(
    st.binary(max_size=40)
    | st.text('{}[]",:0123456789.eE+-\\u truefalsn', max_size=40).map(str.encode)
)
def test_any_bytes_are_read_or_refused(raw):
    try:
        value = jsonio.loads(raw)
    except Invalid as error:
        assert error.errors
    else:
        assert exactly(value) == exactly(json.loads(raw))


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"a": 1', id="an object that does not end"),
        pytest.param(b"{} {}", id="two values"),
        pytest.param(b"{'a': 1}", id="single quotes"),
        pytest.param(b'[1, "a",]', id="a comma at the end"),
        pytest.param(b"NaN", id="NaN"),
        pytest.param(b"[-Infinity]", id="Infinity"),
        pytest.param(b"1e400", id="a number that overflows"),
        pytest.param(b'{"a": -0.1e1000}', id="a negative number that overflows"),
        pytest.param(b"1" * 400, id="400 digits"),
        pytest.param(b"[" + b"1" * 5000 + b"]", id="more digits than Python turns into an integer"),
        pytest.param(b'"\\ud800"', id="half a surrogate pair"),
        pytest.param(b'"\xed\xa0\x80"', id="a surrogate in UTF-8"),
        pytest.param(b'"\xff"', id="no UTF-8"),
        pytest.param('{"a": "é"}'.encode("latin-1"), id="Latin-1"),
        pytest.param('{"a": 1}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b"\xef\xbb\xbf{}", id="a byte order mark"),
        pytest.param(b'"\x00"', id="a NUL byte"),
        pytest.param(b'"\n"', id="a line break inside a text"),
        pytest.param(b"[" * 100_000, id="a hundred thousand brackets"),
        pytest.param(b"[" * 200 + b"]" * 200, id="200 levels"),
    ],
)
def test_this_is_refused_as_a_whole(raw):
    assert refusal(raw)[0] == "__all__"


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        pytest.param(
            b'{"ok": 1, "extras": {"deep": [99999999999999999999]}}',
            "extras",
            id="an integer too large",
        ),
        pytest.param(b'{"ok": 1, "name": "a\\u0000"}', "name", id="a NUL in a text"),
        pytest.param(b'{"ok": 1, "extras": {"a\\u0000": 1}}', "extras", id="a NUL in an inner key"),
        pytest.param(b'{"a\\u0000": 1}', "__all__", id="a NUL in the key itself"),
        pytest.param(
            b'{"' + b"k" * 81 + b'": 9223372036854775808}',
            "__all__",
            id="a key too long to be repeated",
        ),
        pytest.param(b"[-9223372036854775809]", "__all__", id="a list"),
    ],
)
def test_a_refused_value_is_told_under_its_top_level_key(raw, field):
    assert refusal(raw)[0] == field


def test_long_digits_inside_a_text_are_a_text():
    assert jsonio.loads(b'{"a": "123456789012345678901234567890"}') == {
        "a": "123456789012345678901234567890"
    }


@pytest.mark.parametrize("limit", [900, 1000, 100_000])
def test_a_generous_limit_still_ends_in_a_refusal(limit):
    deep = b"[" * 2000 + b"12345678901234567890" + b"]" * 2000
    assert "nested" in refusal(deep, limit)[1]
    assert refusal(deep[1100:-1100], limit)[0] == "__all__"


def test_a_text_of_escaped_quotes_that_never_ends_is_refused_in_linear_time():
    raw = b'{"a": "' + b"[" * 100 + b'", "b": "' + b'\\"' * 500_000
    started = time.perf_counter()
    assert refusal(raw)[0] == "__all__"
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("raw", [b"[]", b'"text"', b"1", b"null"])
def test_a_body_is_an_object(raw):
    with pytest.raises(Invalid) as caught:
        jsonio.object_of(raw)
    assert caught.value.errors == {"__all__": ["the body must be a JSON object"]}


def test_a_body_keeps_the_order_of_its_keys():
    assert list(jsonio.object_of(b'{"b": 1, "a": 2, "c": 3}')) == ["b", "a", "c"]


def test_sorted_bytes_are_equal_for_equal_values_of_equal_types_only():
    assert jsonio.dumps_sorted({"a": 1, "b": {"d": 1, "c": 2}}) == jsonio.dumps_sorted(
        {"b": {"c": 2, "d": 1}, "a": 1}
    )
    assert len({jsonio.dumps_sorted([one]) for one in (1, 1.0, True, "1")}) == 4


@pytest.mark.parametrize(
    ("value", "levels"), [(1, 0), ("[[", 0), ({}, 1), ([[], 1], 2), ({"a": [{"b": math.pi}]}, 3)]
)
def test_depth_counts_objects_and_lists(value, levels):
    assert jsonio.depth(value) == levels


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (b"1", 1),
        (b"[]", 2),
        (b"[1,2]", 3),
        (b'{"a":1}', 3),
        (b'{"a":[{},{}]}', 7),
        (b'"a,b:[{"', 1),
        (rb'["a\",b","\\",1]', 4),
    ],
)
def test_values_and_keys_are_counted_outside_of_texts(text, values):
    jsonio.check_values(text, max(values, 2))
    if values > 1:
        with pytest.raises(Invalid):
            jsonio.check_values(text, values - 1)
