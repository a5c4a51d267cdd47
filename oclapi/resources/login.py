"""Logging in and signing up (contract section 3)."""

from flask import Response

from oclapi import bodies, jsonio
from oclapi.editing import login
from oclapi.resources import body, described, limits, shapes, users
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.responses import created, ok

PRIVATE = {"Cache-Control": "no-store"}


class LogIn(Endpoint):
    """Log in with a username and password, and get a new token."""

    about = described.EndpointDoc(
        tag="Users",
        accepts={"post": bodies.LogIn},
        accepts_forms=True,
        responses={"post": {200: shapes.Token}},
        errors={"post": (429,)},
        summaries={"post": "Get a token for a username and password"},
    )

    def post(self) -> Response:
        fields = body.read_flat(self.settings, body.SMALL)
        life, address = self.settings.token_life, limits.client_network()
        if self.settings.login_by_hash and "password" not in fields:
            given = bodies.log_in_by_hash(fields)
            token = login.log_in_by_hash(
                self.store, given["username"], given["hashed_password"], address, life=life
            )
        else:
            given = bodies.log_in(fields)
            token = login.log_in(
                self.store, given["username"], given["password"], address, life=life
            )
        return ok({"token": token}, PRIVATE)


class SignUpEndpoint(Endpoint):
    """Base class of sign-up and e-mail verification."""

    @property
    def sign_ups(self) -> login.SignUps:
        """Raises NotFound when sign-up is off."""
        settings = self.settings
        hosts = frozenset(
            host.strip().lower() for host in settings.signup_hosts.split(",") if host.strip()
        )
        sign_ups = login.SignUps(
            hosts, settings.secret_key, settings.base_url, settings.password_length
        )
        sign_ups.need()
        return sign_ups


class SignUp(SignUpEndpoint):
    """Create an unverified user, and send a mail with a link for verification."""

    about = described.EndpointDoc(
        tag="Users",
        noun="user",
        creates=shapes.User,
        accepts={"post": bodies.SignUp},
        accepts_forms=True,
        errors={"post": (404, 429)},
        summaries={"post": "Sign up. The server sends an e-mail with a verification link"},
    )

    def post(self) -> Response:
        sign_ups = self.sign_ups
        user = sign_ups.sign_up(
            self.store,
            bodies.sign_up(body.read_flat(self.settings, body.SMALL)),
            limits.client_network(),
        )
        return created(
            jsonio.dumps(users.detail(self.store, self.caller, user)), user.url, self.settings
        )


class EmailVerification(SignUpEndpoint):
    """Verify an e-mail address, and redirect to one of the two URLs that the sign-up named."""

    about = described.EndpointDoc(
        tag="Users",
        responses={"get": {302: None}},
        summaries={"get": "Verify the e-mail address of a new user"},
    )

    def get(self, verification: str) -> Response:
        response = Response(
            status=302,
            headers={"Location": self.sign_ups.verify(self.store, verification), **PRIVATE},
        )
        response.autocorrect_location_header = False
        del response.headers["Content-Type"]
        return response
