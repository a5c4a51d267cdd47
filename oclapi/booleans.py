"""Booleans as clients write them (contract 1.1)."""

_VALUES = {"true": True, "1": True, "false": False, "0": False}


def parse(text: str) -> bool | None:
    """Read `true`, `false`, `1` or `0` in any case. Returns None for anything else."""
    return _VALUES.get(text.lower())
