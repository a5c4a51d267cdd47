"""Permissions: every path, method, role and visibility, compared with section 4 of the contract.

EXPECTED repeats that section. Nothing is stored during the test: a permitted write ends with 400,
because its body is not JSON, or with 503.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from jobs.export import build_export
from oclapi.errors import RepositoryBusy
from oclapi.exports.state import ExportStates
from oclapi.reference import routes as reference
from oclapi.resources import routes
from oclapi.resources.routes import expand
from oclapi.urls import encoded
from tests.api.people import People
from tests.builders import Api, Source, good

VISIBILITIES = ("View", "Edit", "None")
ROLES = ("anonymous", "other", "owner", "staff", "superuser")
CONCEPT, MAPPING, VERSION = "C/names", "%2F é", "concepts/1.0+b 2"
"""Ids of content that look like other paths."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
CHANGES = ("PUT", "POST", "PATCH")

USERS = {"anonymous": "owner", "owner": "owner", "staff": "staff", "superuser": "root"}
"""The user whose repositories are below `/user/`, by role."""

BAD_QUERY = (
    "?page=0&limit=x&verbose=x&updatedSince=x&includeConcepts=true&includeMappings=x&released=x"
    "&processing=x&cursor=x&format=x&sortAsc=x"
)
OK, READY = 200, 200
BODY = 400  # permitted: the body was read
DEED = 503  # permitted: the write was attempted
FROZEN = 405


def reads(right: str = "read", status: int = OK) -> dict[str, tuple[str, int]]:
    return {"GET": (right, status)}


def changes(right: str, status: int = BODY) -> dict[str, tuple[str, int]]:
    return dict.fromkeys(CHANGES, (right, status))


LIST = {**reads(), "POST": ("write", BODY)}
ITEM = {**reads(), **changes("write"), "DELETE": ("write", BODY)}
ENTRY = {**reads(), **changes("write"), "DELETE": ("write", DEED)}

EXPECTED: dict[str, dict[str, tuple[str, int]]] = {
    "/openapi.json/": reads("all"),
    "/docs/": reads("all"),
    "/docs/:key": reads("all"),
    "/metrics/": reads("all"),
    "/version/": reads("all"),
    "/orgs/": {**reads("all"), "POST": ("user", BODY)},
    "/orgs/:org/": {**reads(), **changes("write"), "DELETE": ("superuser", DEED)},
    "/orgs/:org/members/": reads(),
    "/orgs/:org/members/:user/": {
        "GET": ("own", 204),
        "PUT": ("own", DEED),
        "DELETE": ("own", DEED),
    },
    "/users/": {**reads("all"), "POST": ("staff", BODY)},
    "/users/login/": {"POST": ("all", BODY)},
    "/users/signup/": {"POST": ("all", 404)},  # off
    "/users/signup/verify-email/:verification/": {"GET": ("all", 404)},
    "/users/:user/": {**reads("all"), **changes("own"), "DELETE": ("staff", DEED)},
    "/users/:user/reactivate/": {"PUT": ("staff", DEED)},
    "/user/": {**reads("user"), **changes("user")},
    "{U}/orgs/": reads("all"),
    "{U}/orgs/sources/": reads("all"),
    "{U}/orgs/collections/": reads("all"),
    "/sources/": reads("all"),
    "/concepts/": reads("all"),
    "/mappings/": reads("all"),
    "{O}/sources/": {**reads("all"), "POST": ("own", BODY)},
    "{R}/": {**reads(), **changes("write"), "DELETE": ("own", DEED)},
    "{R}/versions/": {**reads(), "POST": ("write", BODY)},
    "{V}/": {**reads(), **changes("write"), "DELETE": ("own", DEED)},
    "{V}/children/": reads(),
    "{V}/processing/": {**reads(), "POST": ("own", DEED)},
    "{V}/export/": {
        "GET": ("read", READY),
        "HEAD": ("read", READY),
        "POST": ("own", DEED),
        "DELETE": ("own", DEED),
    },
    # The signature is the credential. This one is wrong.
    "/exports/:version_id/:token/:expires/:signature/:key": reads("all", 403),
    "{A}/extras/": reads(),
    "{A}/extras/:key/": ENTRY,
    "{A}/concepts/": LIST,
    "{A}/mappings/": LIST,
    "{A}/concepts/:concept/": ITEM,
    "{A}/mappings/:mapping/": ITEM,
    "{A}/concepts/:concept/versions/": reads(),
    "{A}/mappings/:mapping/versions/": reads(),
    "{A}/concepts/:concept/mappings/": reads(),
    "{A}/concepts/:concept/names/": LIST,
    "{A}/concepts/:concept/descriptions/": LIST,
    "{A}/concepts/:concept/names/:uuid/": ENTRY,
    "{A}/concepts/:concept/descriptions/:uuid/": ENTRY,
    "{A}/concepts/:concept/extras/": reads(),
    "{A}/concepts/:concept/extras/:key/": ENTRY,
    "{A}/concepts/:concept/:item_version/": reads(),
    "{A}/mappings/:mapping/:item_version/": reads(),
    "{A}/concepts/:concept/:item_version/names/": reads(),
    "{A}/concepts/:concept/:item_version/descriptions/": reads(),
    "{A}/concepts/:concept/:item_version/names/:uuid/": reads(),
    "{A}/concepts/:concept/:item_version/descriptions/:uuid/": reads(),
    "{A}/concepts/:concept/:item_version/extras/": reads(),
    "{A}/concepts/:concept/:item_version/extras/:key/": reads(),
}
"""The permission that each method of a route needs, and the status for a caller who has it.

`status` has the exceptions for HEAD and for versions.
"""


def refusal(right: str, role: str, visibility: str) -> int | None:
    """Return 401 or 403 for a caller without the permission, None for a caller with it."""
    needs_name = right in ("user", "write", "own", "staff", "superuser", "ask") or (
        right == "read" and visibility == "None"
    )
    if role == "anonymous":
        return 401 if needs_name else None
    allowed = {
        "all": True,
        "user": True,
        "read": visibility != "None" or role != "other",
        "ask": visibility != "None" or role != "other",
        "write": visibility == "Edit" or role != "other",
        "own": role != "other",
        "staff": role in ("staff", "superuser"),
        "superuser": role == "superuser",
    }
    return None if allowed[right] else 403


def status(pattern: str, address: str, method: str, allowed: int) -> int:
    """Return the status for a caller with the permission.

    HEAD can't be changed as a version, and the content of a version is read-only.
    """
    # In this test, the long form of the path names HEAD, the short form v1.
    head = "/versions/:version" in address
    if (
        "{V}" in pattern
        and head
        and (pattern == "{V}/export/" or (pattern == "{V}/" and method in (*CHANGES, "DELETE")))
    ):
        return 405
    if pattern == "{V}/processing/" and head and method == "POST":
        return OK  # HEAD has no flag that could be stuck
    frozen = "/:version/" in address and not head and "{A}/extras" not in pattern
    return (
        FROZEN
        if pattern.startswith("{A}") and frozen and method not in ("GET", "HEAD")
        else allowed
    )


@dataclass
class World:
    """The callers by role, the existing items, and the results."""

    callers: dict[str, Api]
    deactivated: Api
    # Further path parameters by the URL of the repository.
    steps: dict[str, dict[str, str]]
    cells: int = 0
    wrong: list[str] = field(default_factory=list)

    def send(self, caller: Api, method: str, url: str) -> int:
        body: dict[str, Any] = {"data": "{"} if method not in ("GET", "HEAD") else {}
        return caller.open(method, url, **body).status_code

    def check(self, request: str, expected: int, found: int) -> None:
        self.cells += 1
        if expected != found:
            self.wrong.append(f"{request}: {found} instead of {expected}")


def fill(api: Api, owner: str, visibility: str) -> Source:
    """Create a source of this visibility with one item of each kind, released as v1."""
    good(
        api.post(
            f"{owner}sources/",
            {"id": visibility, "name": visibility, "public_access": visibility, "extras": {"k": 1}},
        )
    )
    source = Source(api, f"{owner}sources/{visibility}/")
    source.concept(CONCEPT, descriptions=[{"description": "d", "locale": "en"}], extras={"k": 1})
    source.concept("D")
    source.mapping(MAPPING, CONCEPT, "D")
    source.release(VERSION)
    return source


@pytest.fixture(scope="module")
def world(app, services):
    root = Api(app.test_client())
    people = People(services, root)
    owner, other, deactivated = (
        people.new(username="owner"),
        people.new(username="other"),
        people.new(username="deactivated"),
    )
    staff = people.new(username="staff", is_staff=True)
    people.new(username="member")
    callers = {
        "anonymous": root.anonymous,
        "other": other.api,
        "owner": owner.api,
        "staff": staff.api,
        "superuser": root,
    }
    owners = ["/users/owner/", "/users/staff/", "/users/root/"]
    for visibility in VISIBILITIES:
        good(
            owner.api.post(
                "/orgs/", {"id": visibility, "name": visibility, "public_access": visibility}
            )
        )
        good(owner.api.open("PUT", f"/orgs/{visibility}/members/member/"))
        owners.append(f"/orgs/{visibility}/")
    steps = {}
    for url in owners:
        for visibility in VISIBILITIES:
            source = fill(root, url, visibility)
            concept = good(root.get(f"{source.url}concepts/{encoded(CONCEPT)}/")).get_json()
            names = {
                "names": concept["names"][0]["uuid"],
                "descriptions": concept["descriptions"][0]["uuid"],
            }
            steps[source.url] = {"concept": concept["version"], "mapping": "1", **names}
    make_exports(app, services)
    good(root.delete("/users/deactivated/"))
    return World(callers, deactivated.api, steps)


def make_exports(app, services) -> None:
    for key in list(services.store.exports.unsettled()):
        with app.app_context():
            build_export(key.version, services.store.exports.read(key).job.token)


@pytest.fixture
def nothing_is_stored(monkeypatch, caplog, services):
    # Each prevented write is logged as a failed request.
    caplog.set_level("ERROR", logger="oclapi.resources.errors")

    def refuse(*args, **kwargs):
        raise RepositoryBusy("the test stores nothing")

    monkeypatch.setattr(services.store.database, "transaction", refuse)
    for name in ("request", "recreate", "delete", "clear"):
        monkeypatch.setattr(ExportStates, name, refuse)


def filled(pattern: str, address: str, owner: str, visibility: str, role: str, world: World) -> str:
    """Return a path with its parameters filled in.

    `owner` is the URL of the owner, or `/user/` for the caller.
    """
    mine = f"/users/{USERS[role]}/" if owner == "/user/" else owner
    known = world.steps[f"{mine}sources/{visibility}/"]
    values = {
        "org": owner.split("/")[-2],
        "user": "member" if "members" in pattern else owner.split("/")[-2],
        "source": visibility,
        "version": "HEAD" if "/versions/:version" in address else encoded(VERSION),
        "concept": encoded(CONCEPT),
        "mapping": encoded(MAPPING),
        "key": "start.js" if pattern == "/docs/:key" else "k",
        "item_version": known["mapping" if ":mapping" in address else "concept"],
        "uuid": known["names" if "/names/" in address else "descriptions"],
        "verification": "x",
        "version_id": "1",
        "token": "x",
        "expires": "1",
        "signature": "x",
    }
    return "/".join(
        values[step[1:]] if step.startswith(":") else step for step in address.split("/")
    )


def targets(pattern: str, address: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield the owners, visibilities and roles with which a path is tested.

    The visibility is that of the repository, or of the organisation if there is no repository.
    """
    of_repo = ":source" in address
    if address.startswith("/orgs/:org"):
        # The visibility of an organisation does not affect its repositories. So each repository
        # has another visibility than its organisation.
        if of_repo:
            pairs = zip(("None", "View", "Edit"), VISIBILITIES, strict=True)
            yield from ((f"/orgs/{org}/", visibility, ROLES) for org, visibility in pairs)
        else:
            yield from ((f"/orgs/{visibility}/", visibility, ROLES) for visibility in VISIBILITIES)
    elif address.startswith("/user/") and address != "/user/":
        yield "/user/", "None", tuple(USERS)
    else:
        yield from (
            ("/users/owner/", visibility, ROLES)
            for visibility in (VISIBILITIES if of_repo else ("View",))
        )


def walk(world: World, pattern: str, methods: dict[str, tuple[str, int]]) -> None:
    for address in expand(pattern):
        for owner, visibility, roles in targets(pattern, address):
            of_caller = address.startswith("/user/")
            for method, (right, allowed) in methods.items():
                # HEAD is like GET, which is tested everywhere.
                if method == "HEAD" and ":source" in address and visibility != "None":
                    continue
                if (
                    pattern == "{V}/export/"
                    and "/versions/:version" in address
                    and method == "POST"
                ):
                    right = "ask"  # HEAD has no export
                for role in roles:
                    url = filled(pattern, address, owner, visibility, role, world)
                    expected = (
                        401
                        if of_caller and role == "anonymous"
                        else refusal(right, role, visibility)
                    )
                    expected = expected or status(pattern, address, method, allowed)
                    found = world.send(world.callers[role], method, url)
                    world.check(f"{role} {method} {url}", expected, found)
                    if method == "GET" and expected in (401, 403, 404):
                        # Rights come before parameters.
                        found = world.send(world.callers[role], method, url + BAD_QUERY)
                        world.check(f"{role} {method} {url}{BAD_QUERY}", expected, found)
        url = filled(pattern, address, *next(targets(pattern, address))[:2], "owner", world)
        for method in METHODS:
            # Signed links ignore tokens.
            refused = (
                401 if not pattern.startswith("/exports/") else 403 if method in methods else 405
            )
            world.check(
                f"deactivated {method} {url}", refused, world.send(world.deactivated, method, url)
            )
            if method not in methods and not (method == "HEAD" and "GET" in methods):
                world.check(
                    f"superuser {method} {url}",
                    405,
                    world.send(world.callers["superuser"], method, url),
                )
                world.check(
                    f"anonymous {method} {url}",
                    405,
                    world.send(world.callers["anonymous"], method, url),
                )


ROUTES = (*reference.ROUTES, *routes.ROUTES)


def with_head(methods: dict[str, tuple[str, int]]) -> dict[str, tuple[str, int]]:
    """Expect the same of HEAD as of GET."""
    return {**({"HEAD": methods["GET"]} if "GET" in methods else {}), **methods}


def test_every_route_has_an_expectation():
    assert [pattern for pattern, _ in ROUTES if pattern not in EXPECTED] == []
    assert EXPECTED.keys() == {pattern for pattern, _ in ROUTES}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_role_has_exactly_its_permissions_at_every_path(
    world, nothing_is_stored, record_property, capsys
):
    for pattern, _ in ROUTES:
        walk(world, pattern, with_head(EXPECTED[pattern]))

    assert world.wrong == []
    record_property("cells", world.cells)
    with capsys.disabled():
        print(f"\naccess walk: {world.cells} combinations of route, role and visibility")


def test_a_caller_who_may_read_a_version_may_start_its_missing_export(world, services, queue):
    for visibility in VISIBILITIES:
        url = f"/users/owner/sources/{visibility}/{encoded(VERSION)}/export/"
        for method, right in (("GET", "read"), ("POST", "ask")):
            for role in ROLES:
                assert world.callers["superuser"].delete(url).status_code in (204, 404)
                found = world.send(world.callers[role], method, url)
                assert found == (
                    refusal(right, role, visibility) or (208 if method == "GET" else 202)
                ), (role, method, visibility)


@pytest.mark.parametrize("role", ROLES)
def test_lists_and_counts_contain_exactly_what_the_caller_may_read(world, role):
    caller = world.callers[role]
    readable = {
        repo
        for repo in world.steps
        if refusal("read", _role(role, repo), repo.split("/")[-2]) is None
    }
    public = {repo for repo in world.steps if not repo.endswith("/None/")}

    def listed(path: str) -> set[str]:
        response = good(caller.get(f"{path}?limit=0"))
        assert int(response.headers["num_found"]) == len(response.get_json())
        return {urlsplit(found["url"]).path for found in response.get_json()}

    assert listed("/sources/") == readable
    for owner in ("/users/owner/", "/orgs/None/"):
        assert listed(f"{owner}sources/") == {repo for repo in readable if repo.startswith(owner)}
    assert listed("/concepts/") == {
        f"{repo}concepts/{concept}/" for repo in public for concept in (encoded(CONCEPT), "D")
    }
    assert listed("/mappings/") == {f"{repo}mappings/{encoded(MAPPING)}/" for repo in public}
    orgs = {
        f"/orgs/{visibility}/"
        for visibility in VISIBILITIES
        if visibility != "None" or role not in ("anonymous", "other")
    }
    assert listed("/orgs/") == orgs | {"/orgs/OCL/"}
    assert {name.split("/")[2] for name in listed("/users/")} == {
        "root",
        "owner",
        "other",
        "staff",
        "member",
    }


def _role(role: str, repo: str) -> str:
    """Return the role of a caller for a repository: the owner is `other` for those of others."""
    return (
        "other" if role == "owner" and repo.startswith(("/users/staff/", "/users/root/")) else role
    )


@pytest.mark.parametrize("role", ["anonymous", "other"])
@pytest.mark.parametrize(
    "rest",
    [
        "None",
        "None/",
        "None//",
        "/None/",
        "./None/",
        "View/../None/",
        "View/%2e%2e/None/",
        "View%2f..%2fNone/",
        "None%2f",
        "None%2fconcepts/",
        "None/HEAD/",
        "None/latest/",
        f"None/{encoded(VERSION)}/concepts/{encoded(CONCEPT)}",
        f"View/{encoded(VERSION)}/%2e%2e/%2e%2e/None/concepts/",
        "None%00/",
        "None;a=b/",
        "%4eone/",
        "None/?x=/View/",
    ],
)
def test_no_spelling_of_a_path_gives_access_to_a_private_source(world, role, rest):
    url = f"/users/owner/sources/{rest}"
    response = world.callers[role].open("GET", url, environ_overrides={"RAW_URI": url})

    assert response.status_code in (401, 403, 404)
    assert "Name of C" not in response.get_data(as_text=True)


def test_a_body_that_names_a_private_concept_gets_the_error_for_a_missing_one(world, services):
    other = world.callers["other"]
    good(world.callers["superuser"].post("/users/other/sources/", {"id": "Mine", "name": "Mine"}))
    good(
        other.post(
            "/users/other/sources/Mine/concepts/",
            {"id": "C", "concept_class": "x", "names": [{"name": "n", "locale": "en"}]},
        )
    )
    start = {"map_type": "X", "from_concept_url": "/users/other/sources/Mine/concepts/C/"}

    def target(url: str) -> Any:
        return other.post("/users/other/sources/Mine/mappings/", {**start, "to_concept_url": url})

    hidden, missing = (
        target(f"/users/owner/sources/None/concepts/{encoded(CONCEPT)}/"),
        target(f"/users/owner/sources/Nope/concepts/{encoded(CONCEPT)}/"),
    )

    assert (hidden.status_code, list(hidden.get_json()["errors"])) == (400, ["to_concept_url"])
    assert hidden.get_json()["detail"].replace("None", "Nope") == missing.get_json()["detail"]
    good(target(f"/users/owner/sources/View/concepts/{encoded(CONCEPT)}/"))
