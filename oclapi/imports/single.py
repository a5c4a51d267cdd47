"""Lines of users, organisations, sources and versions. Each one is a separate write."""

from oclapi.access import Caller, Under, may, need
from oclapi.editing import owners, repositories, users
from oclapi.errors import Invalid, NotFound, OclError
from oclapi.imports.content import incomplete, messages, verb
from oclapi.imports.lines import Item, Line, Options
from oclapi.imports.outcomes import Result, refused
from oclapi.model import Json, Repository
from oclapi.store.store import Store


def apply(store: Store, caller: Caller, line: Line, options: Options) -> Result:
    """Carry out a line and return its result.

    Raises only errors that are not caused by the line.
    """
    assert line.item is not None and line.item.id is not None  # other lines never get here
    update_if_exists = options.update_if_exists
    try:
        if line.type == "User":
            return _user(store, caller, line, line.item, options)
        if line.type == "Organization":
            return _org(store, caller, line, line.item, update_if_exists)
        if line.type == "Source":
            return _source(store, caller, line, line.item, update_if_exists)
        return _version(store, caller, line, line.item, update_if_exists)
    except OclError as error:
        return line.result(*refused(error))


def _user(store: Store, caller: Caller, line: Line, item: Item, options: Options) -> Result:
    need(caller, "manage users")
    user = store.users.get(str(item.id))
    # A deactivated user can't be deactivated again.
    there = user is not None and (user.active or "DELETE" not in line.action)
    what = verb(line.action, there, options.update_if_exists)
    if what == "create":
        if item.missing:
            return incomplete(line, item)
        users.create(store, _body(item.create), caller, shortest=options.shortest)
        return line.result("created")
    if what == "update" and user:
        edited = users.update(
            store, user.username, _body(item.update), caller, shortest=options.shortest
        )
        return line.result("unchanged" if edited.updated_on == user.updated_on else "updated")
    if what == "delete" and user:
        users.deactivate(store, user.username, caller)
        return line.result("deleted")
    return _no_edit(line, what)


def _org(store: Store, caller: Caller, line: Line, item: Item, update_if_exists: bool) -> Result:
    org = store.owners.org(str(item.id))
    if org and line.action != "CREATE":
        need(caller, "read org", org)
    what = verb(line.action, org is not None, update_if_exists)
    if what == "create":
        need(caller, "create org")
        if item.missing:
            return incomplete(line, item)
        owners.create_org(store, _body(item.create), caller)
        return line.result("created")
    if what == "update" and org:
        need(caller, "edit org", org)
        edited = owners.update_org(store, org.id, _body(item.update), caller)
        return line.result("unchanged" if edited.updated_on == org.updated_on else "updated")
    if what == "delete" and org:
        need(caller, "delete org", org)
        owners.delete_org(store, org.id, caller)
        return line.result("deleted")
    return _no_edit(line, what)


def _source(store: Store, caller: Caller, line: Line, item: Item, update_if_exists: bool) -> Result:
    source = _readable(caller, store.repos.by_url(str(line.url)))
    what = verb(line.action, source is not None, update_if_exists)
    if what == "create":
        _check_owner(store, caller, line.parent)
        need(caller, "create repository", Under(line.parent))
        if item.missing:
            return incomplete(line, item)
        repositories.create(store, "source", line.parent, _body(item.create), caller)
        return line.result("created")
    if what == "update" and source:
        body = _body(item.update)
        need(
            caller,
            "own"
            if body.get("public_access", source.public_access) != source.public_access
            else "write",
            source,
        )
        _, changed = repositories.update(store, source, body, caller)
        return line.result("updated" if changed else "unchanged")
    if what == "delete" and source:
        need(caller, "own", source)
        repositories.delete(store, source, caller)
        return line.result("deleted")
    return _no_edit(line, what)


def _version(
    store: Store, caller: Caller, line: Line, item: Item, update_if_exists: bool
) -> Result:
    source = _readable(caller, store.repos.by_url(line.parent))
    if source is None:
        raise NotFound(f"source {line.parent} not found")
    version = store.versions.by_id(source.number, str(item.id))
    what = verb(line.action, version is not None, update_if_exists)
    if what == "create":
        need(caller, "write", source)
        repositories.create_version(store, source, _body(item.create), caller)
        return line.result("created")
    if what == "update" and version:
        need(caller, "write", source)
        _, changed = repositories.update_version(
            store, source, version.id, _body(item.update), caller
        )
        return line.result("updated" if changed else "unchanged")
    if what == "delete" and version:
        need(caller, "own", source)
        repositories.delete_version(store, source, version.id, caller)
        return line.result("deleted")
    return _no_edit(line, what)


def _no_edit(line: Line, outcome: str) -> Result:
    status = 409 if outcome == "exists" and line.type == "Source Version" else None
    return line.result(outcome, status, messages(outcome, line))  # type: ignore[arg-type]


def _readable(caller: Caller, repo: Repository | None) -> Repository | None:
    """Return the repository, or None when the caller may not read it."""
    return repo if repo and may(caller, "read", repo) else None


def _check_owner(store: Store, caller: Caller, url: str) -> None:
    """Raise NotFound unless an owner that the caller may read exists at this URL."""
    _, owners_of_kind, owner, _ = url.split("/")
    if owners_of_kind == "orgs":
        org = store.owners.org(owner)
        known = org is not None and may(caller, "read org", org)
    else:
        user = store.users.get(owner)
        known = user is not None and user.active
    if not known:
        raise NotFound(f"owner {url} not found")


def _body(checked: Json | Invalid) -> Json:
    if isinstance(checked, Invalid):
        raise checked
    return checked
