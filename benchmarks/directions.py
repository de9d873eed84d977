"""Every ordered pair of a data set's encoders, all methods on each: does any direction lose people?"""

import json
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

from benchmarks.results import Claim, Figure, Result, claim, machine, today
from training.bakeoff import PROMOTED, run_bakeoff
from training.columns import feature_spaces
from training.config import load_configs
from training.contest import Contest
from training.loop import OnIteration
from training.pairs import parquet_files

FAR = "1e-4"
RANK_1_SHARE, RANK_1_SHARE_OF_HALF, TAR_SHARE = 0.97, 0.99, 0.94

Summary = dict[str, Any]


def judge_directions(
    pairs: Path, methods: list[str], out: Path, on_stage: Callable[[str], None], on_iteration: OnIteration
) -> list[Summary]:
    """A bake-off's summary for each ordered pair; finished and interrupted trainings in `out` are taken up."""
    configs = load_configs(methods, [], seed=0)
    summaries: list[Summary] = []
    for source, target in permutations(feature_spaces(parquet_files(pairs)[0]), 2):
        on_stage(f"{source} to {target}")
        folder = out / f"{source}--{target}"
        contest = Contest(pairs, source, target, configs)
        outcome = run_bakeoff(contest, folder, folder / PROMOTED, lambda _: None, lambda _: on_iteration)
        summaries.append(json.loads(outcome.summary.read_text(encoding="utf-8")))
    return summaries


def directions_result(name: str, command: str, summaries: list[Summary]) -> Result:
    """Rank-1 and TAR of every method and direction, and the promoted ones beside the weaker native."""
    figures: dict[str, float | Figure] = {}
    for summary in summaries:
        direction = f"{summary['source']} to {summary['target']}"
        for row, judged in summary["identification"].items():
            figures[f"{direction}: rank-1, {row}"] = Figure.model_validate(judged["rank_1"])
            figures[f"{direction}: TAR at FAR {FAR}, {row}"] = Figure.model_validate(judged["tar_at_far"][FAR])
    seconds = sum(training["seconds"] for summary in summaries for training in summary["training"].values())
    return Result(
        name=name,
        command=command,
        date=today(),
        machine=machine(),
        seconds=round(seconds, 1),
        figures=figures,
        claims=_claims(summaries),
    )


def _claims(summaries: list[Summary]) -> list[Claim]:
    rank_1 = {_name(s): _share(s, lambda judged: judged["rank_1"]["value"]) for s in summaries}
    tar = {_name(s): _share(s, lambda judged: judged["tar_at_far"][FAR]["value"]) for s in summaries}
    worst, worst_tar = min(rank_1, key=rank_1.__getitem__), min(tar, key=tar.__getitem__)
    median = sorted(rank_1.values(), reverse=True)[(len(rank_1) - 1) // 2]
    of_weaker = "over the weaker native's"
    return [
        claim(f"promoted, worst direction ({worst}): rank-1 {of_weaker}", rank_1[worst], ">=", RANK_1_SHARE),
        claim(f"promoted, better half of the directions: least rank-1 {of_weaker}", median, ">=", RANK_1_SHARE_OF_HALF),
        claim(
            f"promoted, worst direction ({worst_tar}): TAR at FAR {FAR} {of_weaker}", tar[worst_tar], ">=", TAR_SHARE
        ),
    ]


def _name(summary: Summary) -> str:
    return f"{summary['source']} to {summary['target']}, {summary['winner']}"


def _share(summary: Summary, measure: Callable[[dict[str, Any]], float]) -> float:
    """The promoted method's measure over the weaker native's."""
    rows = summary["identification"]
    return measure(rows[summary["winner"]]) / min(measure(rows["source native"]), measure(rows["target native"]))
