"""Signing up and verifying an address over HTTP (contract section 3)."""

import email
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.policy import default

import pytest
from itsdangerous import URLSafeTimedSerializer

from config.settings import BadSetting, Settings
from jobs.mail import send_mails
from oclapi.app import create_app
from oclapi.editing.login import is_allowed_url
from oclapi.store import attempts
from tests.builders import KEY, Api, good

PASSWORD = "a long pass phrase"
SUCCESS, FAILURE = "https://app.example.org/welcome?x=1#y", "https://app.example.org/sorry"
BASE = "https://ocl.example.org"


@pytest.fixture
def mailbox(tmp_path):
    return tmp_path / "mail"


@pytest.fixture
def open_services(services, mailbox):
    services.store.database.attempts.delete_many({})
    services.store.database.mails.delete_many({})
    settings = services.settings.model_copy(
        update={
            "signup_hosts": "app.example.org, Other.example.org",
            "base_url": BASE,
            "mail": str(mailbox),
        }
    )
    return replace(services, settings=settings)


@pytest.fixture
def site(open_services):
    """The API with sign-up turned on, without credentials."""
    return Api(create_app(open_services).test_client()).anonymous


def body(name, **fields):
    pages = {"email_verify_success_url": SUCCESS, "email_verify_failure_url": FAILURE}
    return {
        "username": name,
        "name": "New",
        "email": f"{name}@example.org",
        "password": PASSWORD,
        **pages,
        **fields,
    }


def mails(open_services, mailbox):
    """Send the queued mails as the worker does, and return all sent mails."""
    send_mails(open_services, datetime.now(UTC) + timedelta(seconds=1))
    return [
        email.message_from_bytes(file.read_bytes(), policy=default)
        for file in sorted(mailbox.glob("*.eml"))
    ]


def link(open_services, mailbox):
    [mail] = mails(open_services, mailbox)
    return re.search(rf"{BASE}(/users/signup/verify-email/\S+/)", mail.get_content())[1]


def log_in(site, name):
    return site.post("/users/login/", {"username": name, "password": PASSWORD})


def test_sign_up_is_off_unless_hosts_are_set(api):
    assert api.anonymous.post("/users/signup/", body("early")).status_code == 404
    assert api.anonymous.get("/users/signup/verify-email/x/").status_code == 404
    assert api.get("/users/early/").status_code == 404


def test_a_name_that_was_not_verified_in_time_is_free_again(site, open_services, mailbox):
    good(site.post("/users/signup/", body("wanjiru", email="first@example.org")))
    assert site.post("/users/signup/", body("wanjiru")).status_code == 400
    users = open_services.store.database.users
    too_early = datetime.now(UTC) - timedelta(days=2, seconds=1)
    users.update_one({"_id": "wanjiru"}, {"$set": {"created_on": too_early}})

    good(site.post("/users/signup/", body("wanjiru", email="second@example.org")))
    assert open_services.store.users.get("wanjiru").email == "second@example.org"
    sent = {mail["To"]: mail.get_content() for mail in mails(open_services, mailbox)}
    path = re.search(rf"{BASE}(/users/signup/verify-email/\S+/)", sent["second@example.org"])[1]
    assert site.get(path).headers["Location"] == SUCCESS
    users.update_one({"_id": "wanjiru"}, {"$set": {"created_on": too_early}})
    assert site.post("/users/signup/", body("wanjiru")).status_code == 400


def test_a_user_who_signs_up_can_log_in_after_opening_the_link(site, api, open_services, mailbox):
    created = site.post("/users/signup/", body("asha", is_staff=True, is_superuser=True))

    assert (created.status_code, created.get_json()["username"]) == (201, "asha")
    assert log_in(site, "asha").status_code == 401
    assert site.get("/users/asha/").status_code == 404
    [mail] = mails(open_services, mailbox)
    assert (mail["To"], mail["From"]) == ("asha@example.org", "oclapi@localhost")
    for _ in range(2):
        verified = site.get(link(open_services, mailbox))
        assert (verified.status_code, verified.headers["Location"], verified.get_data()) == (
            302,
            SUCCESS,
            b"",
        )
    token = good(log_in(site, "asha")).get_json()["token"]
    good(site.by(token).get("/user/"))
    shown = good(api.get("/users/asha/")).get_json()
    assert (shown["is_staff"], shown["is_superuser"], shown["created_by"]) == (False, False, "asha")


def test_the_link_is_good_for_two_days(site, open_services, mailbox, monkeypatch):
    good(site.post("/users/signup/", body("late")))
    url = link(open_services, mailbox)

    monkeypatch.setattr(
        "oclapi.editing.login.now_ms", lambda: datetime.now(UTC) + timedelta(days=2, seconds=5)
    )

    assert site.get(url).headers["Location"] == FAILURE
    assert log_in(site, "late").status_code == 401


def test_a_link_does_not_reactivate_a_deactivated_user(site, api, open_services, mailbox):
    good(site.post("/users/signup/", body("banned")))
    url = link(open_services, mailbox)
    good(api.delete("/users/banned/"))

    assert site.get(url).headers["Location"] == FAILURE
    assert api.delete("/users/banned/").status_code == 404
    good(api.open("PUT", "/users/banned/reactivate/"))
    good(log_in(site, "banned"))


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "x.y.z",
        "%2e%2e",
        URLSafeTimedSerializer("another secret").dumps(["root", SUCCESS, FAILURE]),
    ],
)
def test_a_token_with_another_signature_is_not_found(site, token):
    response = site.get(f"/users/signup/verify-email/{token}/")

    assert response.status_code == 404
    assert "Location" not in response.headers


def test_a_token_that_the_server_signed_for_another_purpose_is_not_found(site):
    token = URLSafeTimedSerializer(KEY, salt="cursor").dumps(["root", SUCCESS, FAILURE])

    assert site.get(f"/users/signup/verify-email/{token}/").status_code == 404


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"email_verify_success_url": None}, {"email_verify_success_url"}),
        ({"email_verify_failure_url": "/x"}, {"email_verify_failure_url"}),
        (
            {
                "email_verify_success_url": "https://evil.example.net/",
                "email_verify_failure_url": "javascript:alert(1)",
            },
            {"email_verify_success_url", "email_verify_failure_url"},
        ),
        ({"username": "signup"}, {"username"}),
        ({"username": "root"}, {"mnemonic", "username"}),
        ({"password": "short"}, {"password"}),
        ({"email": "a@b\r\nBcc: c@d"}, {"email"}),
    ],
)
def test_a_bad_sign_up_is_refused_and_sends_nothing(site, open_services, mailbox, fields, wrong):
    response = site.post("/users/signup/", body("wrong", **fields))

    assert (response.status_code, set(response.get_json()["errors"])) == (400, wrong)
    assert mails(open_services, mailbox) == []


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://app.example.org", True),
        ("http://app.example.org:8080/a?b#c", True),
        ("https://APP.example.org/", True),
        ("https://app.example.org.evil.net/", False),
        ("https://evil.net/app.example.org", False),
        ("https://app.example.org@evil.net/", False),
        ("https://user:x@app.example.org/", False),
        ("https://evil.net\\@app.example.org/", False),
        ("//app.example.org/", False),
        ("https://app.example.org/\\evil.net", False),
        ("https://app.example.org/\r\nX: y", False),
        ("ftp://app.example.org/", False),
        (" https://app.example.org/", False),
        ("https://app.example.org /", False),
        ("https://[app.example.org/", False),
        ("", False),
        ("https://app.example.org\n", False),
    ],
)
def test_users_are_redirected_to_allowed_hosts_only(url, good):
    assert is_allowed_url(url, frozenset({"app.example.org"})) is good


def test_many_sign_ups_from_one_address_wait(site):
    statuses = [
        site.post("/users/signup/", body(f"many{number}")).status_code
        for number in range(attempts.SIGN_UPS.free + 1)
    ]

    assert statuses == [201] * attempts.SIGN_UPS.free + [429]


def test_a_mail_that_can_not_be_sent_is_retried_for_two_days(site, open_services, mailbox):
    mailbox.write_text("not a folder")
    good(site.post("/users/signup/", body("patient")))
    store, now = open_services.store, datetime.now(UTC)

    send_mails(open_services, now + timedelta(seconds=1))
    assert store.mails.next(now + timedelta(seconds=29)) is None
    assert store.mails.next(now + timedelta(seconds=35))["tries"] == 1
    send_mails(open_services, now + timedelta(days=3))
    assert store.mails.next(now + timedelta(days=30)) is None

    mailbox.unlink()
    good(site.post("/users/signup/", body("patient2")))
    assert len(mails(open_services, mailbox)) == 1
    assert store.database.mails.count_documents({}) == 0


def test_links_in_mails_need_the_base_url_setting():
    with pytest.raises(BadSetting, match="OCL_BASE_URL"):
        Settings.from_environ({"OCL_SIGNUP_HOSTS": "app.example.org"})
    with pytest.raises(BadSetting, match="OCL_MAIL"):
        Settings.from_environ({"OCL_MAIL": "imap://x"})
