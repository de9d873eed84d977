"""`python -m benchmarks.load`: a plan as JSON on stdin, a report as JSON on stdout."""

import gc
import sys
from collections.abc import Sequence

import uvloop

from benchmarks.load.answers import Answers
from benchmarks.load.http import Connection
from benchmarks.load.pacing import Ask, send_closed, send_open
from benchmarks.load.plan import Closed, Open, Plan, plan_from_json
from benchmarks.load.report import report_of, report_to_json


async def send(asks: Sequence[Ask], pace: Closed | Open) -> Answers:
    """Send as the pace says."""
    return await (send_closed(asks, pace) if isinstance(pace, Closed) else send_open(asks, pace))


async def _run(plan: Plan) -> Answers:
    lanes = plan.pace.at_once if isinstance(plan.pace, Closed) else plan.pace.connections
    connections = [Connection(plan.host, plan.port, plan.message) for _ in range(lanes)]
    try:
        return await send([connection.ask for connection in connections], plan.pace)
    finally:
        for connection in connections:
            connection.close()


def main() -> None:
    """Run the plan. Nothing is collected meanwhile: a pause of the generator would pass for one of the server."""
    plan = plan_from_json(sys.stdin.read())
    gc.disable()
    answers = uvloop.run(_run(plan))
    sys.stdout.write(report_to_json(report_of(answers, plan.pace, plan.rows)))


if __name__ == "__main__":
    main()
