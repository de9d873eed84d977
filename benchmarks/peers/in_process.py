"""The model without any server: one caller, one call after the other. A plan on stdin, a report on stdout."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import onnxruntime
import torch

from benchmarks.gateway_requests import DIM, features_of
from benchmarks.load.answers import OK, Answers, Reply
from benchmarks.load.plan import Closed
from benchmarks.load.report import report_of, report_to_json
from benchmarks.peers.model import load
from contract.manifest import MODEL_FILE, ONNX_INPUT, ONNX_OUTPUT
from contract.vectors import Features
from service.engines.onnxruntime import BATCH_ROWS

Run = Callable[[Features], object]


@dataclass(frozen=True, slots=True)
class InProcessPlan:
    """Which model.pt or model.onnx, how many features a call, in how many threads."""

    file: str
    rows: int
    threads: int
    pace: Closed

    def to_json(self) -> str:
        """As text."""
        return json.dumps(asdict(self))


def _runner(file: str, threads: int) -> Run:
    return _torchscript(file, threads) if file.endswith(MODEL_FILE) else _onnx(file, threads)


def _torchscript(file: str, threads: int) -> Run:
    model = load(file, threads)

    def run(features: Features) -> object:
        with torch.inference_mode():
            return model(torch.from_numpy(features))

    return run


def _onnx(file: str, threads: int) -> Run:
    """In pieces, as the engine runs it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def run(features: Features) -> object:
        starts = range(0, len(features), BATCH_ROWS)
        return [session.run([ONNX_OUTPUT], {ONNX_INPUT: features[start : start + BATCH_ROWS]}) for start in starts]

    return run


def main() -> None:
    """Run the plan."""
    given = json.loads(sys.stdin.read())
    plan = InProcessPlan(**given | {"pace": Closed(**given["pace"])})
    run, features = _runner(plan.file, plan.threads), features_of(plan.rows, DIM)
    answers, started_at = Answers(), time.perf_counter()
    end_s = plan.pace.warm_up_s + plan.pace.seconds
    while (sent_s := time.perf_counter() - started_at) < end_s:
        run(features)
        answers.add(sent_s, sent_s, time.perf_counter() - started_at, Reply(OK))
    sys.stdout.write(report_to_json(report_of(answers, plan.pace, plan.rows)))


if __name__ == "__main__":
    main()
