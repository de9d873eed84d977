"""Readers share, a writer excludes, and a waiting writer is not starved."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from service.galleries.embedded.read_write_lock import ReadWriteLock

WAIT_S = 60.0
MOMENT_S = 0.05


def test_readers_hold_it_together() -> None:
    lock, together = ReadWriteLock(), Barrier(3)

    def read() -> int:
        with lock.read():
            return together.wait(WAIT_S)  # breaks unless all three are inside at once

    with ThreadPoolExecutor(3) as threads:
        assert sorted(future.result() for future in [threads.submit(read) for _ in range(3)]) == [0, 1, 2]


def test_a_writer_waits_for_the_readers_and_goes_before_those_that_come_later() -> None:
    lock, order, reading, release = ReadWriteLock(), list[str](), Event(), Event()

    def first_reader() -> None:
        with lock.read():
            reading.set()
            assert release.wait(WAIT_S)
            order.append("first reader")

    def writer() -> None:
        with lock.write():
            order.append("writer")

    def later_reader() -> None:
        with lock.read():
            order.append("later reader")

    with ThreadPoolExecutor(3) as threads:
        futures = [threads.submit(first_reader)]
        assert reading.wait(WAIT_S)
        futures.append(threads.submit(writer))
        wait_until(lambda: lock.writers_waiting == 1)
        futures.append(threads.submit(later_reader))
        release.set()
        for future in futures:
            future.result(WAIT_S)
    assert order == ["first reader", "writer", "later reader"]


def test_writers_exclude_each_other() -> None:
    lock, inside, most = ReadWriteLock(), 0, 0

    def write() -> None:
        nonlocal inside, most
        for _ in range(200):
            with lock.write():
                inside += 1
                most = max(most, inside)
                inside -= 1

    with ThreadPoolExecutor(4) as threads:
        futures: list[Future[None]] = [threads.submit(write) for _ in range(4)]
        for future in futures:
            future.result(WAIT_S)
    assert most == 1


def test_a_failure_inside_lets_go() -> None:
    lock = ReadWriteLock()
    for hold in (lock.read, lock.write):
        with pytest.raises(ZeroDivisionError), hold():
            _ = 1 / 0
    with lock.write():
        pass


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll until a condition holds."""
    pause = Event()
    for _ in range(int(WAIT_S / MOMENT_S)):
        if condition():
            return
        pause.wait(MOMENT_S)
    raise AssertionError("the condition never held")
