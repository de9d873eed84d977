"""Runs that are timed side by side."""

from benchmarks.rounds import ROUNDS, seconds_side_by_side


def test_runs_take_turns_in_every_round() -> None:
    order: list[str] = []
    seconds = seconds_side_by_side([lambda: order.append("a"), lambda: order.append("b")], budget_s=0)
    assert order == ["a", "b"] * (1 + ROUNDS), "the first of each is the warm-up"
    assert [len(rounds) for rounds in seconds] == [ROUNDS, ROUNDS]
    assert all(second > 0 for rounds in seconds for second in rounds)
