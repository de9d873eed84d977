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


def test_settings_are_frozen_and_hide_the_password() -> None:
    settings = development(redis_url="redis://:marked-password@host/0")
    assert "marked-password" not in repr(settings)
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc] # that it cannot be set is the point
