"""The kernel's numbers of this very process."""

import os
import subprocess
import sys
import time

from benchmarks.process_costs import family_of, main_thread_s, processor_s, resident_bytes

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def test_processor_time_is_that_of_the_process() -> None:
    before, own = processor_s(os.getpid()), time.process_time()
    while time.process_time() - own < 10 * TICK_S:
        pass
    assert abs(processor_s(os.getpid()) - before - (time.process_time() - own)) <= 3 * TICK_S


def test_the_main_thread_is_a_part_of_the_process() -> None:
    assert 0 < main_thread_s(os.getpid()) <= processor_s(os.getpid())


def test_a_family_has_what_was_started() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        family = family_of(os.getpid())
        assert family[0] == os.getpid()
        assert child.pid in family
        assert resident_bytes(child.pid) > 0
        child.communicate(b"\n")
