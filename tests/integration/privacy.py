"""What the privacy tests plant, and the proof that nothing of it shows where it must not."""

import base64
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from contract.vectors import Features, pack_float32
from service.logs import JsonFormatter
from tests.repository import SOURCE

# Every planted subject, face id, tag, metadata and password holds it.
MARK = "marked"
# A number whose digits appear nowhere else, so that a trace of it is a trace of the vector.
MARKED_VALUE = 0.73190462


def marked_features(rows: int = 2, dim: int = SOURCE.dim) -> Features:
    """Raw features [rows, dim] of that number alone."""
    return np.full((rows, dim), MARKED_VALUE, dtype=np.float32)


def enrolment(**changes: object) -> dict[str, object]:
    """A body for POST /galleries/{gallery}/faces with two planted faces."""
    body: dict[str, object] = {
        "source_model": SOURCE.id,
        "features": marked_features().tolist(),
        "faces": [
            {
                "face_id": f"marked-face-{i}",
                "subject": f"marked-subject-{i}",
                "tags": ["marked-tag"],
                "metadata": {"marked": "marked"},
            }
            for i in range(2)
        ],
    }
    return body | changes


def assert_nothing_shows(texts: Iterable[str]) -> None:
    """That no planted word, and no number of a planted feature in any form, is in the texts."""
    for text in texts:
        assert MARK not in text.lower(), text
        unescaped = text.replace("\\\\", "\\")  # bytes are shown with backslashes, which JSON doubles
        assert not any(form in unescaped for form in NUMBER_FORMS), text


@contextmanager
def captured_logs() -> Iterator[list[str]]:
    """Every log line of this process, of all levels, as the gateway would write it."""
    lines: list[str] = []
    formatter = JsonFormatter()
    handler = logging.Handler(logging.DEBUG)
    handler.emit = lambda record: lines.append(formatter.format(record))  # type: ignore[method-assign]
    handler.addFilter(lambda record: not record.name.startswith(("httpx", "httpcore")))  # the test's own client
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(handler)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


def _forms_of(number: float) -> tuple[str, ...]:
    """A feature's number as digits, and as its bytes where it stands beside itself."""
    packed = pack_float32(np.full((1, 3), number, np.float32))
    half = np.full(2, number, np.float16).tobytes()
    texts = (base64.b64encode(packed).decode(), packed.hex(), *(repr(bytes_)[2:-1] for bytes_ in (packed, half)))
    return f"{number:.7f}"[2:], *texts


# As it is sent, and at unit length, as it is kept and compared.
NUMBER_FORMS = (*_forms_of(MARKED_VALUE), *_forms_of(SOURCE.dim**-0.5))
