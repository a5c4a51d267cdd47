"""Log-in and sign-up."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from itsdangerous import BadSignature, URLSafeTimedSerializer

from oclapi import passwords
from oclapi.access import ANONYMOUS
from oclapi.editing import users
from oclapi.errors import Invalid, NotAuthenticated, NotFound
from oclapi.model import Json, User
from oclapi.store.attempts import Attempt
from oclapi.store.store import Store
from oclapi.store.users import UNVERIFIED, Credentials
from oclapi.times import now_ms


def log_in(store: Store, username: str, password: str, address: str, *, life: int) -> str:
    """Return a new token for the user, valid for `life` seconds (0: until the password changes).

    `address` is the client's. An unknown name, a wrong password and a deactivated user have the
    same response after the same time. Raises NotAuthenticated, and TooManyRequests after too many
    failures.
    """
    # Wait for a free slot first: an attempt that is not checked must not count as a failure.
    with passwords.slot():
        attempt = store.attempts.begin_log_in(username, address)
        user = store.users.credentials(username)
        right, renewed = passwords.verified(password, _hash_of(user))
        while (
            user
            and user.password
            and renewed
            and not store.users.renew_password(username, user.password, renewed)
        ):
            # A concurrent log-in renewed the hash, or the password was changed.
            user = store.users.credentials(username)
            right, renewed = passwords.verified(password, _hash_of(user))
    return _admitted(store, attempt, user, right, renewed, life)


def log_in_by_hash(store: Store, username: str, given: str, address: str, *, life: int) -> str:
    """Like `log_in`, with the hash that was given when the user was created.

    The hash stops working when the user has logged in with the password.
    """
    attempt = store.attempts.begin_log_in(username, address)
    user = store.users.credentials(username)
    right = passwords.is_same_hash(given, _hash_of(user))
    return _admitted(store, attempt, user, right, None, life)


def _hash_of(user: Credentials | None) -> str | None:
    """Return the hash of the user's password, or None."""
    return user.password if user else None


def _admitted(
    store: Store,
    attempt: Attempt,
    user: Credentials | None,
    right: bool,
    renewed: str | None,
    life: int,
) -> str:
    wrong = NotAuthenticated("wrong username or password")
    if user is None or not right or not (user.active or user.unverified):
        raise wrong
    store.attempts.succeed(attempt)
    if not user.active:
        raise NotAuthenticated("the e-mail address is not verified yet; open the link in the mail")
    try:
        return store.users.new_token(user.username, life, password=renewed or user.password)
    except NotFound as error:  # the password was changed meanwhile
        raise wrong from error


@dataclass(frozen=True, slots=True)
class SignUps:
    """Sign-up, and the links that verify e-mail addresses.

    `hosts` are the hosts to which users may be redirected. Without any, sign-up is off.
    """

    hosts: frozenset[str]
    secret: str
    base_url: str
    shortest: int  # minimum length of a password

    def need(self) -> None:
        """Raise NotFound when sign-up is off."""
        if not self.hosts:
            raise NotFound("sign-up is off on this server")

    def sign_up(self, store: Store, body: Json, address: str) -> User:
        """Create an unverified user, queue the mail with the link, and return the user.

        Raises Invalid, and TooManyRequests after too many sign-ups from the same address.
        """
        names = ("email_verify_success_url", "email_verify_failure_url")
        if wrong := {
            name: ["must be an absolute URL of an allowed host"]
            for name in names
            if not is_allowed_url(body[name], self.hosts)
        }:
            raise Invalid(wrong)
        store.attempts.begin_sign_up(address)
        token = self._signer.dumps([body["username"], *(body[name] for name in names)])
        link = f"{self.base_url.rstrip('/')}/users/signup/verify-email/{token}/"
        text = (
            f"Someone, probably you, signed up as {body['username']}. "
            f"To verify this address, open\n\n{link}\n\nwithin two days.\n"
        )
        return users.create(
            store,
            body,
            ANONYMOUS,
            shortest=self.shortest,
            unverified=True,
            also_write=lambda session: store.mails.add(
                session, body["email"], "Please verify your e-mail address", text
            ),
        )

    def verify(self, store: Store, token: str) -> str:
        """Activate the user that the token names. Returns the URL for success or failure.

        Raises NotFound for an invalid token.
        """
        try:
            (username, success, failure), created = self._signer.loads(token, return_timestamp=True)
        except BadSignature as error:
            raise NotFound("this link is invalid") from error
        if not (is_allowed_url(success, self.hosts) and is_allowed_url(failure, self.hosts)):
            raise NotFound("this link leads to a host that is no longer allowed")
        if now_ms() - created > UNVERIFIED:
            return str(failure)
        try:
            store.users.activate(username, username, unverified=True)
        except NotFound:  # deactivated in the meantime
            return str(failure)
        return str(success)

    @property
    def _signer(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(self.secret, salt="verify-email")


def is_allowed_url(url: str, hosts: frozenset[str]) -> bool:
    """Return whether it is an absolute http(s) URL of one of the hosts.

    URLs that clients parse in different ways are rejected.
    """
    if not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+([/?#][!-\[\]-~]*)?", url):
        return False
    try:
        return urlsplit(url).hostname in hosts
    except ValueError:
        return False
