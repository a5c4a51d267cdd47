"""Lines of users, organisations, sources and versions. Each one is a separate write."""

from oclapi.access import Caller
from oclapi.errors import OclError
from oclapi.imports.content import checked_body, incomplete, messages, verb
from oclapi.imports.line_types import Options, Subject
from oclapi.imports.lines import Line
from oclapi.imports.outcomes import Result, tried
from oclapi.store.store import Store


def apply(store: Store, caller: Caller, line: Line, options: Options, last: bool) -> Result:
    """Carry out a line and return its result. It may wait, unless it is tried for the `last` time.

    Raises only errors that are not caused by the line.
    """
    try:
        return _apply(store, caller, line, options)
    except OclError as error:
        return line.result(*tried(error, last))


def _apply(store: Store, caller: Caller, line: Line, options: Options) -> Result:
    # Other lines never get here.
    assert line.kind and line.kind.writes and line.item and line.item.id is not None
    writes, item = line.kind.writes, line.item
    subject = Subject(line.parent, line.item.id, line.action)
    found = writes.find(store, caller, subject)
    what = verb(line.action, found is not None, options.update_if_exists)
    if what == "create":
        writes.allow(store, caller, subject)
        if item.missing:
            return incomplete(line, item)
        writes.create(store, caller, subject, checked_body(item.create), options)
        return line.result("created")
    if what == "update":
        changed = writes.update(store, caller, found, checked_body(item.update), options)
        return line.result("updated" if changed else "unchanged")
    if what == "delete":
        writes.delete(store, caller, found)
        return line.result("deleted")
    status = writes.exists if what == "exists" else None
    return line.result(what, status, messages(what, line))  # type: ignore[arg-type]
