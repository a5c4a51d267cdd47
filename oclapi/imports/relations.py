"""Two lines of one file for the same relation that disagree: the second is refused."""

from dataclasses import replace

from oclapi.imports.lines import Item, Line

FIELDS = ("id", "external_id")


class Relations:
    """The relations of the lines so far that have an id or an external id.

    Whether a line is refused depends on the file alone, so every run of it refuses the same lines.
    Memory: some 200 bytes for each of these relations.
    """

    def __init__(self) -> None:
        # By the hash of the relation: the number of the line, and the hashes of its ids.
        self._seen: dict[int, tuple[int, tuple[int | None, ...]]] = {}

    def check(self, line: Line) -> Line:
        """Return the line, settled as refused when it disagrees with an earlier one."""
        if line.settled:
            return line
        for item in line.all_mappings:
            if item.key:
                relation = hash((line.parent, item.key))
                if line.action.startswith("DELETE"):
                    self._seen.pop(relation, None)
                    continue
                problem = self._differs(relation, line.number, item)
                if problem:
                    return replace(
                        line, settled=line.result("failed", errors={"__all__": [problem]})
                    )
        return line

    def _differs(self, relation: int, number: int, item: Item) -> str | None:
        given = tuple(
            None if (value := item.given(name)) is None else hash(value) for name in FIELDS
        )
        if not any(given):
            return None
        first, before = self._seen.setdefault(relation, (number, given))
        for name, new, old in zip(FIELDS, given, before, strict=True):
            if new is not None and old is not None and new != old:
                return f"line {first} is for the same relation, with another {name}"
        return None
