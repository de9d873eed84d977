"""Every ordered pair of a data set's encoders, all methods on each, several seeds: does any direction lose people?"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import permutations
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from benchmarks.results import Claim, Figure, Result, claim, result_of
from training.bakeoff import PROMOTED, run_bakeoff
from training.columns import feature_spaces
from training.config import load_configs
from training.contest import Contest
from training.lessons import facts_of, shipped_lesson
from training.pairs import fingerprint, parquet_files
from training.run_folder import SUMMARY_FILE

FAR = "1e-4"
RANK_1_SHARE, RANK_1_SHARE_OF_HALF, TAR_SHARE = 0.97, 0.99, 0.94
NATIVES = ("source native", "target native")

Summary = dict[str, Any]
OnContest = Callable[[int, int], None]  # contests done, in all


@dataclass(frozen=True, slots=True)
class _Task:
    contest: Contest
    folder: Path


def judge_directions(
    pairs: Path, methods: list[str], seeds: list[int], out: Path, workers: int, on_contest: OnContest
) -> list[Summary]:
    """A bake-off's summary for each seed and ordered pair, `workers` at a time on a core each.

    Finished bake-offs, finished and interrupted trainings in `out` are taken up.
    """
    tasks = list(_tasks(pairs, methods, seeds, out))
    summaries: dict[int, Summary] = {}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(_judge, task): number for number, task in enumerate(tasks)}
        try:
            for done, finished in enumerate(as_completed(running), 1):
                summaries[running[finished]] = finished.result()
                on_contest(done, len(tasks))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [summaries[number] for number in range(len(tasks))]


def _tasks(pairs: Path, methods: list[str], seeds: list[int], out: Path) -> Iterator[_Task]:
    for seed in seeds:
        configs = load_configs(methods, [], seed=seed)
        for source, target in permutations(feature_spaces(parquet_files(pairs)[0]), 2):
            yield _Task(Contest(pairs, source, target, configs), out / f"seed-{seed}" / f"{source}--{target}")


def _judge(task: _Task) -> Summary:
    finished = _finished(task)
    if finished is not None:
        return finished
    torch.set_num_threads(1)
    promoted = task.folder / PROMOTED
    outcome = run_bakeoff(task.contest, task.folder, promoted, lambda _: None, lambda _: lambda *_: None)
    summary: Summary = json.loads(outcome.summary.read_text(encoding="utf-8"))
    return summary


def _finished(task: _Task) -> Summary | None:
    """The summary of the same methods, settings and data, if it lies there."""
    file = task.folder / SUMMARY_FILE
    if not file.exists():
        return None
    summary: Summary = json.loads(file.read_text(encoding="utf-8"))
    data = fingerprint(parquet_files(task.contest.pairs))
    wanted = {
        str(config.method): (facts_of(config, shipped_lesson(config, task.folder)), data)
        for config in task.contest.configs
    }
    found = {name: (t["config"], t["data_fingerprint"]) for name, t in summary["training"].items()}
    return summary if found == wanted else None


def directions_result(name: str, command: str, summaries: list[Summary]) -> Result:
    """Rank-1 and TAR of every method and direction over the seeds, and the promoted ones beside the weaker native."""
    directions: dict[str, list[Summary]] = defaultdict(list)
    for summary in summaries:
        directions[f"{summary['source']} to {summary['target']}"].append(summary)
    figures: dict[str, float | Figure] = {}
    for direction, runs in directions.items():
        for row in runs[0]["identification"]:
            judged = [run["identification"][row] for run in runs]
            figures[f"{direction}: rank-1, {row}"] = _over_seeds([j["rank_1"] for j in judged])
            figures[f"{direction}: TAR at FAR {FAR}, {row}"] = _over_seeds([j["tar_at_far"][FAR] for j in judged])
    seconds = sum(training["seconds"] for summary in summaries for training in summary["training"].values())
    return result_of(
        name=name,
        command=command,
        seconds=seconds,
        figures=figures,
        claims=_claims(figures, directions),
    )


def _over_seeds(rates: list[dict[str, float]]) -> Figure:
    """The mean over the seeds, between the lowest and the highest end of their intervals: wider than 95 %.

    The seeds differ in their trainings alone; all are judged on one split of the identities.
    """
    return Figure(
        value=fmean(rate["value"] for rate in rates),
        low=min(rate["low"] for rate in rates),
        high=max(rate["high"] for rate in rates),
    )


def _claims(figures: dict[str, float | Figure], directions: dict[str, list[Summary]]) -> list[Claim]:
    promoted = {direction: _promoted(figures, direction, runs) for direction, runs in directions.items()}
    rank_1 = {f"{d}, {m}": _share(figures, f"{d}: rank-1", m) for d, m in promoted.items()}
    tar = {f"{d}, {m}": _share(figures, f"{d}: TAR at FAR {FAR}", m) for d, m in promoted.items()}
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


def _promoted(figures: dict[str, float | Figure], direction: str, runs: list[Summary]) -> str:
    """The method of the highest rank-1 over the seeds, on the people it is then judged by: it errs to the high side."""
    methods: list[str] = list(runs[0]["training"])
    return max(methods, key=lambda method: _value(figures[f"{direction}: rank-1, {method}"]))


def _share(figures: dict[str, float | Figure], rate: str, method: str) -> float:
    """The method's rate over the weaker native's."""
    return _value(figures[f"{rate}, {method}"]) / min(_value(figures[f"{rate}, {native}"]) for native in NATIVES)


def _value(figure: float | Figure) -> float:
    return figure.value if isinstance(figure, Figure) else figure
