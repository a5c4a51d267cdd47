"""Reading and writing JSON: strict for input, fast for JSON that the server wrote. Pure.

orjson is fast, but it reads integers beyond 64 bits as floats, and accepts NUL characters. Clients
must not lose digits silently, so such input is refused.
"""

import json
import re
from typing import Any

import orjson

from oclapi.errors import Invalid

MAX_DEPTH = 64
LOW, HIGH = -(2**63), 2**63 - 1

_DIGITS = bytes(ord("0") if chr(byte).isdigit() and byte < 128 else ord(" ") for byte in range(256))
_LONG = b"0" * 19
"""Input without so many digits in a row contains no integer beyond 64 bits.

With them it may contain one, or the digits are inside a string.
"""
_TOO_BIG = object()
_OUT_OF_RANGE = "an integer must lie between -2^63 and 2^63-1"
_INTEGER = re.compile(rb"(?<![\d.eE+-])-?\d{19,}+(?![.eE])")
"""An integer of 19 digits or more."""
MOST_EXACT = 2**20
"""Largest size in bytes of JSON text that is read a second time to name a key in an error."""
_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
SHOWN_KEY = 80
"""Most characters of an input key that an error repeats as the name of a field."""


def loads(raw: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """Read JSON text in UTF-8.

    Raises Invalid with the key `__all__` for broken JSON, nesting over `max_depth`, and decimal
    numbers beyond a double; and with the top-level key, or `__all__`, for NUL characters and
    integers beyond 64 bits.

    Cost: that of orjson, a pass over the text for suspicious input, and an exact reading of at most
    MOST_EXACT bytes to name the key; always linear.
    Nesting is counted after orjson, which knows where strings end and stops at 1,024 levels.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        position = f"line {error.lineno}, column {error.colno}"
        reason = f"this is not valid JSON in UTF-8: {error.msg} ({position})"
        raise (
            _too_deep(max_depth) if "depth limit" in error.msg else Invalid.field("__all__", reason)
        ) from error
    if raw.count(b"[") + raw.count(b"{") > max_depth and depth(value) > max_depth:
        raise _too_deep(max_depth)
    if _LONG in raw.translate(_DIGITS) and _has_big_integer(raw):
        if len(raw) > MOST_EXACT:
            raise Invalid.field("__all__", _OUT_OF_RANGE)
        try:
            _refuse_inexact(json.loads(raw, parse_int=_integer))
        # The standard library's limit is below that of orjson and reached by a large `max_depth`.
        except RecursionError as error:
            raise _too_deep(max_depth) from error
    if b"\\u0000" in raw:
        _refuse_inexact(value)
    return value


def check_values(raw: bytes, most: int) -> None:
    """Raise Invalid when JSON text has more than `most` values and keys.

    A value takes twenty times the memory of its text, so this counts before anything is parsed. It
    counts the marks between values; an empty list or object counts twice. Cost: that of counting
    bytes, and if there are many, a pass over the text that ends at the limit.
    """
    if 1 + _marks(raw, 0, len(raw)) <= most:
        return
    # Some of the marks may be inside of texts.
    found, end = 1, 0
    for texts, text in enumerate(_TEXT.finditer(raw), 1):
        found += _marks(raw, end, text.start())
        end = text.end()
        found = max(found, texts)
        if found > most:
            break
    else:
        found += _marks(raw, end, len(raw))
    if found > most:
        raise Invalid.field("__all__", f"this JSON has more than {most} values and keys")


def _marks(raw: bytes, start: int, end: int) -> int:
    return sum(raw.count(mark, start, end) for mark in (b",", b":", b"[", b"{"))


def object_of(raw: bytes, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """As `loads`; raises Invalid when it is not an object."""
    value = loads(raw, max_depth)
    if not isinstance(value, dict):
        raise Invalid.field("__all__", "the body must be a JSON object")
    return value


def loads_own(raw: bytes) -> Any:
    """Read JSON that this server wrote."""
    return orjson.loads(raw)


def dumps(value: Any) -> bytes:
    """Write JSON in UTF-8, with keys in the order of the dictionary."""
    return orjson.dumps(value)


def dumps_sorted(value: Any) -> bytes:
    """Write JSON with sorted keys: equal bytes mean equal values of equal types."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def depth(value: Any) -> int:
    """Return how deep objects and lists are nested; 0 for a plain value."""
    levels, level = 0, [value]
    while level := [part for part in level if isinstance(part, (dict, list))]:
        levels += 1
        level = [
            part
            for whole in level
            for part in (whole.values() if isinstance(whole, dict) else whole)
        ]
    return levels


def _too_deep(limit: int) -> Invalid:
    return Invalid.field("__all__", f"this JSON is nested more than {limit} levels deep")


def _refuse_inexact(value: Any) -> None:
    """Raise Invalid for NUL characters and integers beyond 64 bits anywhere in the value."""
    parts = list(value.items()) if isinstance(value, dict) else [("__all__", value)]
    parts = [
        (name if "\0" not in name and len(name) <= SHOWN_KEY else "__all__", [name, part])
        for name, part in parts
    ]
    while parts:
        field, part = parts.pop()
        if part is _TOO_BIG:
            raise Invalid.field(field, _OUT_OF_RANGE)
        if isinstance(part, str) and "\0" in part:
            raise Invalid.field(field, "a text or key may not contain the NUL character")
        if isinstance(part, dict):
            parts += [(field, inner) for pair in part.items() for inner in pair]
        elif isinstance(part, list):
            parts += [(field, inner) for inner in part]


def _has_big_integer(raw: bytes) -> bool:
    """Return whether JSON text contains an integer beyond 64 bits outside of its texts."""
    end = 0
    for text in _TEXT.finditer(raw):
        if _big_integer_in(raw, end, text.start()):
            return True
        end = text.end()
    return _big_integer_in(raw, end, len(raw))


def _big_integer_in(raw: bytes, start: int, end: int) -> bool:
    return end - start >= len(_LONG) and any(
        _integer(found[0].decode()) is _TOO_BIG for found in _INTEGER.finditer(raw, start, end)
    )


def _integer(text: str) -> Any:
    if len(text) > 20:
        return _TOO_BIG
    number = int(text)
    return number if LOW <= number <= HIGH else _TOO_BIG
