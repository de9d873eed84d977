"""What a server prints of a start or an end that fails."""

import asyncio
import logging
import sqlite3
import traceback
from pathlib import Path

import pytest
from starlette.types import Message

from service.app import create_app
from service.engines.echo import EchoEngine
from service.errors import CatalogError, GalleryUnavailableError
from service.logs import JsonFormatter
from tests.gateway import development_settings

pytestmark = pytest.mark.anyio


def own_error() -> GalleryUnavailableError:
    """An error in our words, about a foreign one that quotes what it could not read."""
    error = GalleryUnavailableError("the galleries cannot be read")
    error.__cause__ = sqlite3.OperationalError("Could not decode to UTF-8 column 'subject' with text 'marked'")
    return error


async def told(folder: Path) -> list[Message]:
    """What the application tells its server when it is started and at once ended."""
    (folder / "model_repository").mkdir()
    app = create_app(development_settings(folder))
    orders: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    told: list[Message] = []

    async def receive() -> Message:
        return orders.pop(0)

    async def send(message: Message) -> None:
        told.append(message)

    try:
        await app({"type": "lifespan", "app": app, "state": {}}, receive, send)
    except Exception as error:
        told.append({"type": "raised", "message": "".join(traceback.format_exception(error))})
    return told


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (ValueError("Port could not be cast to integer value as 'marked'"), "unforeseen ValueError; the log has"),
        (KeyError("marked"), "unforeseen KeyError; the log has"),
        (own_error(), "GalleryUnavailableError: the galleries cannot be read"),
        (CatalogError("a has 1 and 2 dimensions"), "CatalogError: a has 1 and 2 dimensions"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_failed_start_is_told_in_our_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failure: Exception, reason: str
) -> None:
    async def fail(_: object) -> None:
        await asyncio.sleep(0)
        raise failure

    monkeypatch.setattr("service.app._open_galleries", fail)
    with caplog.at_level(logging.DEBUG):
        failed, raised = await told(tmp_path)
    assert failed["type"] == "lifespan.startup.failed"
    for message in (failed, raised):
        assert reason in message["message"].splitlines()[-1]
        assert "marked" not in message["message"]
    lines = [JsonFormatter().format(record) for record in caplog.records]
    assert any("unforeseen failure" in line for line in lines) == reason.startswith("unforeseen")
    assert "marked" not in "".join(lines)


async def test_a_failed_end_is_told_in_our_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: object) -> None:
        await asyncio.sleep(0)
        raise RuntimeError("marked")

    monkeypatch.setattr(EchoEngine, "close", fail)
    started, failed, raised = await told(tmp_path)
    assert (started["type"], failed["type"]) == ("lifespan.startup.complete", "lifespan.shutdown.failed")
    for message in (failed, raised):
        assert "unforeseen RuntimeError; the log has" in message["message"].splitlines()[-1]
        assert "marked" not in message["message"]
