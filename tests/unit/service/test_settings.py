"""Settings: read from the environment, bounded, frozen."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Environment, Settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"R3AN_{name.upper()}", raising=False)


def development(**changes: object) -> Settings:
    return Settings.model_validate({"environment": "development"} | changes)


def test_outside_development_keys_are_demanded() -> None:
    with pytest.raises(ValidationError, match="R3AN_API_KEYS_FILE"):
        Settings()
    assert Settings(api_keys_file=Path("keys.json")).environment is Environment.PRODUCTION


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R3AN_ENVIRONMENT", "development")
    monkeypatch.setenv("R3AN_ROWS_MAX", "7")
    assert Settings().rows_max == 7


@pytest.mark.parametrize(
    "changes",
    [
        {"port": 65_536},
        {"timeout_ms": 0},
        {"body_bytes_max": 2**40},
        {"rows_max": 0},
        {"reload_interval_s": 0},
        {"reload_interval_s": float("nan")},
        {"top_k_max": 1001},
        {"engine": "onnx"},
        {"log_level": "loud"},
        {"surprise": 1},
        {"rows_max": 100, "rows_in_flight_max": 99},
        {"migration_share": 0.0},
        {"migration_batch_faces": 0},
        {"migration_lease_ms": 4_999},
        {"shadow_share": 1.5},
    ],
)
def test_what_is_unknown_or_out_of_bounds_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        development(**changes)


def test_every_number_has_both_bounds() -> None:
    for name, field in Settings.model_fields.items():
        if field.annotation in {int, float}:
            bounds = {kind for kind in ("ge", "le") for constraint in field.metadata if hasattr(constraint, kind)}
            assert bounds == {"ge", "le"}, name


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://127.0.0.1:6379/0",
        "rediss://marked:p%40ss%2Fword@cache.example:6379/15?ssl_cert_reqs=none",
        "redis://:p:w@[::1]:6379",
        "redis+cluster://one:7000,two:7001",
        "rediss+cluster://marked:secret@one,[fe80::1]:7001/0",
        "unix:///run/redis.sock?db=0",
        "unix://:secret@/run/redis.sock",
    ],
)
def test_a_redis_is_named_by_its_url(url: str) -> None:
    assert development(redis_url=url).redis_url.get_secret_value() == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "marked-password",
        "marked-password@host:6379",
        "http://:marked-password@host",
        "redis://:marked/password@host:6379/0",
        "redis://:6379/marked@host:6379/0",
        "redis://user:6379/marked@host",
        "redis://:marked?password@host",
        "redis://:6379?marked@host",
        "redis://:marked#password@host",
        "redis://:marked@password@host",
        "redis://:marked[password@host",
        "redis://:marked password@host",
        "redis://:marked-password@",
        "redis://:marked-password@host:port",
        "redis://:marked-password@host/marked",
        "redis://:marked-password@one:1,two:2",
        "redis+cluster://:marked-password@one:1,,two:2",
        "redis+sentinel://:marked-password@host",
        "unix://marked-password@",
    ],
)
def test_a_url_that_is_none_is_refused_without_a_part_of_it(url: str) -> None:
    with pytest.raises(ValidationError, match="redis_url") as refused:
        development(redis_url=url)
    assert "is no redis://host:port" in str(refused.value)
    assert "marked" not in str(refused.value)


def test_settings_that_do_not_agree_are_refused_without_a_part_of_them() -> None:
    with pytest.raises(ValidationError) as refused:
        development(redis_url="redis://:marked-password@host", rows_max=100, rows_in_flight_max=99)
    assert "marked" not in str(refused.value)


def test_settings_are_frozen_and_hide_the_password() -> None:
    settings = development(redis_url="redis://:marked-password@host/0")
    assert "marked-password" not in repr(settings)
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc] # that it cannot be set is the point
