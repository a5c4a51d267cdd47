"""JSON at the edge: strict about what comes in, plain about our own. Pure.

orjson is fast but reads integers beyond 64 bits as floats, and takes NUL characters; clients must not lose digits without a word,
so such input is found and refused.
"""

import json
import re
from typing import Any

import orjson

from oclapi.errors import Invalid
from oclapi.model import Json

MAX_DEPTH = 64
LOW, HIGH = -(2**63), 2**63 - 1

_DIGITS = bytes(ord("0") if chr(byte).isdigit() and byte < 128 else ord(" ") for byte in range(256))
_LONG = b"0" * 19
"""Bytes without so many digits in a row hold no integer beyond 64 bits; with them, they may also lie inside a string."""
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|([\[{])|([\]}])', re.S)


def loads(raw: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """Read JSON text in UTF-8.

    Raises Invalid (`__all__`) for broken JSON, nesting over `max_depth`, NUL characters and numbers beyond 64 bits.

    Cost: that of orjson, and a second, exact reading where the bytes look suspicious.
    """
    if raw.count(b"[") + raw.count(b"{") > max_depth and _deeper(raw, max_depth):
        raise Invalid.field("__all__", f"this JSON is nested more than {max_depth} levels deep")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Invalid.field(
            "__all__", f"this is not valid JSON in UTF-8: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from error
    if b"\\u0000" in raw:
        _refuse_nul(value)
    if _LONG in raw.translate(_DIGITS):
        json.loads(raw, parse_int=_integer)
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
        level = [part for whole in level for part in (whole.values() if isinstance(whole, dict) else whole)]
    return levels


def _deeper(raw: bytes, limit: int) -> bool:
    """Exactly, though strings hold brackets too; stops at the first that is too deep."""
    level = 0
    for found in _BRACKETS.finditer(raw):
        if found[1]:
            level += 1
            if level > limit:
                return True
        elif found[2]:
            level -= 1
    return False


def _refuse_nul(value: Any) -> None:
    """The bytes hold an escaped NUL, or an escaped backslash before u0000: look at the texts themselves."""
    field = "__all__"
    parts = [(field, value)]
    while parts:
        field, part = parts.pop()
        if isinstance(part, str):
            if "\0" in part:
                raise Invalid.field(field, "a text may not hold the NUL character")
        elif isinstance(part, list):
            parts += [(field, item) for item in part]
        elif isinstance(part, dict):
            for name, item in part.items():
                inner = name if field == "__all__" and part is value and "\0" not in name else field
                parts += [(inner, name), (inner, item)]


def _integer(text: str) -> int:
    if len(text) > 20 or not LOW <= int(text) <= HIGH:
        raise Invalid.field("__all__", "a number is outside what 64 bits can hold")
    return int(text)
