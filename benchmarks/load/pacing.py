"""The two ways to send requests. Both take one asker for each request that may be under way."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence

from benchmarks.load.answers import LATE, Answers, Reply
from benchmarks.load.plan import Closed, Open, Phase

Ask = Callable[[], Awaitable[Reply]]

DRAIN_S_MAX = 30.0  # for what is under way when the time is over


async def send_closed(asks: Sequence[Ask], pace: Closed) -> Answers:
    """Each asker asks again as soon as it is answered, until the time is over; then all wait for their last answer.

    One that is refused comes again when it was told to: asking at once would only cost the server what others need.

    Raises:
        TimeoutError: a server does not answer at all.
    """
    answers = Answers(started_at=(started_at := time.monotonic()))
    end_s = pace.warm_up_s + pace.seconds

    async def lane(ask: Ask) -> None:
        while (sent_s := time.monotonic() - started_at) < end_s:
            reply = await ask()
            answers.add(sent_s, sent_s, time.monotonic() - started_at, reply)
            if reply.retry_after_s:
                await asyncio.sleep(min(reply.retry_after_s, max(0.0, end_s - (time.monotonic() - started_at))))

    async with asyncio.timeout(end_s + DRAIN_S_MAX), asyncio.TaskGroup() as group:
        for ask in asks:
            group.create_task(lane(ask))
    return answers


async def send_open(asks: Sequence[Ask], pace: Open) -> Answers:
    """Requests become due at their times and take the first free asker. What has no answer in the end is `LATE`."""
    answers = Answers(started_at=(started_at := time.monotonic()))
    due: asyncio.Queue[float] = asyncio.Queue()  # holds no more than the phases' requests
    under_way: set[float] = set()

    async def lane(ask: Ask) -> None:
        while True:
            due_s = await due.get()
            under_way.add(due_s)
            sent_s = time.monotonic() - started_at
            reply = await ask()
            answers.add(due_s, sent_s, time.monotonic() - started_at, reply)
            under_way.remove(due_s)
            due.task_done()

    lanes = [asyncio.create_task(lane(ask)) for ask in asks]
    try:
        for due_s in arrivals(pace.phases, pace.seed):
            await asyncio.sleep(max(0.0, due_s - (time.monotonic() - started_at)))
            due.put_nowait(due_s)
        await _drained(due, lanes)
    finally:
        for task in lanes:
            task.cancel()
        await asyncio.gather(*lanes, return_exceptions=True)
    now_s = time.monotonic() - started_at
    for due_s in (*under_way, *(due.get_nowait() for _ in range(due.qsize()))):
        answers.add(due_s, now_s, now_s, Reply(LATE))
    return answers


async def _drained(due: "asyncio.Queue[float]", lanes: Sequence["asyncio.Task[None]"]) -> None:
    """Wait until all are answered, at most for a while. Raises what a lane raised."""
    all_answered = asyncio.create_task(due.join())
    done, _ = await asyncio.wait({all_answered, *lanes}, timeout=DRAIN_S_MAX, return_when=asyncio.FIRST_COMPLETED)
    all_answered.cancel()
    for lane in done - {all_answered}:
        lane.result()


def arrivals(phases: Sequence[Phase], seed: int) -> Iterator[float]:
    """When requests are due, in seconds from the start: a Poisson process whose rate changes with the phases."""
    numbers = random.Random(seed)  # noqa: S311 - no secret
    start_s = 0.0
    for phase in phases:
        end_s, due_s = start_s + phase.seconds, start_s
        while (due_s := due_s + numbers.expovariate(phase.rate_per_s)) < end_s:
            yield due_s
        start_s = end_s
