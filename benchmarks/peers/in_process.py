"""The model without any server: one caller, one call after the other. A plan on stdin, a report on stdout."""

import json
import sys
import time
from dataclasses import asdict, dataclass

import torch

from benchmarks.gateway_requests import DIM, features_of
from benchmarks.load.answers import OK, Answers, Reply
from benchmarks.load.plan import Closed
from benchmarks.load.report import report_of, report_to_json
from benchmarks.peers.model import load


@dataclass(frozen=True, slots=True)
class InProcessPlan:
    """Which model.pt, how many features a call, in how many threads."""

    file: str
    rows: int
    threads: int
    pace: Closed

    def to_json(self) -> str:
        """As text."""
        return json.dumps(asdict(self))


def main() -> None:
    """Run the plan."""
    given = json.loads(sys.stdin.read())
    plan = InProcessPlan(**given | {"pace": Closed(**given["pace"])})
    model, features = load(plan.file, plan.threads), torch.from_numpy(features_of(plan.rows, DIM))
    answers, started_at = Answers(), time.perf_counter()
    end_s = plan.pace.warm_up_s + plan.pace.seconds
    with torch.inference_mode():
        while (sent_s := time.perf_counter() - started_at) < end_s:
            model(features)
            answers.add(sent_s, sent_s, time.perf_counter() - started_at, Reply(OK))
    sys.stdout.write(report_to_json(report_of(answers, plan.pace, plan.rows)))


if __name__ == "__main__":
    main()
