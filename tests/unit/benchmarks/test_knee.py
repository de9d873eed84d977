"""The knee lies where more load buys more waiting than throughput."""

import pytest

from benchmarks.knee import Point, knee_of


def batch_server(rows: int, fixed_ms: float, row_ms: float) -> Point:
    """A server that spends so much on a call and so much on each row."""
    taken_ms = fixed_ms + row_ms * rows
    return Point(rows, 1000 * rows / taken_ms, taken_ms, taken_ms)


@pytest.mark.parametrize(("fixed_ms", "knee"), [(1.0, 1), (8.0, 8), (64.0, 64)])
def test_the_knee_of_a_batch_is_where_its_rows_cost_as_much_as_the_call(fixed_ms: float, knee: int) -> None:
    points = [batch_server(2**power, fixed_ms, row_ms=1.0) for power in range(10)]
    assert knee_of(points).load == knee
    assert knee_of(points[::-1]).load == knee


def test_the_knee_of_a_line_of_servers_is_where_all_are_busy() -> None:
    servers, service_ms = 4, 10.0
    points = []
    for at_once in (1, 2, 4, 8, 16):
        taken_ms = service_ms * max(1, at_once / servers)
        points.append(Point(at_once, 1000 * at_once / taken_ms, taken_ms, taken_ms))
    assert knee_of(points).load == servers


def test_of_points_of_equal_power_the_least_load_is_the_knee() -> None:
    assert knee_of([Point(2, 200, 2, 2), Point(1, 100, 1, 1)]).load == 1
