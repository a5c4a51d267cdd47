"""JSON at the edge: strict about what comes in, plain about our own. Pure.

orjson is fast but reads integers beyond 64 bits as floats, and takes NUL characters; clients must
not lose digits without a word, so such input is found and refused.
"""

import json
from typing import Any

import orjson

from oclapi.errors import Invalid
from oclapi.model import Json

MAX_DEPTH = 64
LOW, HIGH = -(2**63), 2**63 - 1

_DIGITS = bytes(ord("0") if chr(byte).isdigit() and byte < 128 else ord(" ") for byte in range(256))
_LONG = b"0" * 19
"""Bytes without so many digits in a row hold no integer beyond 64 bits; with them, they may also
lie inside a string.
"""
_TOO_BIG = object()
SHOWN_KEY = 80
"""Longer keys of the input are not repeated as the name of a field."""


def loads(raw: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """Read JSON text in UTF-8.

    Raises Invalid: `__all__` for broken JSON, nesting over `max_depth`, and decimal numbers beyond
    a double; the top-level key, or `__all__`, for NUL characters and integers beyond 64 bits.

    Cost: that of orjson, and a second, exact reading where the bytes look suspicious; linear in any
    case. Nesting is counted only after orjson, which stops at 1,024 levels, has found the end of
    every string.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        reason = f"this is not valid JSON in UTF-8: {error.msg} (line {error.lineno}, column {error.colno})"
        raise (
            _too_deep(max_depth) if "depth limit" in error.msg else Invalid.field("__all__", reason)
        ) from error
    if raw.count(b"[") + raw.count(b"{") > max_depth and depth(value) > max_depth:
        raise _too_deep(max_depth)
    if _LONG in raw.translate(_DIGITS):
        try:
            _refuse_bent(json.loads(raw, parse_int=_integer))
        # the standard reader's own limit, below orjson's; only a large `max_depth` gets here
        except RecursionError as error:
            raise _too_deep(max_depth) from error
    elif b"\\u0000" in raw:
        _refuse_bent(value)
    return value


def object_of(raw: bytes, max_depth: int = MAX_DEPTH) -> Json:
    """As `loads`; raises Invalid when it is not an object."""
    value = loads(raw, max_depth)
    if not isinstance(value, dict):
        raise Invalid.field("__all__", "the body must be a JSON object")
    return value


def loads_own(raw: bytes) -> Any:
    """Read JSON that we wrote ourselves."""
    return orjson.loads(raw)


def dumps(value: Any) -> bytes:
    """Write JSON in UTF-8, keys in the order that they have."""
    return orjson.dumps(value)


def dumps_sorted(value: Any) -> bytes:
    """Write JSON with sorted keys: equal bytes mean equal values of equal types."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def depth(value: Any) -> int:
    """How deep objects and lists are nested; 0 for a plain value."""
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


def _refuse_bent(value: Any) -> None:
    """Look at every part: the bytes hold an escaped NUL or many digits in a row, which may be
    harmless (in a text, after a point).
    """
    parts = list(value.items()) if isinstance(value, dict) else [("__all__", value)]
    parts = [
        (name if "\0" not in name and len(name) <= SHOWN_KEY else "__all__", [name, part])
        for name, part in parts
    ]
    while parts:
        field, part = parts.pop()
        if part is _TOO_BIG:
            raise Invalid.field(field, "an integer must lie between -2^63 and 2^63-1")
        if isinstance(part, str) and "\0" in part:
            raise Invalid.field(field, "a text or key may not hold the NUL character")
        if isinstance(part, dict):
            parts += [(field, inner) for pair in part.items() for inner in pair]
        elif isinstance(part, list):
            parts += [(field, inner) for inner in part]


def _integer(text: str) -> Any:
    if len(text) > 20:
        return _TOO_BIG
    number = int(text)
    return number if LOW <= number <= HIGH else _TOO_BIG
