"""Every contestant is measured where it should be, and the claims compare with the fastest of each peer."""

from pathlib import Path

from benchmarks import gateway_affine as module
from benchmarks.contestants import Contestant
from benchmarks.gateway_cells import Cell, Rounds, cells, fill_table, in_rounds, table_figures
from benchmarks.gateway_claims import known, peer_claims
from benchmarks.gateway_plot import Growth, draw_growths
from benchmarks.knee import Point
from benchmarks.load.answers import Answers, Reply, Summary, summarise
from benchmarks.load.plan import Closed
from training.progress import view_progress

PNG = b"\x89PNG"


def summary_of(requests: int, rows: int = 1) -> Summary:
    """So many requests answered in a second, 10 ms each."""
    answers = Answers()
    for _ in range(requests):
        answers.add(0.0, 0.0, 0.01, Reply(200, 0.5))
    return summarise(answers, 1.0, rows)


class Recorder:
    """Contestants that write down when they are asked for what."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []

    def contestant(self, name: str, requests: int = 30) -> Contestant:
        """One that answers so many requests a second."""

        def measure(rows: int, pace: Closed) -> Summary:
            self.asked.append((name, rows, pace.at_once))
            return summary_of(requests, rows)

        return Contestant(name, measure)


def test_cells_leave_out_what_only_measures_a_queue() -> None:
    assert len(cells(512 * 256)) == 16
    assert set(cells(512 * 256)) - set(cells(module.BINARY_ROWS_AT_ONCE_MAX)) == {Cell(512, 256)}
    assert Cell(1, 256) in cells(256)
    assert Cell(512, 1) not in cells(256)


def test_contestants_take_turns_in_every_round() -> None:
    recorder = Recorder()
    contestants = [(recorder.contestant("a"), Cell(1, 64)), (recorder.contestant("b"), Cell(64, 1))]
    rounds = in_rounds(contestants, seconds=1.0, warm_up_s=0.0, rounds=2)
    assert recorder.asked == [("a", 1, 64), ("b", 64, 1)] * 2
    assert [len(summaries) for summaries in rounds.values()] == [2, 2]


def test_a_table_measures_each_contestant_once_in_each_of_its_cells() -> None:
    recorder = Recorder()
    a, b = recorder.contestant("a"), recorder.contestant("b")
    fields = [(a, [Cell(1, 16), Cell(8, 1), Cell(1, 16)]), (b, [Cell(1, 16)])]
    with view_progress(as_json=True) as view:
        table = fill_table(fields, 1.0, 0.0, view)
    assert recorder.asked == [("a", 1, 16), ("b", 1, 16), ("a", 8, 1)], "cell by cell, in turn"
    assert table_figures("x", table)["x, a, 8 x 1: features/s"] == 240


def test_too_few_answers_have_no_tail() -> None:
    figures = table_figures("x", {("a", Cell(1, 1)): summary_of(19), ("b", Cell(1, 1)): summary_of(20)})
    assert set(figures) == {"x, a, 1 x 1: features/s", "x, b, 1 x 1: features/s", "x, b, 1 x 1: p99 ms"}


def test_a_peer_counts_as_it_is_fastest() -> None:
    rounds: Rounds = {
        "gateway, JSON": [summary_of(requests) for requests in (60, 66, 54)],
        "tritonclient": [summary_of(100)] * 3,
        "tritonclient, shared memory": [summary_of(120)] * 3,
        "LitServe, JSON": [summary_of(30)] * 3,
        "LitServe, JSON, batches of 64": [summary_of(20), summary_of(20), summary_of(90)],
    }
    litserve, triton = peer_claims("x", rounds, "gateway, JSON", 1.5)
    assert (litserve.what, litserve.value, litserve.holds) == ("x: gateway, JSON over LitServe, JSON", 2.0, True)
    assert (triton.what, triton.value) == ("x: gateway, JSON over tritonclient, shared memory", 0.5)
    assert not triton.holds


def test_figures_without_a_measurement_are_left_out() -> None:
    assert known({"a": float("nan"), "b": 1.0}) == {"b": 1.0}


def test_the_picture_of_growth_is_drawn_with_the_gateways_knee(tmp_path: Path) -> None:
    points = {
        "gateway, JSON": [Point(1, 100, 1, 2), Point(2, 190, 1.2, 3), Point(4, 200, 4, 9)],
        "LitServe, JSON": [Point(1, 50, 1, 2), Point(4, 0, float("nan"), float("nan"))],
    }
    growth = Growth("requests at once", points)
    assert growth.knee.load == 2
    draw_growths([growth, growth], tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(PNG)
