"""Where the microseconds of a single-feature request go: py-spy's samples of the gateway under load, by part."""

import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from benchmarks.gateway_requests import translate_message
from benchmarks.gateway_stack import Stack, served
from benchmarks.load.plan import JSON, Closed, Plan
from benchmarks.load.run import start_load
from benchmarks.process_costs import family_of, main_thread_s, processor_s
from benchmarks.profile_parts import NAMES, samples_by_part
from benchmarks.results import Figure, Picture, Result, picture_of, result_of, spread_of
from benchmarks.translate import SOURCE, TARGET
from contract.manifest import Method
from deploy.process import LOOPBACK
from training.progress import View

AT_ONCE: Final = 16
ROUNDS: Final = 3
RECORD_S: Final = 8
RATE_PER_S: Final = 250  # samples
WARM_UP_S: Final = 2.0
MARGIN_S: Final = 4.0  # py-spy's start and end, under the same load
RECORD_S_MAX: Final = 120.0
TITLE: Final = re.compile(r'(<text id="title"[^>]*>)[^<]*')

OTHER_THREADS: Final = "gRPC's threads"

Costs = dict[str, float]  # microseconds of a request by part


def profile_result(command: str, name: str, view: View) -> Result:
    """Record the gateway before a Triton that serves an affine map, in rounds, and then its flame graph.

    A sample counts where it holds the interpreter's lock: py-spy takes a thread that waits in C for a busy one.
    """
    started_at, rounds = time.monotonic(), list[Costs]()
    with served(Method.AFFINE) as stack:
        for number in range(ROUNDS):
            view.stage(f"recording {number + 1} of {ROUNDS}")
            rounds.append(_record_parts(stack))
        view.stage("recording the flame graph")
        _record_flames(stack, picture_of(name, Picture.FLAMES), command)
    return result_of(
        name=name,
        command=command,
        seconds=time.monotonic() - started_at,
        figures=_figures(rounds),
        claims=[],
    )


def costs_of(samples: Counter[str], main_s: float, others_s: float, requests: float) -> Costs:
    """Microseconds a request by part: the main thread's time on a processor, shared out as its samples are.

    Samples alone would count the time in which other programs had the processor. The other threads are gRPC's.
    """
    of_all = main_s / requests / max(1, samples.total())
    return {part: 1e6 * of_all * samples[part] for part in NAMES} | {OTHER_THREADS: 1e6 * others_s / requests}


def _record_parts(stack: Stack) -> Costs:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "raw.txt"
        main_s, others_s, requests = _record(stack, "raw", file)
        with file.open(encoding="utf-8") as lines:
            samples = samples_by_part(lines)
    return costs_of(samples, main_s, others_s, requests)


def _record_flames(stack: Stack, file: Path, command: str) -> None:
    _record(stack, "flamegraph", file)
    file.write_text(TITLE.sub(rf"\g<1>{command}", file.read_text(encoding="utf-8")), encoding="utf-8")


def _record(stack: Stack, kind: str, file: Path) -> tuple[float, float, float]:
    """Seconds on a processor of the main thread and of the others while py-spy ran, and the requests of that time."""
    message = translate_message(stack.gateway.port, SOURCE, TARGET, 1, JSON)
    pace = Closed(AT_ONCE, seconds=RECORD_S + MARGIN_S, warm_up_s=WARM_UP_S)
    with start_load(Plan(LOOPBACK, stack.gateway.port, message, 1, pace)) as load:
        time.sleep(WARM_UP_S)
        family = family_of(stack.gateway.process.pid)
        busiest = max(family, key=processor_s)  # of several worker processes one is like another
        main_s, all_s, started_at = main_thread_s(busiest), processor_s(busiest), time.perf_counter()
        _py_spy(busiest, kind, file)
        seconds = time.perf_counter() - started_at
        main_s, all_s = main_thread_s(busiest) - main_s, processor_s(busiest) - all_s
        (summary,) = load.report().summaries
    return main_s, all_s - main_s, summary.requests_per_s * seconds


def _py_spy(process_id: int, kind: str, file: Path) -> None:
    options = {"pid": process_id, "format": kind, "output": file, "duration": RECORD_S, "rate": RATE_PER_S}
    command = [str(Path(sys.executable).with_name("py-spy")), "record", "--gil"]
    command += [text for option, value in options.items() for text in (f"--{option}", str(value))]
    subprocess.run(command, check=True, capture_output=True, timeout=RECORD_S_MAX)  # noqa: S603 - of the extra `bench`


def _figures(rounds: list[Costs]) -> dict[str, float | Figure]:
    totals = [sum(costs.values()) for costs in rounds]
    figures: dict[str, float | Figure] = {}
    for part in rounds[0]:
        figures[f"{part}: microseconds a request"] = spread_of([costs[part] for costs in rounds])
    for part in rounds[0]:
        shares = [costs[part] / total for costs, total in zip(rounds, totals, strict=True)]
        figures[f"{part}: share"] = spread_of(shares)
    return figures | {"all: microseconds a request": spread_of(totals)}
