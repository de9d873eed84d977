"""What a failure of tritonclient means. Triton's own words stay here: they can quote a request."""

from typing import Any, Final

from service.errors import (
    RETRY_AFTER_S,
    EngineError,
    EngineFailedError,
    EngineOverloadedError,
    EngineTimeoutError,
    EngineUnavailableError,
)

# What Triton says is all that tells these from one another: they share a status.
QUEUE_FULL: Final = "exceeds maximum queue size"
QUEUE_TIMEOUT: Final = "request timeout expired"
NO_REGION: Final = "unable to find shared memory region"
# Of calls that Triton may still be working on, whatever became of the answer.
UNANSWERED: Final = {"StatusCode.DEADLINE_EXCEEDED", "StatusCode.UNAVAILABLE", "StatusCode.CANCELLED"}


def has_answered(error: Any) -> bool:  # noqa: ANN401 - tritonclient has no types
    """Whether Triton is done with a call that failed, and will write nothing more."""
    message = str(error.message()).lower()
    return QUEUE_FULL in message or QUEUE_TIMEOUT in message or str(error.status()) not in UNANSWERED


def engine_error(error: Any) -> EngineError:  # noqa: ANN401 - tritonclient has no types
    """Tell Triton's failures apart."""
    status, message = str(error.status()), str(error.message()).lower()
    if QUEUE_FULL in message:
        return EngineOverloadedError("the engine's queue is full", retry_after_s=RETRY_AFTER_S)
    if QUEUE_TIMEOUT in message or status == "StatusCode.DEADLINE_EXCEEDED":
        return EngineTimeoutError("the engine did not answer before the deadline")
    if status in {"StatusCode.UNAVAILABLE", "StatusCode.NOT_FOUND"}:
        return EngineUnavailableError("the engine or this version cannot be reached", retry_after_s=RETRY_AFTER_S)
    return EngineFailedError("the engine answered with an error")


def lacks_region(error: Any) -> bool:  # noqa: ANN401 - tritonclient has no types
    """Whether the call was to cross in memory that Triton does not know; nothing was run."""
    return NO_REGION in str(error.message()).lower()
