"""How many rows a call may have, by what calls took."""

import numpy as np
import pytest

from contract.spaces import FeatureSpace
from service.engines.line import CALL_ROWS_MIN, CALL_S, Line
from tests.manifests import make_manifest

ROWS_MAX = 512
MANIFEST = make_manifest(FeatureSpace(id="source", dim=2), FeatureSpace(id="target", dim=2))


def line_after(*calls: tuple[int, float]) -> Line:
    """A line whose calls had so many rows and took so many seconds."""
    line = Line(MANIFEST, ROWS_MAX)
    for rows, seconds in calls:
        line.begin(rows)
        line.end(rows, seconds)
    return line


@pytest.mark.parametrize(
    ("calls", "rows_max"),
    [
        ([], ROWS_MAX),
        ([(512, CALL_S / 10)], ROWS_MAX),
        ([(128, CALL_S)], 128),
        ([(64, 10 * CALL_S)], CALL_ROWS_MIN),
        ([(1, CALL_S / 10)] * 20, CALL_ROWS_MIN),  # the cost of a call, which tells nothing of a row's
        ([(1, CALL_S / 10)] * 20 + [(64, CALL_S / 10)] * 10, ROWS_MAX),
    ],
    ids=["unknown", "fast", "just", "slow", "narrow", "narrow-then-wide"],
)
def test_a_call_may_have_as_many_rows_as_it_can_answer_soon(calls: list[tuple[int, float]], rows_max: int) -> None:
    assert line_after(*calls).call_rows_max == rows_max


def test_a_line_knows_what_is_under_way() -> None:
    line = line_after((3, 0.1))
    line.begin(5)
    assert (line.calls, line.rows, line.is_empty) == (1, 5, True)
    assert np.isclose(line.waited_s("nobody", 7.0), 0.0)
