"""What ends a bulk command, each with one line for the person at the terminal. None is ever an answer to a client.

BulkError
 ├─ DataError                a file, column or row that cannot be used
 ├─ JobError                 a folder, state or report is of other work than this
 ├─ TranslatorError          there is no such translator, or it does not pass
 ├─ GatewayProblemError      the gateway's answer, by its stable code
 ├─ GatewayUnreachableError  no gateway answers, or it asks to wait for longer than the bound
 └─ StoppedError             the person at the terminal has had enough; what was done stays
"""

from pathlib import Path


class BulkError(Exception):
    """Root of everything a bulk command refuses. The message is one line; it never holds a feature, face or subject."""


class DataError(BulkError):
    """Data that cannot be used. Made by `data_error`."""


class JobError(BulkError):
    """What lies there belongs to other work: a changed input, a finished folder, another translator."""


class TranslatorError(BulkError):
    """No translator joins the spaces, or its files or its proof do not pass."""


class GatewayUnreachableError(BulkError):
    """No answer within the bounds on retries and waiting."""


class StoppedError(BulkError):
    """Told to stop. The same command goes on."""

    def __init__(self) -> None:
        super().__init__("stopped; the same command goes on")


class GatewayProblemError(BulkError):
    """A problem the gateway answered. `row` is the first one to blame, where one is."""

    def __init__(self, status: int, code: str, detail: str, row: int | None = None) -> None:
        super().__init__(f"the gateway answers {status} {code}: {detail}")
        self.status = status
        self.code = code
        self.row = row


def data_error(file: Path, reason: str, *, column: str | None = None, row: int | None = None) -> DataError:
    """An error that names the place; rows count from 0 within their file."""
    place = str(file)
    if column is not None:
        place += f", column {column}"
    if row is not None:
        place += f", row {row}"
    return DataError(f"{place}: {reason}")
