"""Who may do what."""

import mongomock
import pytest

from oclapi.access import ANYBODY, Caller, caller_of, may, need, need_create, readable
from oclapi.errors import Forbidden, NotAuthenticated

AMINA = Caller("amina")
ROOT = Caller("root", is_staff=True, is_superuser=True)


@pytest.mark.parametrize("access", ["View", "Edit", "None"])
@pytest.mark.parametrize("action", ["read", "write", "own"])
def test_a_superuser_may_do_everything(action, access):
    assert may(ROOT, action, {"public_access": access})
    need(ROOT, action, {"public_access": access})


@pytest.mark.parametrize(("caller", "refusal"), [(ANYBODY, NotAuthenticated), (AMINA, Forbidden)])
@pytest.mark.parametrize("access", ["View", "Edit", "None"])
def test_others_read_what_is_not_private_and_are_told_why_they_may_no_more(caller, refusal, access):
    target = {"public_access": access}
    for action, allowed in (("read", access != "None"), ("write", False), ("own", False)):
        assert may(caller, action, target) is allowed
        if allowed:
            need(caller, action, target)
        else:
            with pytest.raises(refusal):
                need(caller, action, target)


def test_only_a_superuser_creates():
    need_create(ROOT, "org")
    with pytest.raises(Forbidden):
        need_create(AMINA, "source")
    with pytest.raises(NotAuthenticated):
        need_create(ANYBODY, "source")


@pytest.mark.parametrize("caller", [ANYBODY, AMINA, ROOT])
@pytest.mark.parametrize("access", ["View", "Edit", "None"])
def test_a_listing_holds_what_the_caller_may_read(caller, access):
    repos = mongomock.MongoClient().db.repos
    repos.insert_one({"public_access": access})
    assert bool(repos.count_documents(readable(caller))) == may(caller, "read", {"public_access": access})


def test_a_user_is_the_caller_of_that_name():
    caller = caller_of({"_id": "amina", "is_staff": True, "is_superuser": False})
    assert (caller, caller.by) == (Caller("amina", is_staff=True), "amina")
