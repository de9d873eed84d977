"""Samples become microseconds of a request, and none of them is invented."""

from collections import Counter

import pytest

from benchmarks.gateway_profile import OTHER_THREADS, costs_of


def test_the_main_threads_time_is_shared_out_as_its_samples_are() -> None:
    costs = costs_of(Counter({"parse": 30, "framework": 10}), main_s=2.0, others_s=0.5, requests=1000)
    assert costs["parse"] == pytest.approx(1500)
    assert costs["framework"] == pytest.approx(500)
    assert costs[OTHER_THREADS] == pytest.approx(500)
    assert sum(costs.values()) == pytest.approx(2500)


def test_without_samples_nothing_is_shared_out() -> None:
    assert sum(costs_of(Counter(), main_s=1.0, others_s=0.0, requests=10).values()) == 0
