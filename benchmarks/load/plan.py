"""What a load generator is told, and how requests are paced."""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

OCTET_STREAM: Final = "application/octet-stream"
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Closed:
    """So many requests are always under way: the next one leaves when one is answered."""

    at_once: int
    seconds: float
    warm_up_s: float = 0.5  # not counted


@dataclass(frozen=True, slots=True)
class Phase:
    """A rate that is kept for some time."""

    rate_per_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Open:
    """Requests arrive at random as they would from many strangers (Poisson), whether or not others are answered.

    `connections` bounds those under way. What finds none free waits in the generator, and its wait counts.
    """

    phases: tuple[Phase, ...]
    connections: int
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """One request, sent again and again to one server. `message`: head and body as they go over the wire."""

    host: str
    port: int
    message: bytes
    rows: int  # features in each request
    pace: Closed | Open


def seconds_of(pace: Closed | Open) -> float:
    """How long it goes on, the last answers not included."""
    if isinstance(pace, Closed):
        return pace.warm_up_s + pace.seconds
    return sum(phase.seconds for phase in pace.phases)


def http_message(
    host: str, port: int, path: str, body: bytes, content_type: str, headers: Mapping[str, str] | None = None
) -> bytes:
    """A POST of HTTP/1.1, encoded once for all the times it is sent."""
    fields = {"Host": f"{host}:{port}", "Content-Type": content_type, "Content-Length": str(len(body))}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in (fields | dict(headers or {})).items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def plan_to_json(plan: Plan) -> str:
    """A plan as text."""
    return json.dumps(asdict(plan) | {"message": base64.b64encode(plan.message).decode()})


def plan_from_json(text: str) -> Plan:
    """A plan from `plan_to_json`."""
    given = json.loads(text)
    pace = given["pace"]
    if "phases" in pace:
        phases = tuple(Phase(**phase) for phase in pace["phases"])
        paced: Closed | Open = Open(**pace | {"phases": phases})
    else:
        paced = Closed(**pace)
    return Plan(**given | {"message": base64.b64decode(given["message"]), "pace": paced})
