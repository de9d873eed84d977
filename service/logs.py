"""Structured logs: one JSON object a line on stderr. Exceptions by type and place, never by their text."""

import logging
import logging.config
import re
import traceback
from types import TracebackType

import orjson

FRAMES_MAX = 30
CALLS = re.compile(r"[\n(<]")


class JsonFormatter(logging.Formatter):
    """A record as JSON. An exception's text may quote a feature, so only its type and its frames are written."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        message = record.getMessage()
        if record.name == "asyncio":  # which goes on with calls, their arguments, and what tasks failed with
            message = CALLS.split(message, 1)[0]
        line: dict[str, object] = {
            "time": record.created,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
        }
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
            line["frames"] = _frames(record.exc_info[2])
        return orjson.dumps(line, default=str).decode()


def configure_logs(level: str) -> None:
    """Send every logger of the process through the formatter."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonFormatter}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"handlers": ["stderr"], "level": level.upper()},
        }
    )


def _frames(place: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(place)[-FRAMES_MAX:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
