"""Settings: environment over file over defaults, what makes no sense is named, secrets are not shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from bursar.settings import BadSettings, OidcProvider, Settings, load_settings, unknown_variables


def test_the_defaults(tmp_path: Path) -> None:
    settings = load_settings({}, tmp_path)
    assert settings == Settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 5050)
    assert settings.url == "sqlite:///data/bursar.db"
    assert settings.provider_name == "sandbox"
    assert not settings.dev


def test_environment_over_file_over_defaults(tmp_path: Path) -> None:
    (tmp_path / "bursar.toml").write_text('port = 6000\nhost = "::1"\ndata_dir = "/srv"\ndev = true\n')
    settings = load_settings({"BURSAR_PORT": "7000", "BURSAR_HOST": ""}, tmp_path, dev=False, lanes=None)
    assert (settings.port, settings.host, settings.data_dir) == (7000, "::1", Path("/srv"))
    assert settings.dev is False
    assert settings.url == "sqlite:////srv/bursar.db"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BURSAR_PORT", "tcp://10.0.0.1:5050"),
        ("BURSAR_PORT", "70000"),
        ("BURSAR_DEV", "perhaps"),
        ("BURSAR_PROVIDER", "gemini"),
        ("BURSAR_LANES", "0"),
        ("BURSAR_PROVIDER_TIMEOUT_SECONDS", "-1"),
        ("BURSAR_LOG_FORMAT", "xml"),
    ],
    ids=range(7),
)
def test_what_makes_no_sense_is_named(tmp_path: Path, variable: str, value: str) -> None:
    with pytest.raises(BadSettings, match=variable):
        load_settings({variable: value}, tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "unknown setting prot"),
        ('port = "5050"', "port"),
        ("port = ", "bursar.toml"),
        ("[server]\nport = 1", "unknown setting server"),
    ],
    ids=range(4),
)
def test_a_file_that_makes_no_sense(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bursar.toml").write_text(text)
    with pytest.raises(BadSettings, match=said):
        load_settings({}, tmp_path)


def test_variables_that_set_nothing() -> None:
    environment = {"BURSAR_PORT": "1", "BURSAR_DATABSE_URL": "x", "bursar_host": "x", "HOME": "/"}
    assert unknown_variables(environment) == ["BURSAR_DATABSE_URL"]


@pytest.mark.parametrize("variable", ["BURSAR_DEV", "BURSAR_TEST_CLOCK"])
def test_production_refuses_what_is_for_tests(tmp_path: Path, variable: str) -> None:
    environment = {variable: "1" if variable == "BURSAR_DEV" else "2025-01-01T00:00:00Z"}
    load_settings(environment, tmp_path)
    with pytest.raises(BadSettings, match=variable):
        load_settings(environment | {"BURSAR_PRODUCTION": "true"}, tmp_path)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://bursar:hunter2@db:5432/app?password=hunter2", "postgresql://bursar@db:5432/app"),
        ("postgresql://bursar:hunt@er2@db/app", "postgresql://bursar@db/app"),
        ("postgresql:///app?host=/run", "postgresql:///app"),
        ("sqlite:////srv/bursar.db", "sqlite:////srv/bursar.db"),
        ("sqlite:///bursar.db", "sqlite:///bursar.db"),
    ],
    ids=range(5),
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert Settings(database_url=url).shown_url == shown


def test_secrets_are_not_shown() -> None:
    settings = Settings(openai_api_key="sk-hunter2", secrets="a:hunter2", database_url="postgresql://u:hunter2@h/d")
    for shown in (repr(settings), str(settings), f"{settings}"):
        assert "hunter2" not in shown
        assert "port=5050" in shown


def test_a_schema_of_ones_own() -> None:
    assert Settings(schema="credits", database_url="postgresql://h/d").url == "postgresql://h/d?schema=credits"
    both = Settings(schema="credits", database_url="postgresql://h/d?schema=mine&lanes=2")
    assert both.url == "postgresql://h/d?schema=mine&lanes=2"
    assert Settings(schema="credits").url == "sqlite:///data/bursar.db"


# Sign-in

OIDC = """
public_url = "https://credits.example.com"

[oidc.corp]
issuer = "https://corp.example.com"
client_id = "from-file"
client_secret = "hunter2-hunter2"
"""


def test_providers_from_file_and_environment(tmp_path: Path) -> None:
    (tmp_path / "bursar.toml").write_text(OIDC)
    environment = {
        "BURSAR_OIDC_CORP_CLIENT_ID": "from-environment",
        "BURSAR_OIDC_MY_OTHER_ISSUER": "http://localhost:9000/realm",
        "BURSAR_OIDC_MY_OTHER_CLIENT_ID": "b",
        "BURSAR_OIDC_MY_OTHER_LINK_EMAILS": "0",
        "BURSAR_OIDC_EMPTY_ISSUER": "",
    }
    providers = load_settings(environment, tmp_path).oidc
    assert providers is not None
    assert list(providers) == ["corp", "my_other"]
    assert providers["corp"] == OidcProvider(
        issuer="https://corp.example.com", client_id="from-environment", client_secret="hunter2-hunter2"
    )
    assert (providers["my_other"].link_emails, providers["my_other"].client_secret) == (False, "")
    assert unknown_variables(environment) == []
    assert unknown_variables({"BURSAR_OIDC_CORP_SECRET": "x"}) == ["BURSAR_OIDC_CORP_SECRET"]


def test_a_providers_secret_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "bursar.toml").write_text(OIDC)
    settings = load_settings({}, tmp_path)
    for shown in (repr(settings), str(settings), repr(settings.oidc)):
        assert "hunter2" not in shown
        assert "corp.example.com" in shown


ISSUER = {"BURSAR_JWT_ISSUER": "https://corp.example.com", "BURSAR_JWT_AUDIENCE": "x"}


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"BURSAR_PUBLIC_URL": ""}, "BURSAR_PUBLIC_URL"),
        ({"BURSAR_PUBLIC_URL": "http://credits.example.com"}, "BURSAR_PUBLIC_URL must be an https"),
        ({"BURSAR_PUBLIC_URL": "https://credits.example.com/app"}, "no path"),
        ({"BURSAR_PUBLIC_URL": "https://"}, "https"),
        ({"BURSAR_OIDC_CORP_ISSUER": "http://corp.example.com"}, "issuer of the OpenID Connect provider corp"),
        ({"BURSAR_OIDC_CORP_ISSUER": "https://user:hunter2@corp.example.com"}, "https://user@corp"),
        ({"BURSAR_OIDC_CORP_ISSUER": "https://corp.example.com:port"}, "corp"),
        ({"BURSAR_OIDC_CORP_CLIENT_SECRET": "gehe\u00efm"}, "ASCII"),
        ({"BURSAR_OIDC_CORP_SCOPES": "email"}, "openid"),
        ({"BURSAR_OIDC_CORP_LINK_EMAILS": "perhaps"}, "corp"),
        ({"BURSAR_OIDC_OTHER_ISSUER": "https://x.example.com"}, "client_id"),
        ({"BURSAR_OIDC": "corp"}, "BURSAR_OIDC"),
        ({**ISSUER, "BURSAR_JWT_AUDIENCE": ""}, "needs BURSAR_JWT_AUDIENCE"),
        ({**ISSUER, "BURSAR_JWT_ISSUER": "http://corp.example.com"}, "https"),
        ({**ISSUER, "BURSAR_JWT_JWKS_URL": "http://corp.example.com/keys"}, "https"),
        ({"BURSAR_JWT_AUDIENCE": "x"}, "need BURSAR_JWT_ISSUER"),
        ({"BURSAR_SIGN_IN_ATTEMPTS_PER_EMAIL": "-1"}, "BURSAR_SIGN_IN_ATTEMPTS_PER_EMAIL"),
    ],
    ids=range(17),
)
def test_sign_in_that_would_not_be_safe(tmp_path: Path, environment: dict[str, str], said: str) -> None:
    whole = {
        "BURSAR_PUBLIC_URL": "https://credits.example.com",
        "BURSAR_OIDC_CORP_ISSUER": "https://corp.example.com",
        "BURSAR_OIDC_CORP_CLIENT_ID": "bursar",
    }
    assert load_settings({**whole, **ISSUER}, tmp_path).jwt_issuer
    with pytest.raises(BadSettings, match=said) as refused:
        load_settings(whole | environment, tmp_path)
    assert "hunter2" not in str(refused.value)
