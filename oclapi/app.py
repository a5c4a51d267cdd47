"""Build the services and the web application from the settings. All wiring is here."""

import logging
import time
import uuid

from flask import Flask, Response, g, request
from werkzeug.exceptions import BadRequest, RequestHeaderFieldsTooLarge, RequestURITooLarge
from werkzeug.middleware.proxy_fix import ProxyFix

from config.logging import belongs_to
from config.settings import BadSetting, Settings
from jobs.queue import RQExportQueue
from oclapi import metrics, migration
from oclapi.access import ANONYMOUS
from oclapi.errors import NotFound
from oclapi.exports.cache import ExportCache
from oclapi.reference import routes as reference
from oclapi.resources import cors, errors, limits, responses, routes
from oclapi.resources.auth import authenticate
from oclapi.resources.paths import BROKEN, SIGNED, RawPaths
from oclapi.resources.routes import add_routes
from oclapi.services import Services
from oclapi.store.store import open_store
from search.solr import SolrIndex
from search.synonyms import synonyms

log = logging.getLogger(__name__)

LOGGED = ("org", "user", "source", "collection", "version", "concept", "mapping")
"""Path parameters that are written to the log."""

PARSED = ("Accept", "Accept-Encoding", "Access-Control-Request-Headers", "Content-Type")
"""Headers whose parsers need several microseconds for each comma or semicolon."""
MOST_PARTS = 500
"""Most parts, between commas and semicolons, of each of them."""


def build_services(settings: Settings) -> Services:
    """Build what requests and jobs share.

    Opens no connection. Raises BadSetting without a secret key, or when the synonyms of the search
    can't be read.
    """
    if not settings.secret_key:
        raise BadSetting(
            "OCL_SECRET_KEY is needed: at least 32 random characters, "
            "the same for every process and never changed"
        )
    synonyms()  # is read once: a process with a bad file does not start
    store = open_store(settings)
    solr = None
    if settings.solr_url:
        solr = SolrIndex(
            settings.solr_url,
            settings.solr_core,
            store.index_notes.identity,
            patience=settings.search_patience,
        )
    return Services(
        settings, store, ExportCache(settings.export_cache), RQExportQueue(settings.redis_url), solr
    )


def prepare(services: Services) -> None:
    """Prepare the database, see `migration.prepare`, and create its first superuser.

    A process calls this once before it serves. Several processes may call it at the same time.
    Raises WrongFormat.
    """
    migration.prepare(services.store, services.settings.migrate_at_start)
    services.store.owners.ensure_first(services.settings.root_user, services.settings.root_token)


def create_app(services: Services) -> Flask:
    """Build the web application. It keeps no state of its own."""
    settings = services.settings
    limiter = None
    if settings.rate_limit:
        limiter = limits.RateLimiter(settings.redis_url, settings.rate_limit)
    app = Flask("oclapi", static_folder=None)
    app.extensions["oclapi"] = services
    app.wsgi_app = RawPaths(app.wsgi_app, settings.max_request_line)  # type: ignore[method-assign]
    if settings.trusted_proxies:
        # Only the client's address is taken from proxies. Links use OCL_BASE_URL.
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=settings.trusted_proxies, x_proto=0, x_host=0
        )
    errors.register(app)
    cors.register(app)
    add_routes(app, services, (*reference.ROUTES, *routes.ROUTES))

    @app.before_request
    def begin() -> None:
        g.begun = time.monotonic()
        g.request_id = uuid.uuid4().hex[:16]
        belongs_to(request=g.request_id)
        _check_headers()
        _check_line(settings)
        _check_host()
        try:
            # The credential of a signed link is its signature. Tokens are ignored there.
            signed = request.path.startswith(SIGNED)
            g.caller = ANONYMOUS if signed else authenticate(services.store.users)
        finally:  # A request with a bad token counts too, for the address that it comes from.
            if limiter:
                limits.check_rate(limiter)
        if broken := request.environ.get(BROKEN):
            raise BadRequest(broken)
        if "//" in request.environ["PATH_INFO"]:
            raise NotFound("a path must not contain repeated slashes")

    @app.after_request
    def finish(response: Response) -> Response:
        seconds = time.monotonic() - g.begun
        # The path may contain a signed link, so only the rule that it matches is logged.
        rule = str(request.url_rule) if request.url_rule else None
        metrics.count_request(request.method, rule, response.status_code, seconds)
        fields = {
            "method": request.method,
            "address": rule,
            "status": response.status_code,
            "ms": round(seconds * 1000, 1),
        }
        log.info("request", extra={**fields, **_logged_ids(request.view_args)})
        return limits.add_security_headers(responses.finish(response), settings)

    return app


def _check_headers() -> None:
    """Raise RequestHeaderFieldsTooLarge if a header would take long to parse, and remove it."""
    for name in PARSED:
        value = request.headers.get(name, "")
        if value.count(",") + value.count(";") >= MOST_PARTS:
            key = name.upper().replace("-", "_")
            del request.environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"]
            raise RequestHeaderFieldsTooLarge(f"the header {name} has more than {MOST_PARTS} parts")


def _check_line(settings: Settings) -> None:
    """Raise RequestURITooLarge if the request line, as the client sent it, is too long."""
    line = request.environ.get("RAW_URI") or request.full_path
    if len(request.method) + len(line) + len("  HTTP/1.1") > settings.max_request_line:
        raise RequestURITooLarge(
            f"the request line has more than {settings.max_request_line} bytes"
        )


def _check_host() -> None:
    """Raise BadRequest if an HTTP/1.1 request names no host (RFC 9112, section 3.2)."""
    environ = request.environ
    if environ.get("SERVER_PROTOCOL") == "HTTP/1.1" and "HTTP_HOST" not in environ:
        raise BadRequest("an HTTP/1.1 request must have the header Host")


def _logged_ids(path: dict[str, str] | None) -> dict[str, str]:
    """Return the ids in the path, without the parts of a signed link."""
    return {name: value for name, value in (path or {}).items() if name in LOGGED}
