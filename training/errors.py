"""What training refuses, each with one line for the person at the terminal.

TrainingError
 ├─ DataError      a file, column or row that cannot be used
 ├─ ConfigError    a setting that is unknown or out of range
 ├─ DivergedError  the optimisation left the finite numbers, or learned nothing
 ├─ ExportError    the exported module is not the trained one
 └─ ProcessError   one of several training processes ended early
"""

EXIT_BAD_INPUT = 2


class TrainingError(Exception):
    """Root of everything training refuses. The CLI prints the message and exits with 2."""


class DataError(TrainingError):
    """Data that cannot be used; the message names file, column and row."""

    def __init__(self, file: str, reason: str, *, column: str | None = None, row: int | None = None) -> None:
        place = (
            file + (f", column {column}" if column is not None else "") + (f", row {row}" if row is not None else "")
        )
        super().__init__(f"{place}: {reason}")


class ConfigError(TrainingError):
    """A setting that is unknown, missing or out of range."""


class DivergedError(TrainingError):
    """A loss or a weight is no longer finite, or a training ended no nearer than the mean of all targets is.

    The last checkpoint with finite weights stays.
    """


class ExportError(TrainingError):
    """The exported module disagrees with the trained one, or its folder cannot be written."""


class ProcessError(TrainingError):
    """One of the processes that train together ended early; the last checkpoint stays."""
