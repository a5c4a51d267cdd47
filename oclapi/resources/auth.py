"""Who asks: the Authorization header (contract section 3). What they may do is told by
oclapi/access.py.
"""

import re

from flask import g, request

from oclapi.access import ANYBODY, Caller
from oclapi.errors import NotAuthenticated
from oclapi.store.users import Users

TOKEN = re.compile(r"[0-9a-fA-F]{40}", re.ASCII)


def authenticate(users: Users) -> Caller:
    """The caller that the request's header names. Schemes other than Token say nothing here.

    Raises NotAuthenticated for a Token header that is malformed or unknown, also where nobody needs
    credentials.
    """
    scheme, *rest = request.headers.get("Authorization", "").split(None, 1) or [""]
    if scheme.lower() != "token":
        return ANYBODY
    token = rest[0].strip() if rest else ""
    if not TOKEN.fullmatch(token):
        raise NotAuthenticated("the Authorization header must be: Token <40 hex characters>")
    found = users.by_token(token)
    if found is None:
        raise NotAuthenticated("this token is not known")
    return found


def caller() -> Caller:
    """Who asks in this request."""
    found: Caller = g.caller
    return found
