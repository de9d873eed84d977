"""The paper's Tables 3, 4 and 6 on our data: architectures, pairs of another domain, translated galleries."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import Claim, Figure, Result, claim, result_of
from contract.manifest import Method
from training.bakeoff import PROMOTED, run_bakeoff
from training.config import load_config, load_configs
from training.contest import Contest, OnMethod, OnStage
from training.learning_curve import Curve, draw_learning_curve
from training.training_sets import Kind

CONFIGS = Path(__file__).parent / "configs"
SAME_BUDGET = [CONFIGS / "fc-of-table-3.toml", CONFIGS / "r3an-of-table-3.toml"]
ARCHITECTURES = [method for method in Method if method.startswith("arch")]
TABLE_3 = ["fc", *map(str, ARCHITECTURES), "r3an"]
TABLE_4 = ["fc", "residual", "r3an"]  # `residual` as shipped, on a budget of its own

Summary = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Studies:
    """The summaries of the bake-off of architectures and of the trainings on another domain."""

    architectures: Summary
    domain: Summary


def study(pairs: Path, source: str, target: str, out: Path, on_stage: OnStage, on_method: OnMethod) -> Studies:
    """Train and judge; finished and interrupted trainings in `out` are taken up."""
    contest = Contest(pairs, source, target, load_configs(TABLE_3, SAME_BUDGET, seed=0))
    outcome = run_bakeoff(contest, out / "table-3", out / "table-3" / PROMOTED, on_stage, on_method)
    domain = Contest(pairs, source, target, load_configs(TABLE_4, SAME_BUDGET, seed=0))
    curve = Curve(rows=(), kinds=(Kind.DARKER_FACES,), other_domain=None, seed=0)
    return Studies(
        architectures=json.loads(outcome.summary.read_text(encoding="utf-8")),
        domain=draw_learning_curve(domain, curve, out / "table-4", on_stage, on_method),
    )


def tables_result(command: str, studies: Studies) -> Result:
    """Rank-1 of every row of the tables, and what the paper says of them."""
    table_3, figures = studies.architectures, dict[str, float | Figure]()
    for row, judged in table_3["identification"].items():
        figures[f"Table 3: rank-1, {row}"] = Figure.model_validate(judged["rank_1"])
    for method in ARCHITECTURES:
        if load_config(method).regression_weight:  # without it nothing says what convergence is
            figures[f"Table 3: {method} converged (1) or not (0)"] = float(method not in table_3["diverged"])
    for method, training in table_3["training"].items():
        rows = training["config"]["iterations"] * training["config"]["batch_rows"]
        figures[f"Table 3: rows presented, {method}"] = float(rows)
    for method, difference in table_3["rank_1_difference"].get("r3an", {}).items():
        interval = {key: difference[key] for key in ("value", "low", "high")}
        figures[f"Table 3: rank-1 of r3an minus {method}, paired"] = Figure.model_validate(interval)
    for point in studies.domain["points"]:
        label = f"{point['method']} trained on {point['rows']} rows of {point['kind']} pairs"
        figures[f"Table 4: rank-1, {label}"] = Figure.model_validate(point["rank_1"])
    for method, judged in table_3["gallery_direction"].items():
        figures[f"Table 6: rank-1, gallery translated by {method}"] = Figure.model_validate(judged["rank_1"])
    seconds = [t["seconds"] for t in table_3["training"].values()] + [p["seconds"] for p in studies.domain["points"]]
    return result_of(
        name="tables",
        command=command,
        seconds=sum(seconds),
        figures=figures,
        claims=_claims(table_3),
    )


def _claims(table_3: Summary) -> list[Claim]:
    """What the paper's Table 3 says: every path adds, all of them together add most, and Arch7 does not converge."""
    rank_1 = {row: judged["rank_1"]["value"] for row, judged in table_3["identification"].items()}
    best, name = max((rank_1[m], m) for m in map(str, ARCHITECTURES) if m in rank_1)
    return [
        claim(f"r3an: rank-1 minus that of the best other architecture ({name})", rank_1["r3an"] - best, ">=", 0.0),
        claim("r3an: rank-1 minus fc's, on this budget", rank_1["r3an"] - rank_1["fc"], ">=", 0.0),
        claim("arch7 converged (the paper: not)", float("arch7" in rank_1), "<=", 0.0),
    ]
