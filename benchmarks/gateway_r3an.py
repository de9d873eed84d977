"""R³AN behind the gateway and alone: what is left of the model's own speed, and how even the answers are."""

import os
from typing import Final

from benchmarks.contestants import direct_triton, gateway, in_process, litserve, naive, together
from benchmarks.gateway_cells import Cell, cells, fill_table, in_rounds, table_figures
from benchmarks.gateway_claims import Figures, Part, best_of, features_per_s, rate_figures, ratios
from benchmarks.gateway_requests import translate_message
from benchmarks.gateway_stack import Stack
from benchmarks.load.answers import OK, Summary
from benchmarks.load.plan import JSON, Open, Phase, Plan
from benchmarks.load.run import run_load
from benchmarks.peers.model import THREADS
from benchmarks.results import claim, spread_of
from benchmarks.translate import SOURCE, TARGET
from contract.manifest import MODEL_FILE, ONNX_FILE
from deploy.process import LOOPBACK
from training.progress import View

ROUNDS: Final = 3
SINGLE, BATCHED = Cell(1, 64), Cell(64, 1)  # of the gateway; of the model alone
CLAIM_S, CLAIM_WARM_UP_S = 5.0, 1.0
CELL_S, CELL_WARM_UP_S = 2.5, 1.0
ROWS_AT_ONCE_MAX: Final = 256  # it translates some hundred features a second
BATCH: Final = 64  # requests in a call of LitServe
STACK_SHARE_MIN: Final = 0.85
LOAD: Final = 0.7  # of the capacity
LOAD_S: Final = 10.0
LOAD_WARM_UP_S: Final = 2.0
CONNECTIONS: Final = 256
TAIL_RATIO_MAX: Final = 3.0


def r3an_part(stack: Stack, view: View) -> Part:
    """Single features through the gateway beside batches in process, the tail at 70 % load, and some cells."""
    json, cores = gateway(stack, JSON), os.cpu_count() or 1
    models = [
        in_process(stack, file, threads)
        for threads in dict.fromkeys((THREADS, cores))
        for file in (MODEL_FILE, ONNX_FILE)
    ]
    view.stage("r3an: gateway and model in rounds")
    fields = [(json, SINGLE), *((model, BATCHED) for model in models)]
    rounds = in_rounds(fields, CLAIM_S, CLAIM_WARM_UP_S, ROUNDS)
    alone, all_cores = (best_of(rounds, f"in process, {threads} thread") for threads in (THREADS, cores))
    capacity_per_s = spread_of(features_per_s(rounds)[json.name]).value
    view.stage("r3an: the tail at 70 % load")
    loaded = [_under_load(stack, LOAD * capacity_per_s, seed) for seed in range(ROUNDS)]
    view.stage("r3an: some cells")
    with together([json, direct_triton(stack)], litserve(stack, JSON, BATCH), naive(stack)) as contestants:
        every = [(contestant, cells(ROWS_AT_ONCE_MAX)) for contestant in contestants]
        table = fill_table(every, CELL_S, CELL_WARM_UP_S, view)
    share, of_all_cores = ratios(rounds, json.name, alone), ratios(rounds, json.name, all_cores)
    tails = spread_of([summary.answered_ms.p99 / summary.answered_ms.p50 for summary in loaded])
    what = f"r3an, {SINGLE}: {json.name} over batches of {BATCHED.rows}"
    figures: Figures = {
        f"{what} {alone}": share,
        f"{what} {all_cores}": of_all_cores,
        "r3an at 70 % load: p99 over p50": tails,
        "r3an at 70 % load: p50 ms": spread_of([summary.answered_ms.p50 for summary in loaded]),
        "r3an at 70 % load: requests without an answer of 200": float(sum(_unanswered(summary) for summary in loaded)),
    }
    claims = [
        claim(f"{what} {alone}", share.value, ">=", STACK_SHARE_MIN),
        claim("r3an at 70 % load: p99 over p50", tails.value, "<=", TAIL_RATIO_MAX),
    ]
    return Part(figures | rate_figures("r3an, in rounds", rounds) | table_figures("r3an", table), claims)


def _under_load(stack: Stack, rate_per_s: float, seed: int) -> Summary:
    """What arrives at random at this rate, after a warm-up at the same."""
    message = translate_message(stack.gateway.port, SOURCE, TARGET, 1, JSON)
    pace = Open((Phase(rate_per_s, LOAD_WARM_UP_S), Phase(rate_per_s, LOAD_S)), CONNECTIONS, seed)
    return run_load(Plan(LOOPBACK, stack.gateway.port, message, 1, pace)).summaries[1]


def _unanswered(summary: Summary) -> int:
    return sum(count for status, count in summary.statuses.items() if status != str(OK))
