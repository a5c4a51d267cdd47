"""The settings of the server, read from environment variables, `.env` and secret files.

wsgi.py, jobs/worker.py, config/gunicorn.py and the commands read them once, when they start.
Everything else receives values. docs/settings.md describes each setting.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

ENV_FILE = ".env"
"""Read from the working directory when it exists."""
SECRETS_DIR = "OCL_SECRETS_DIR"
"""The variable that names the folder of secret files."""
DEFAULT_SECRETS_DIR = "/run/secrets"
"""Where Docker puts secrets. Used when SECRETS_DIR is not set and the folder can be read."""

LARGEST = 10**9
"""The largest number: 31 years in seconds, a gigabyte in bytes."""
LONGEST_WAIT = 3600
"""The longest time, in seconds, that a request or a process waits for something."""


class BadSetting(Exception):
    """Settings can't be used. The text has one line for each problem, which names the variable.

    It contains no value: the value may be a secret.
    """


# The addresses stay the strings that were given. The URL types of pydantic would refuse sockets and
# lists of hosts, or rewrite an address.


def _mongo_url(address: str) -> str:
    if not _has_hosts(address, "mongodb", "mongodb+srv") or not urlsplit(address).path.strip("/"):
        raise ValueError(
            "must be a mongodb:// address with a host and a database name, and ports from 1 to"
            " 65535"
        )
    return address


def _redis_url(address: str) -> str:
    if not address.startswith("unix:///") and not _has_hosts(address, "redis", "rediss"):
        raise ValueError("must be redis://host:port/number, rediss://... or unix:///...")
    return address


def _http_url(address: str) -> str:
    if address and not _has_hosts(address, "http", "https"):
        raise ValueError("must be an http:// or https:// address")
    return address


def _mail_target(target: str) -> str:
    if "://" in target and not _has_hosts(target, "smtp", "smtps"):
        raise ValueError("must be a folder, smtp://host:port or smtps://host:port")
    return target


def _has_hosts(address: str, *schemes: str) -> bool:
    """Return whether this is an address of one of the schemes with valid hosts and ports.

    The hosts are separated by commas.
    """
    try:
        parts = urlsplit(address)
        hosts = [urlsplit(f"//{host}") for host in parts.netloc.rpartition("@")[2].split(",")]
        return parts.scheme in schemes and all(host.hostname and host.port != 0 for host in hosts)
    except ValueError:  # The port is no number or too large, or an IPv6 address has one bracket.
        return False


def _solr_core(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name):
        raise ValueError("must be a name of letters, digits, dots, hyphens and underscores")
    return name


def _secret_key(key: str) -> str:
    if key and len(key) < 32:
        raise ValueError("must have at least 32 characters")
    return key


def _username(name: str) -> str:
    reserved = ("login", "signup", ".", "..")
    if not re.fullmatch(r"[A-Za-z0-9._@-]{1,255}", name) or name in reserved:
        raise ValueError("must be a valid username")
    return name


def _token(token: str) -> str:
    if token and not re.fullmatch(r"[0-9a-fA-F]{40}", token):
        raise ValueError("must be 40 hex characters")
    return token


def _signup_hosts(hosts: str, info: ValidationInfo) -> str:
    if hosts and info.data.get("base_url") == "":
        raise ValueError(
            "needs OCL_BASE_URL: a link built from the Host of a request could lead anywhere"
        )
    return hosts


def _digits(value: Any) -> Any:
    """Refuse texts that pydantic accepts as whole numbers, such as `1_000`, `+5` and `3.0`."""
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,12}", value):
        raise ValueError("must be a whole number")
    return value


MongoUrl = Annotated[str, AfterValidator(_mongo_url)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
MailTarget = Annotated[str, AfterValidator(_mail_target)]
SolrCore = Annotated[str, AfterValidator(_solr_core)]
SecretKey = Annotated[str, AfterValidator(_secret_key)]
Username = Annotated[str, AfterValidator(_username)]
Token = Annotated[str, AfterValidator(_token)]
SignupHosts = Annotated[str, AfterValidator(_signup_hosts)]
WholeNumber = Annotated[int, BeforeValidator(_digits)]


def _number(
    default: int,
    description: str,
    *,
    unit: str = "",
    low: int = 0,
    high: int = LARGEST,
    variable: str | None = None,
) -> Any:
    """Declare a number from `low` to `high`. `unit` is for the documentation."""
    return Field(
        default,
        ge=low,
        le=high,
        description=description,
        validation_alias=variable,
        json_schema_extra={"low": low, "high": high, "unit": unit},
    )


class Settings(BaseSettings):
    """All settings with their defaults.

    The variable of a setting is its name in capitals after `OCL_`, or its alias. `Settings(...)`
    uses its arguments only: `load` and `from_environ` read variables. Fields that can contain a
    password are not shown by `repr`.
    """

    model_config = SettingsConfigDict(
        env_prefix="OCL_",
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        dotenv_filtering="only_existing",
        hide_input_in_errors=True,
    )

    # Servers
    mongo_url: MongoUrl = Field(
        default="mongodb://127.0.0.1:27017/oclapi",
        validation_alias="MONGO_URL",
        repr=False,
        description="Address of MongoDB (a replica set), with the name of the database.",
    )
    redis_url: RedisUrl = Field(
        default="redis://127.0.0.1:6379/0",
        validation_alias="REDIS_URL",
        repr=False,
        description="Address of Redis, which keeps the job queue: `redis://host:port/number`,"
        " `rediss://...` or `unix:///...`.",
    )
    solr_url: HttpUrl = Field(
        default="",
        validation_alias="SOLR_URL",
        repr=False,
        description="Address of Solr, with `user:password@` if it needs one. Empty: the built-in"
        " search on MongoDB is used.",
    )
    solr_core: SolrCore = Field(
        default="oclapi", description="Name of the Solr core, or of an alias on SolrCloud."
    )
    port: WholeNumber = _number(8000, "Port of the web server.", low=1, high=65535, variable="PORT")
    web_concurrency: WholeNumber = _number(
        2,
        "Number of processes of the web server. Each has 8 threads.",
        low=1,
        high=999,
        variable="WEB_CONCURRENCY",
    )
    base_url: HttpUrl = Field(
        default="",
        description="Address that absolute links start with. Empty: the address that the request"
        " was sent to.",
    )
    trusted_proxies: WholeNumber = _number(
        0,
        "Number of proxies in front of the server that add to `X-Forwarded-For`. 0: the header is"
        " ignored.",
    )
    hsts: WholeNumber = _number(
        0,
        "How long browsers must use HTTPS after they have used it once"
        " (`Strict-Transport-Security`). 0: the header is not sent.",
        unit="seconds",
    )

    migrate_at_start: WholeNumber = _number(
        20000,
        "A process that starts migrates a database of an older format when it has at most this"
        " many rows. It refuses to start on a larger one.",
        unit="rows",
    )

    # Files and logs
    home: str = Field(
        default="var", description="Folder of a local run: databases, logs, generated secrets."
    )
    export_cache: str = Field(
        default="var/exports",
        repr=False,
        description="Folder, or URL for fsspec, where the export archives are stored.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO",
        description="Lowest level that is logged: `DEBUG`, `INFO`, `WARNING` or `ERROR`.",
    )

    # Secrets and the first superuser
    secret_key: SecretKey = Field(
        default="",
        repr=False,
        description="Key that signs links and cursors and hashes tokens: at least 32 characters."
        " The web server and the worker need it, and it must be the same for both.",
    )
    root_user: Username = Field(default="root", description="Username of the first superuser.")
    root_token: Token | None = Field(
        default=None,
        repr=False,
        description="Fixed token of the first superuser: 40 hex characters. Empty: none. Not set:"
        " that of the last start.",
    )

    # Users and mail
    signup_hosts: SignupHosts = Field(
        default="",
        description="Hosts that users may be redirected to after sign-up, separated by commas."
        " Needs `OCL_BASE_URL`. Empty: users cannot sign up.",
    )
    mail: MailTarget = Field(
        default="var/mail",
        repr=False,
        description="Where mail is sent: a folder, or `smtp://user:password@host:port`"
        " (`smtps://` for TLS).",
    )
    mail_from: str = Field(default="oclapi@localhost", description="Sender of the mail.")
    token_life: WholeNumber = _number(
        0,
        "How long a token from a log-in is valid. 0: until the password changes.",
        unit="seconds",
    )
    login_by_hash: WholeNumber = _number(
        0,
        "1: a log-in may send the password hash that the user was created with instead of the"
        " password.",
    )
    password_length: WholeNumber = _number(
        6, "Smallest length of a password.", unit="characters", low=1
    )

    # Requests
    max_body: WholeNumber = _number(
        16 * 2**20, "Largest size of a request body.", unit="bytes", low=1024
    )
    body_silence: WholeNumber = _number(
        20,
        "How long the server waits for the next bytes of a request body, and for a client to take"
        " the next bytes of a response.",
        unit="seconds",
        low=1,
        high=LONGEST_WAIT,
    )
    lowest_rate: WholeNumber = _number(
        1000,
        "Lowest rate at which a client must send a request body and take a response, on average"
        " after its first 10 seconds.",
        unit="bytes per second",
        low=1,
    )
    max_values: WholeNumber = _number(
        200_000, "Most values and keys of a JSON body.", unit="values", low=1000
    )
    max_depth: WholeNumber = _number(64, "Deepest nesting of a JSON body.", unit="levels", low=40)
    max_request_line: WholeNumber = _number(16384, "Longest request line.", unit="bytes", low=1024)
    rate_limit: WholeNumber = _number(
        0,
        "Most requests of one user, or of one address without a token. 0: no limit.",
        unit="requests per minute",
    )

    # Listings and changes
    page_default: WholeNumber = _number(
        10, "Rows on a page when the request has no `limit`.", unit="rows", low=1
    )
    page_limit: WholeNumber = _number(500, "Largest `limit` of a request.", unit="rows", low=1)
    cursor_life: WholeNumber = _number(
        86400, "How long a paging cursor is valid.", unit="seconds", low=86400
    )
    whole_second_margin: WholeNumber = _number(
        2,
        "An `updatedSince` without fractions of a second is moved this far into the past.",
        unit="seconds",
    )
    whole_second_reach: WholeNumber = _number(
        100,
        "The last commit before such an `updatedSince` is returned too, unless it is older than"
        " this.",
        unit="seconds",
    )

    # Edits
    max_shown: WholeNumber = _number(
        10000,
        "Renaming a concept is refused when more mappings of its source display its name.",
        unit="mappings",
        low=1,
    )
    commit_patience: WholeNumber = _number(
        20,
        "How long a write waits for other writers before the response is 503.",
        unit="seconds",
        low=1,
        high=LONGEST_WAIT,
    )

    # Search
    search_patience: WholeNumber = _number(
        2,
        "How long a listing waits for Solr before MongoDB is used.",
        unit="seconds",
        low=1,
        high=LONGEST_WAIT,
    )
    builtin_patience: WholeNumber = _number(
        10,
        "How long the built-in search may take before the response is 503.",
        unit="seconds",
        low=1,
        high=LONGEST_WAIT,
    )

    # Exports
    export_link_life: WholeNumber = _number(
        3600, "How long an `exportURL` is valid.", unit="seconds", low=1
    )
    export_silence: WholeNumber = _number(
        60,
        "An export job that sends no heartbeat for this long is considered dead.",
        unit="seconds",
        low=1,
    )
    export_failure_pause: WholeNumber = _number(
        300,
        "How long GET reports a failed export before it starts the export again.",
        unit="seconds",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let `Settings(...)` read nothing but its arguments."""
        return (init_settings,)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Return the settings in these variables and read nothing else.

        An empty variable counts as unset, except for `root_token`. Raises BadSetting.
        """
        return cls._read([_Environ(cls, environ)])

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Return the settings of this process.

        The variables win over the file `.env` in the working directory, and this one wins over
        secret files. An empty value counts as unset, except for `root_token`. Raises BadSetting.
        """
        return cls._read(cls._sources(environ))

    @classmethod
    def _sources(cls, environ: Mapping[str, str]) -> Iterator[PydanticBaseSettingsSource]:
        yield _Environ(cls, environ)
        yield DotEnvSettingsSource(cls, env_file=ENV_FILE)
        folder = _secrets_folder(environ)
        if folder:
            yield SecretsSettingsSource(cls, folder)

    @classmethod
    def _read(cls, sources: Iterable[PydanticBaseSettingsSource]) -> Self:
        """Return the settings from the sources. The first source with a value wins."""
        values: dict[str, Any] = {}
        try:
            for source in sources:  # The file `.env` is read when its source is created.
                for key, value in source().items():
                    name = _field_name(key)
                    if value or name == "root_token":
                        values.setdefault(name, value)
        except (OSError, ValueError) as error:
            raise BadSetting(_unreadable(error)) from None
        try:
            return cls(**values)
        except ValidationError as error:
            # The validation error has the values in it, so it is not kept as the cause.
            raise BadSetting("\n".join(map(_problem, error.errors()))) from None

    def to_environ(self) -> dict[str, str]:
        """Return the variables that `from_environ` reads these settings from, without defaults."""
        return {variable(name): str(getattr(self, name)) for name in self.model_fields_set}


class _Environ(EnvSettingsSource):
    """Reads a mapping instead of the environment of the process."""

    def __init__(self, settings_cls: type[BaseSettings], environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        # Fields are looked up in lower case, but a variable such as `port` is not a setting.
        names = map(variable, Settings.model_fields)
        return {name.lower(): self._environ[name] for name in names if name in self._environ}


def variable(name: str) -> str:
    """Return the name of the environment variable of a field of Settings."""
    alias = Settings.model_fields[name].validation_alias
    return alias if isinstance(alias, str) else f"OCL_{name.upper()}"


def _field_name(key: str) -> str:
    """Return the field of a key that a source or an error names, by its name or its alias."""
    if key in Settings.model_fields:
        return key
    return next(name for name in Settings.model_fields if variable(name) == key)


def _problem(error: ErrorDetails) -> str:
    """Return a line that names the variable and says what it must be."""
    name = _field_name(str(error["loc"][0]))
    extra = Settings.model_fields[name].json_schema_extra
    if isinstance(extra, dict):
        return f"{variable(name)} must be a whole number from {extra['low']} to {extra['high']}"
    reason = error.get("ctx", {}).get("error")
    return f"{variable(name)} {reason or error['msg'].replace('Input should be', 'must be')}"


def _unreadable(error: Exception) -> str:
    """Describe why `.env` or a secret file can't be read."""
    cause = error.__cause__ or error
    if isinstance(cause, OSError):
        return f"{cause.filename} can't be read: {cause.strerror}"
    return f"{'a secret file' if isinstance(error, SettingsError) else ENV_FILE} is not UTF-8"


def _secrets_folder(environ: Mapping[str, str]) -> str | None:
    """Return the folder of the secret files, if there is one. Raises BadSetting."""
    named = environ.get(SECRETS_DIR)
    if named and not Path(named).is_dir():
        raise BadSetting(f"{SECRETS_DIR} must be a folder")
    if named:
        return named
    readable = os.access(DEFAULT_SECRETS_DIR, os.R_OK | os.X_OK)
    return DEFAULT_SECRETS_DIR if readable and Path(DEFAULT_SECRETS_DIR).is_dir() else None
