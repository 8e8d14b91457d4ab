"""What may be set, and where it comes from: BURSAR_* environment over `bursar.toml` over the defaults below.

One frozen value, read once at start; no other module reads the environment. Secrets never show in its `repr`. An
unknown key in `bursar.toml` is refused by name. Providers of sign-in are tables, `[oidc.NAME]`; in the environment
`issuer` of the one that is called `corp` is BURSAR_OIDC_CORP_ISSUER. An unknown BURSAR_* variable is only reported, by
`unknown_variables`: platforms invent such names themselves (Kubernetes does, for a service that is called bursar).
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

PREFIX: Final = "BURSAR_"
FILE: Final = "bursar.toml"
KIBIBYTE: Final = 1024
DAY_SECONDS: Final = 86_400

_SECRETS: Final = ("api_key", "openai_api_key", "secrets")

_OIDC_VARIABLE: Final = re.compile(
    r"BURSAR_OIDC_([A-Z0-9][A-Z0-9_]*)_(ISSUER|CLIENT_ID|CLIENT_SECRET|SCOPES|LINK_EMAILS)"
)
_PROVIDER_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_THIS_MACHINE: Final = ("127.0.0.1", "localhost", "::1")

Port = Annotated[int, Meta(ge=0, le=65_535)]
Seconds = Annotated[float, Meta(gt=0, le=3_600)]


class BadSettings(Exception):
    """Some setting makes no sense; the message names it and says where it came from."""


class OidcProvider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One provider of sign-in by OpenID Connect, at which Bursar is a registered client."""

    issuer: str
    client_id: str
    client_secret: str = ""
    """Empty: a public client, which has nothing but PKCE."""
    scopes: str = "openid email profile"
    link_emails: bool = True
    """Whether its word that an address is verified opens the account that has this address already."""

    def __repr__(self) -> str:
        hidden = "********" if self.client_secret else ""
        return f"OidcProvider(issuer={self.issuer!r}, client_id={self.client_id!r}, client_secret={hidden!r})"


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting, its type, its bounds and its default. The variable of `port` is BURSAR_PORT."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Port = 5050
    """The port to listen on; 0 lets the system choose."""
    database_url: str = ""
    """`sqlite:///path` or `postgresql://...`; empty: `bursar.db` in the data folder."""
    data_dir: Path = Path("data")
    """Where the SQLite file, pictures and signing secrets are kept."""
    schema: str = "bursar"
    """The schema of a PostgreSQL database in which everything is kept."""
    lanes: Annotated[int, Meta(ge=1, le=64)] | None = None
    """Connections that write; empty: what the database does best with."""
    preset: str = "ai-credits"
    """Plans, skills and prices of a new database."""
    api_key: str | None = None
    """The key that `Credits.open("https://...")` sends, where none is passed."""
    dev: bool = False
    """Development: users may reset their own credits. Only `make run` sets it."""
    production: bool = False
    """Production: refuses `dev` and a test clock."""
    test_clock: str | None = None
    """A fixed instant, or a file that holds one, in place of the real time: for tests and demos."""
    provider: Literal["sandbox", "openai"] | None = None
    """Who generates; empty: `openai` where a key is set, else `sandbox`."""
    openai_base_url: str = "https://api.openai.com/v1"
    """Any server that speaks OpenAI's chat completions and images."""
    openai_api_key: str | None = None
    """The key for it."""
    text_model: str = "gpt-4o-mini"
    """The model that writes texts."""
    image_model: str = "gpt-image-1"
    """The model that draws pictures."""
    tokens_per_credit: Annotated[int, Meta(ge=1, le=1_000_000)] = 2_000
    """How many tokens a credit is shown as, in the `tokens` contract."""
    provider_timeout_seconds: Seconds = 60.0
    """How long one generation may take before it fails and nothing is charged."""
    secrets: str | None = None
    """Signing secrets as `id:secret`, comma-separated, the first one signs; empty: kept in the data folder."""
    token_ttl_seconds: Annotated[int, Meta(ge=1, le=366 * DAY_SECONDS)] = 30 * DAY_SECONDS
    """How long a token from signing in is good for."""
    public_url: str = ""
    """Where browsers reach this server, such as `https://credits.example.com`; needed for sign-in by OpenID Connect."""
    oidc: dict[str, OidcProvider] | None = None
    """Sign-in by OpenID Connect: in `bursar.toml` a table `[oidc.NAME]` for each provider, with `issuer`, `client_id`,
    `client_secret`, `scopes` and `link_emails`; in the environment `BURSAR_OIDC_NAME_ISSUER` and so on."""
    jwt_issuer: str = ""
    """Whose JWTs are taken as tokens beside Bursar's own: the `iss` of your app's identity provider."""
    jwt_audience: str = ""
    """The `aud` that they must have; several, separated by commas: any of them."""
    jwt_jwks_url: str = ""
    """Where the keys are that they are signed with; empty: found by discovery."""
    jwt_account_claim: str = "sub"
    """The claim that is the account's id."""
    identity_timeout_seconds: Seconds = 5.0
    """How long an identity provider may take to answer."""
    sign_in_attempts_per_email: Annotated[int, Meta(ge=0)] = 10
    """Failed sign-ins with one e-mail address in 15 minutes, counted by each process by itself; 0: no limit."""
    sign_in_attempts_per_address: Annotated[int, Meta(ge=0)] = 50
    """Failed sign-ins from one network address in 15 minutes, counted by each process by itself; 0: no limit."""
    trusted_proxies: str = "127.0.0.1"
    """Proxies, comma-separated, whose `X-Forwarded-For` says where a request came from."""
    key_cache_seconds: Annotated[float, Meta(ge=0, le=60)] = 2.0
    """How long a process trusts an API key before it looks again: a revoked key is dead everywhere after this."""
    body_limit_bytes: Annotated[int, Meta(ge=KIBIBYTE, le=64 * KIBIBYTE * KIBIBYTE)] = KIBIBYTE * KIBIBYTE
    """The largest request body."""
    job_seconds: Seconds = 5.0
    """How often a process looks for holds, lots and plans that are due."""
    shutdown_seconds: Annotated[int, Meta(ge=0, le=3_600)] = 10
    """How long requests in flight may take to finish when the server is stopped."""
    log_format: Literal["text", "json"] = "text"
    """What the console shows: lines for people, or one JSON object a line with all its fields."""

    @property
    def url(self) -> str:
        """The database's URL, with the defaults filled in."""
        url = self.database_url or f"sqlite:///{self.data_dir / 'bursar.db'}"
        if self.schema == "bursar" or not url.startswith("postgres") or "schema=" in urlsplit(url).query:
            return url
        return f"{url}{'&' if urlsplit(url).query else '?'}schema={self.schema}"

    @property
    def shown_url(self) -> str:
        """The database's URL, fit to be shown: without its password and options."""
        return without_password(self.url)

    @property
    def provider_name(self) -> str:
        return self.provider or ("openai" if self.openai_api_key else "sandbox")

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in self.__struct_fields__}
        shown |= {name: "********" for name in _SECRETS if shown[name]}
        shown["database_url"] = without_password(self.database_url)
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    __str__ = __repr__


def load_settings(
    environment: Mapping[str, str] | None = None, folder: Path | None = None, **overrides: Any
) -> Settings:
    """The settings of this process. `overrides` (from a command line) win. Raises `BadSettings`."""
    environment = os.environ if environment is None else environment
    chosen = _from_file((folder or Path()) / FILE)
    providers = _providers(chosen.get("oidc"), environment)
    chosen |= _from_environment(environment)
    if providers:
        chosen["oidc"] = providers
    chosen |= {name: value for name, value in overrides.items() if value is not None}
    settings = Settings(**chosen)
    if settings.production and settings.test_clock:
        raise BadSettings("BURSAR_TEST_CLOCK moves time and is refused in production")
    if settings.production and settings.dev:
        raise BadSettings("BURSAR_DEV lets users reset their own credits and is refused in production")
    if settings.provider == "openai" and not settings.openai_api_key:
        raise BadSettings("the provider openai needs BURSAR_OPENAI_API_KEY")
    _check_sign_in(settings)
    return settings


def unknown_variables(environment: Mapping[str, str] | None = None) -> list[str]:
    """BURSAR_* variables that set nothing: a slip of the pen, most likely."""
    environment = os.environ if environment is None else environment
    return sorted(name for name in environment if name.startswith(PREFIX) and not _is_known(name))


def without_password(url: str) -> str:
    """A database's URL without what must not be shown."""
    scheme, separator, rest = url.partition("://")
    place = rest.partition("?")[0]
    authority, slash, path = place.partition("/")
    credentials, at, host = authority.rpartition("@")
    return f"{scheme}{separator}{credentials.partition(':')[0]}{at}{host}{slash}{path}"


def _from_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadSettings(f"{path}: {error}") from None
    unknown = sorted(values.keys() - set(Settings.__struct_fields__))
    if unknown:
        raise BadSettings(f"{path}: unknown setting {', '.join(unknown)}")
    return {name: _convert(name, value, f"{path}: {name}", strict=True) for name, value in values.items()}


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """An empty variable counts as absent."""
    return {
        field: _convert(field, value, variable, strict=False)
        for variable, value in environment.items()
        if value and (field := _field(variable)) is not None
    }


def _field(variable: str) -> str | None:
    field = variable.removeprefix(PREFIX).lower()
    known = variable.startswith(PREFIX) and variable.isupper() and field in Settings.__struct_fields__
    return field if known else None


def _is_known(variable: str) -> bool:
    return _field(variable) is not None or _OIDC_VARIABLE.fullmatch(variable) is not None


def _providers(from_file: dict[str, OidcProvider] | None, environment: Mapping[str, str]) -> dict[str, OidcProvider]:
    """The providers of sign-in: each value of the environment over that of the file."""
    values = {name: msgspec.structs.asdict(provider) for name, provider in (from_file or {}).items()}
    for variable, value in environment.items():
        found = _OIDC_VARIABLE.fullmatch(variable)
        if found is not None and value:
            values.setdefault(found[1].lower(), {})[found[2].lower()] = value
    chosen = {}
    for name, parts in values.items():
        origin = f"the OpenID Connect provider {name}"
        if not _PROVIDER_NAME.fullmatch(name):
            raise BadSettings(f"{origin}: its name must be lower case letters, digits, - and _, at most 32")
        try:
            chosen[name] = msgspec.convert(parts, OidcProvider, strict=False)
        except msgspec.ValidationError as error:
            raise BadSettings(f"{origin}: {error}") from None
    return chosen


def _check_sign_in(settings: Settings) -> None:
    for name, provider in (settings.oidc or {}).items():
        _check_url(f"the issuer of the OpenID Connect provider {name}", provider.issuer)
        if not f"{provider.client_id}{provider.client_secret}".isascii() or not provider.client_id:
            raise BadSettings(
                f"the client_id and client_secret of the OpenID Connect provider {name} must be ASCII text"
            )
        if "openid" not in provider.scopes.split():
            raise BadSettings(f"the scopes of the OpenID Connect provider {name} must have openid among them")
        if not settings.public_url:
            raise BadSettings("sign-in by OpenID Connect needs BURSAR_PUBLIC_URL")
    if settings.public_url:
        _check_url("BURSAR_PUBLIC_URL", settings.public_url)
        if urlsplit(settings.public_url).path not in ("", "/"):
            raise BadSettings("BURSAR_PUBLIC_URL must have no path")
    if settings.jwt_issuer:
        if not settings.jwt_audience:
            raise BadSettings("BURSAR_JWT_ISSUER needs BURSAR_JWT_AUDIENCE: else any token of that issuer would do")
        _check_url("BURSAR_JWT_JWKS_URL", settings.jwt_jwks_url or settings.jwt_issuer)
    elif settings.jwt_audience or settings.jwt_jwks_url:
        raise BadSettings("BURSAR_JWT_AUDIENCE and BURSAR_JWT_JWKS_URL need BURSAR_JWT_ISSUER")


def _check_url(what: str, url: str) -> None:
    """Refuse what could be listened to or altered on its way."""
    if not is_safe_url(url):
        raise BadSettings(f"{what} must be an https:// address (http:// on this machine only): {without_password(url)}")


def is_safe_url(url: str) -> bool:
    """Whether it is https, or http on this machine, and holds no password and no fragment."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and " " not in url and "@" not in parts.netloc and not parts.fragment
    safe = parts.scheme == "https" or (parts.scheme == "http" and host in _THIS_MACHINE)
    return plain and safe and bool(host) and port != 0


def _convert(field: str, value: object, origin: str, *, strict: bool) -> Any:
    try:
        return msgspec.convert(value, _TYPES[field], strict=strict, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise BadSettings(f"{origin}: {error}") from None


def _path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError


_TYPES: Final = {field.name: field.type for field in msgspec.structs.fields(Settings)}
