"""Two API keys: one sends three times what the gateway can do, the other little. The little must get through."""

import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.gateway_claims import Figures, Part
from benchmarks.gateway_requests import translate_message
from benchmarks.gateway_stack import Stack
from benchmarks.load.answers import OK, Summary
from benchmarks.load.plan import JSON, Open, Phase, Plan
from benchmarks.load.run import run_load, start_load
from benchmarks.results import claim
from benchmarks.translate import SOURCE, TARGET
from deploy.gateway import GatewayServer
from deploy.process import LOOPBACK
from service.access import KeysFile, Scope, create_key, write_keys

FLOOD_S: Final = 15.0
LEAD_S: Final = 3.0  # of the flood; the trickle ends as long before it does
TRICKLE: Final = 0.1  # of the capacity
FLOOD_CONNECTIONS, TRICKLE_CONNECTIONS = 400, 64  # together below what the gateway holds
SUCCESS_MIN: Final = 0.95


def fairness_part(stack: Stack, capacity_per_s: float, over: float) -> Part:
    """Flood a second gateway before the same Triton, and count what becomes of the trickle."""
    with tempfile.TemporaryDirectory() as folder:
        keys_file = Path(folder) / "keys.json"
        flooding, flood_record = create_key("flood", [Scope.TRANSLATE])
        trickling, trickle_record = create_key("trickle", [Scope.TRANSLATE])
        write_keys(KeysFile(keys=(flood_record, trickle_record)), keys_file)
        changes = {"R3AN_API_KEYS_FILE": str(keys_file), "R3AN_GALLERY_DIR": str(Path(folder) / "galleries")}
        with GatewayServer(dict(stack.settings) | changes) as gateway:
            flood = Open((Phase(over * capacity_per_s, FLOOD_S),), FLOOD_CONNECTIONS)
            trickle = Open((Phase(TRICKLE * capacity_per_s, FLOOD_S - 2 * LEAD_S),), TRICKLE_CONNECTIONS, seed=1)
            with start_load(_plan(gateway.port, flooding, flood)) as load:
                time.sleep(LEAD_S)
                (trickled,) = run_load(_plan(gateway.port, trickling, trickle)).summaries
                (flooded,) = load.report().summaries
    share = _share(trickled)
    figures: Figures = {
        "two keys: share of the trickle that is answered": share,
        "two keys: share of the flood that is answered": _share(flooded),
        "two keys: p99 ms of the trickle's answers": trickled.answered_ms.p99,
    }
    return Part(figures, [claim("two keys: share of the trickle that is answered", share, ">=", SUCCESS_MIN)])


def _plan(port: int, key: str, pace: Open) -> Plan:
    return Plan(LOOPBACK, port, translate_message(port, SOURCE, TARGET, 1, JSON, key), 1, pace)


def _share(summary: Summary) -> float:
    return summary.statuses.get(str(OK), 0) / max(1, sum(summary.statuses.values()))
