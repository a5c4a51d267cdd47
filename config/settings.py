"""What an operator can set. Read once, by wsgi.py, jobs/worker.py and the command line; everyone
else receives values.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit


class BadSetting(Exception):
    """An environment variable has a value that can't be used; the text names the variable."""


MOST = 10**9
"""The largest number: as seconds 31 years, as bytes a gigabyte."""
LONGEST_WAIT = 3600


def _set(
    variable: str, default: Any, help: str, *, low: int | None = None, high: int = MOST
) -> Any:
    return field(
        default=default, metadata={"env": variable, "help": help, "low": low, "high": high}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings with their defaults. Sizes are bytes, times are seconds unless the help says
    otherwise.
    """

    mongo_url: str = _set(
        "MONGO_URL",
        "mongodb://127.0.0.1:27017/oclapi",
        "MongoDB address (a replica set), database name included",
    )
    redis_url: str = _set("REDIS_URL", "redis://127.0.0.1:6379/0", "Redis address of the job queue")
    solr_url: str = _set(
        "SOLR_URL", "", "Solr address; empty: the built-in search on MongoDB serves"
    )
    solr_core: str = _set(
        "OCL_SOLR_CORE", "oclapi", "name of Solr's core, or of an alias on SolrCloud"
    )
    home: str = _set("OCL_HOME", "var", "folder of a local run: databases, logs, generated secrets")
    export_cache: str = _set(
        "OCL_EXPORT_CACHE", "var/exports", "folder or fsspec URL that holds the archives"
    )
    base_url: str = _set(
        "OCL_BASE_URL", "", "address put before absolute links; empty: the one the request came to"
    )
    secret_key: str = _set(
        "OCL_SECRET_KEY",
        "",
        "at least 32 characters; signs links and cursors and keys the hashes of tokens",
    )
    root_user: str = _set("OCL_ROOT_USER", "root", "username of the first superuser")
    root_token: str = _set(
        "OCL_ROOT_TOKEN", "", "fixed token of the first superuser, 40 hex characters"
    )
    log_level: str = _set("OCL_LOG_LEVEL", "INFO", "least severe level that is logged")

    max_body: int = _set("OCL_MAX_BODY", 16 * 2**20, "largest request body", low=1024)
    body_silence: int = _set(
        "OCL_BODY_SILENCE",
        20,
        "how long the next bytes of a body may take to come",
        low=1,
        high=LONGEST_WAIT,
    )
    max_depth: int = _set("OCL_MAX_DEPTH", 64, "deepest nesting of a JSON body", low=40)
    max_request_line: int = _set("OCL_MAX_REQUEST_LINE", 16384, "longest request line", low=1024)
    rate_limit: int = _set(
        "OCL_RATE_LIMIT",
        0,
        "requests a minute of one user, or of one address without a token; 0: any number",
        low=0,
    )
    trusted_proxies: int = _set(
        "OCL_TRUSTED_PROXIES",
        0,
        "proxies before the server that add to X-Forwarded-For; 0: it is not believed",
        low=0,
    )
    hsts: int = _set(
        "OCL_HSTS",
        0,
        "how long browsers shall insist on https once they came by it; 0: not told",
        low=0,
    )
    signup_hosts: str = _set(
        "OCL_SIGNUP_HOSTS",
        "",
        "hosts that those who sign up may be sent on to, with commas; empty: nobody can",
    )
    mail: str = _set(
        "OCL_MAIL",
        "var/mail",
        "folder for outgoing mail, or smtp://user:password@host:port (smtps:// for TLS)",
    )
    mail_from: str = _set("OCL_MAIL_FROM", "oclapi@localhost", "sender of outgoing mail")
    token_life: int = _set(
        "OCL_TOKEN_LIFE",
        0,
        "how long the token of a log-in is good; 0: until the password changes",
        low=0,
    )
    login_by_hash: int = _set(
        "OCL_LOGIN_BY_HASH",
        0,
        "1: the hash that a user was made with is accepted instead of the password",
        low=0,
    )
    password_length: int = _set(
        "OCL_PASSWORD_LENGTH", 6, "characters that a password must have at least", low=1
    )
    page_default: int = _set(
        "OCL_PAGE_DEFAULT", 10, "rows of a listing page when no limit is given", low=1
    )
    page_limit: int = _set("OCL_PAGE_LIMIT", 500, "most rows that one page may ask for", low=1)
    cursor_life: int = _set(
        "OCL_CURSOR_LIFE", 86400, "how long a paging cursor can be used", low=86400
    )
    whole_second_margin: int = _set(
        "OCL_WHOLE_SECOND_MARGIN",
        2,
        "how much earlier an updatedSince in whole seconds is read",
        low=0,
    )
    whole_second_reach: int = _set(
        "OCL_WHOLE_SECOND_REACH",
        100,
        "how old the one commit before that may be to be repeated too",
        low=0,
    )
    max_shown: int = _set(
        "OCL_MAX_SHOWN",
        10000,
        "most mappings of its source that may show a concept's name if that shall change",
        low=1,
    )
    commit_patience: int = _set(
        "OCL_COMMIT_PATIENCE",
        20,
        "how long a write waits for other writers before it answers 503",
        low=1,
        high=LONGEST_WAIT,
    )

    search_patience: int = _set(
        "OCL_SEARCH_PATIENCE",
        2,
        "how long a listing waits for Solr before MongoDB answers it",
        low=1,
        high=LONGEST_WAIT,
    )
    builtin_patience: int = _set(
        "OCL_BUILTIN_PATIENCE",
        10,
        "how long the built-in search may read for one answer before it is 503",
        low=1,
        high=LONGEST_WAIT,
    )
    export_link_life: int = _set(
        "OCL_EXPORT_LINK_LIFE", 3600, "how long an exportURL can be used", low=1
    )
    export_silence: int = _set(
        "OCL_EXPORT_SILENCE", 60, "a running export job silent for longer counts as dead", low=1
    )
    export_failure_pause: int = _set(
        "OCL_EXPORT_FAILURE_PAUSE",
        300,
        "how long GET tells of a failed export before it tries again",
        low=0,
    )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the variables; an empty one counts as unset. Raises BadSetting, which names the
        variable.
        """
        values: dict[str, Any] = {}
        for setting in fields(cls):
            name, text = setting.metadata["env"], environ.get(setting.metadata["env"], "")
            if not text:
                continue
            if setting.type is int or setting.type == "int":
                low, high = setting.metadata["low"], setting.metadata["high"]
                if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
                    raise BadSetting(f"{name} must be a whole number from {low} to {high}")
                values[setting.name] = int(text)
            else:
                values[setting.name] = text
        settings = cls(**values)
        settings._check()
        return settings

    def _check(self) -> None:
        if self.root_token and not re.fullmatch(r"[0-9a-fA-F]{40}", self.root_token):
            raise BadSetting("OCL_ROOT_TOKEN must be 40 hex characters")
        if self.secret_key and len(self.secret_key) < 32:
            raise BadSetting("OCL_SECRET_KEY must have at least 32 characters")
        if not re.fullmatch(r"[A-Za-z0-9._@-]{1,255}", self.root_user) or self.root_user in (
            "login",
            "signup",
            ".",
            "..",
        ):
            raise BadSetting("OCL_ROOT_USER must be a valid username")
        if self.signup_hosts and not self.base_url:
            raise BadSetting(
                "OCL_BASE_URL is needed for sign-up: a link made of what the request says could lead anywhere"
            )
        if "://" in self.mail and not _names_hosts(self.mail, "smtp", "smtps"):
            raise BadSetting("OCL_MAIL must be a folder, smtp://host:port or smtps://host:port")
        if not _names_hosts(self.mongo_url, "mongodb", "mongodb+srv") or not urlsplit(
            self.mongo_url
        ).path.strip("/"):
            raise BadSetting(
                "MONGO_URL must be a mongodb:// address with a host and a database name, and ports from 1 to 65535"
            )
        if not self.redis_url.startswith("unix:///") and not _names_hosts(
            self.redis_url, "redis", "rediss"
        ):
            raise BadSetting(
                "REDIS_URL must be redis://host:port/number, rediss://... or unix:///..."
            )
        if self.solr_url and not _names_hosts(self.solr_url, "http", "https"):
            raise BadSetting("SOLR_URL must be an http:// or https:// address")
        if self.base_url and not _names_hosts(self.base_url, "http", "https"):
            raise BadSetting("OCL_BASE_URL must be an http:// or https:// address")
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", self.solr_core):
            raise BadSetting(
                "OCL_SOLR_CORE must be a name of letters, digits, dots, hyphens and underscores"
            )
        if self.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise BadSetting("OCL_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR")


def _names_hosts(address: str, *schemes: str) -> bool:
    """Is this an address of one of the schemes, with one host or several with commas, and ports
    that can be?
    """
    try:
        parts = urlsplit(address)
        hosts = [urlsplit(f"//{host}") for host in parts.netloc.rpartition("@")[2].split(",")]
        return parts.scheme in schemes and all(host.hostname and host.port != 0 for host in hosts)
    except ValueError:  # a port that is no number, or too large; half an IPv6 address
        return False
