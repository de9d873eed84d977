"""An affine map behind the gateway and beside it: what the stack costs, since the model costs next to nothing."""

from pathlib import Path
from typing import Final

from benchmarks.contestants import Contestant, direct_triton, gateway, in_process, litserve, naive, together
from benchmarks.gateway_cells import ROWS, Cell, Rounds, Table, cells, fill_table, in_rounds, table_figures
from benchmarks.gateway_claims import Figures, Part, peer_claims, rate_figures
from benchmarks.gateway_plot import Growth, draw_growths
from benchmarks.gateway_stack import Stack
from benchmarks.knee import point_of
from benchmarks.load.plan import JSON, OCTET_STREAM
from benchmarks.peers.model import THREADS
from benchmarks.results import claim, spread_of
from contract.manifest import ONNX_FILE
from training.progress import View

ROUNDS: Final = 3
CLAIM_S, CLAIM_WARM_UP_S = 2.5, 0.5
CELL_S, CELL_WARM_UP_S = 1.2, 0.3
BATCH: Final = 64  # requests in a call of LitServe, where it batches
ALONE, SINGLE, WIDE = Cell(1, 1), Cell(1, 64), Cell(512, 16)
JSON_ROWS_AT_ONCE_MAX, BINARY_ROWS_AT_ONCE_MAX = 8192, 32_768  # the latter is the gateway's own default bound
GROWING_ROWS: Final = [Cell(2**power, WIDE.at_once) for power in range(10)]
GROWING_REQUESTS: Final = [Cell(SINGLE.rows, 2**power) for power in range(9)]
LITSERVE_RATIO_MIN, LITSERVE_WIDE_RATIO_MIN = 1.5, 3.0
ADDED_MS_MAX: Final = 1.0


def affine_part(stack: Stack, picture: Path, view: View) -> Part:
    """Single features and wide requests in rounds, then every cell once, and how costs grow."""
    json, binary = gateway(stack, JSON), gateway(stack, OCTET_STREAM)
    view.stage("affine: a request alone")
    alone = in_rounds([(json, ALONE)], CLAIM_S, CLAIM_WARM_UP_S, ROUNDS)[json.name]
    view.stage("affine: single features in rounds")
    single = _single(stack, json)
    view.stage("affine: wide requests in rounds")
    wide = _wide(stack, binary)
    view.stage("affine: all cells")
    table, growths = _all_cells(stack, json, binary, view)
    draw_growths(growths, picture)
    added = spread_of([summary.added_ms.p50 for summary in alone])
    single_what, wide_what = f"affine, {SINGLE}", f"affine, {WIDE}"
    figures: Figures = {f"affine, knee of {growth.load}": float(growth.knee.load) for growth in growths}
    figures |= {"affine, 1 x 1: p50 ms that the gateway adds": added} | {
        f"affine, {cell}: p50 ms that the gateway adds": table[json.name, cell].added_ms.p50
        for cell in GROWING_REQUESTS[1:]
    }
    figures |= rate_figures(f"{single_what}, in rounds", single) | rate_figures(f"{wide_what}, in rounds", wide)
    claims = [
        *peer_claims(single_what, single, json.name, LITSERVE_RATIO_MIN),
        *peer_claims(wide_what, wide, binary.name, LITSERVE_WIDE_RATIO_MIN),
        claim("affine, 1 x 1: p50 ms that the gateway adds", added.value, "<=", ADDED_MS_MAX),
    ]
    return Part(figures | table_figures("affine", table), claims)


def _single(stack: Stack, ours: Contestant) -> Rounds:
    peers = (litserve(stack, JSON, 1), litserve(stack, JSON, BATCH))
    with together([ours, direct_triton(stack)], *peers) as contestants:
        return in_rounds([(one, SINGLE) for one in contestants], CLAIM_S, CLAIM_WARM_UP_S, ROUNDS)


def _wide(stack: Stack, ours: Contestant) -> Rounds:
    peers = (litserve(stack, OCTET_STREAM, 1), litserve(stack, OCTET_STREAM, BATCH))
    with together([ours, direct_triton(stack), direct_triton(stack, shared=True)], *peers) as contestants:
        return in_rounds([(one, WIDE) for one in contestants], CLAIM_S, CLAIM_WARM_UP_S, ROUNDS)


def _all_cells(stack: Stack, json: Contestant, binary: Contestant, view: View) -> tuple[Table, list[Growth]]:
    """Every contestant over rows and requests at once, the gateway in finer steps."""
    json_cells, binary_cells = cells(JSON_ROWS_AT_ONCE_MAX), cells(BINARY_ROWS_AT_ONCE_MAX)
    direct, shared, alone = (
        direct_triton(stack),
        direct_triton(stack, shared=True),
        in_process(stack, ONNX_FILE, THREADS),
    )
    peers = (naive(stack), litserve(stack, JSON, 1), litserve(stack, OCTET_STREAM, 1))
    with together([], *peers) as (naive_json, litserve_json, litserve_binary):
        fields = [
            (json, [*json_cells, *GROWING_REQUESTS]),
            (binary, [*binary_cells, *GROWING_ROWS]),
            (direct, binary_cells),
            (shared, [cell for cell in binary_cells if cell.rows == WIDE.rows]),
            (alone, [Cell(rows, 1) for rows in ROWS]),  # it does one thing at a time
            (naive_json, json_cells),
            (litserve_json, json_cells),
            (litserve_binary, binary_cells),
        ]
        table = fill_table(fields, CELL_S, CELL_WARM_UP_S, view)
    rows = {
        one.name: [point_of(cell.rows, table[one.name, cell]) for cell in GROWING_ROWS if (one.name, cell) in table]
        for one in (binary, direct, litserve_binary)
    }
    requests = {
        one.name: [
            point_of(cell.at_once, table[one.name, cell]) for cell in GROWING_REQUESTS if (one.name, cell) in table
        ]
        for one in (json, direct, litserve_json, naive_json)
    }
    return table, [
        Growth(f"rows of a request, {WIDE.at_once} at once, octet-stream", rows),
        Growth("requests at once, one row each, JSON", requests),
    ]
