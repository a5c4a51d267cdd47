"""Only the store and the built-in search know MongoDB's language."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOMES = ("oclapi/store/", "search/mongo.py")
NOT_MONGODB = {"$ref", "$defs"}  # of JSON Schema


def operators(path):
    """The MongoDB operators in the string literals of a file."""
    literals = {
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {text for text in literals if re.fullmatch(r"\$[A-Za-z]+", text)} - NOT_MONGODB


def test_no_other_module_writes_operators_of_mongodb():
    modules = [*ROOT.glob("*.py")]
    for folder in ("config", "jobs", "oclapi", "search"):
        modules += (ROOT / folder).rglob("*.py")
    found = {path.relative_to(ROOT).as_posix(): operators(path) for path in modules}
    assert found["oclapi/store/owners.py"] >= {"$in", "$match"}
    elsewhere = {name for name, used in found.items() if used and not name.startswith(HOMES)}
    assert not elsewhere
