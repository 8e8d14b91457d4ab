"""Settings: environment over file over defaults, what makes no sense is named, secrets are not shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from bursar.settings import BadSettings, Settings, load_settings, unknown_variables


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
