"""A gallery's migration over HTTP."""

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

import httpx

from contract.spaces import FeatureSpace

POLL_S = 0.05
INSIST_S_MAX = 120.0
SERVER_ERROR = 500

R = TypeVar("R")


class Step(StrEnum):
    """What can be asked of a migration."""

    CUT_OVER = "cutover"
    ROLL_BACK = "rollback"
    CANCEL = "cancel"


def begin(client: httpx.Client, gallery: str, target: FeatureSpace) -> str:
    """Begin a migration; returns its id. Raises httpx.HTTPError."""
    answer = client.post(f"/galleries/{gallery}/migrations", json={"target_model": target.id})
    return str(answer.raise_for_status().json()["id"])


def state_of(client: httpx.Client, migration: str) -> str:
    """Where a migration is. Raises httpx.HTTPError."""
    return str(_migration(client, migration)["state"])


def filled_in(client: httpx.Client, migration: str) -> int:
    """How many faces the copy that does not serve holds. Raises httpx.HTTPError."""
    progress = _migration(client, migration)["progress"]
    return int(progress["filled"]) if progress else 0


def take(client: httpx.Client, migration: str, step: Step) -> None:
    """Take a step. Raises httpx.HTTPError."""
    client.post(f"/migrations/{migration}/{step}").raise_for_status()


def wait_for_state(client: httpx.Client, migration: str, state: str, timeout_s: float) -> None:
    """Wait until a migration is there.

    Raises:
        TimeoutError: it was not in time.
        RuntimeError: it has failed or was cancelled.
    """
    end = time.monotonic() + timeout_s
    while (now := insist(lambda: state_of(client, migration))) != state:
        if now in ("failed", "cancelled"):
            raise RuntimeError(f"the migration is {now}")
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout_s:g} s for the migration to be {state}; it is {now}")
        time.sleep(POLL_S)


def insist(ask: Callable[[], R], timeout_s: float = INSIST_S_MAX) -> R:
    """The answer, asked for until a server that was killed is back; what must not be done twice is not for this."""
    end = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except httpx.HTTPError as error:
            if isinstance(error, httpx.HTTPStatusError) and error.response.status_code < SERVER_ERROR:
                raise
            if time.monotonic() > end:
                raise
        time.sleep(POLL_S)


def _migration(client: httpx.Client, migration: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(f"/migrations/{migration}").raise_for_status().json()
    return answer
