"""Authentication by the Authorization header (contract section 3).

The permissions of a caller are checked in oclapi/access.py.
"""

import re

from flask import g, request

from oclapi.access import ANONYMOUS, Caller
from oclapi.errors import NotAuthenticated
from oclapi.store.users import Users

TOKEN = re.compile(r"[0-9a-fA-F]{40}", re.ASCII)


def authenticate(users: Users) -> Caller:
    """Return the caller whose token is in the request. Schemes other than Token are ignored.

    Raises NotAuthenticated for a malformed or unknown token, also on public resources.
    """
    scheme, *rest = _authorization()
    if scheme.lower() != "token":
        return ANONYMOUS
    token = rest[0].strip() if rest else ""
    if not TOKEN.fullmatch(token):
        raise NotAuthenticated("the Authorization header must be: Token <40 hex characters>")
    found = users.by_token(token)
    if found is None:
        raise NotAuthenticated("unknown token")
    return found


def hint() -> str:
    """Return what is added to the text of a 401: the scheme to use, for callers of another one."""
    scheme = _authorization()[0].lower()
    if scheme in ("", "token"):
        return ""
    return "; the Authorization header must begin with Token, other schemes are ignored"


def _authorization() -> list[str]:
    """Return the scheme of the Authorization header, and what follows it."""
    return request.headers.get("Authorization", "").split(None, 1) or [""]


def caller() -> Caller:
    """Return the caller of the current request."""
    found: Caller = g.caller
    return found
