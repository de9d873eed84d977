"""The bake-off on given pairs as a committed result: every method beside both natives and chance."""

import json
from typing import Any

from benchmarks.results import Claim, Figure, Result, claim, machine, today
from training.bakeoff import Outcome

PAPER_CUT = 0.75  # section 5.2: R³AN cuts the error of the plain MLP by 75 %
PROMOTED_SHARE = 0.97


def quality_result(name: str, command: str, outcome: Outcome) -> Result:
    """Read a bake-off's summary into figures and claims."""
    summary = json.loads(outcome.summary.read_text(encoding="utf-8"))
    figures: dict[str, float | Figure] = {
        "probes": float(summary["probes"]),
        "gallery subjects": float(summary["gallery_subjects"]),
        "distractors": float(summary["distractors"]),
    }
    for row, identification in summary["identification"].items():
        figures[f"rank-1, {row}"] = Figure.model_validate(identification["rank_1"])
        for far, rate in identification["tar_at_far"].items():
            figures[f"TAR at FAR {far}, {row}"] = Figure.model_validate(rate)
        for fpir, rate in identification["fnir_at_fpir"].items():
            figures[f"FNIR at FPIR {fpir}, {row}"] = Figure.model_validate(rate)
    for method, difference in summary["rank_1_behind_winner"].items():
        figures[f"rank-1 of {summary['winner']} minus {method}, paired"] = Figure.model_validate(difference)
    for method, training in summary["training"].items():
        figures[f"training seconds, {method}"] = float(training["seconds"])
    return Result(
        name=name,
        command=command,
        date=today(),
        machine=machine(),
        seconds=round(sum(t["seconds"] for t in summary["training"].values()), 1),
        figures=figures,
        claims=_claims(summary),
    )


def _claims(summary: dict[str, Any]) -> list[Claim]:
    rank_1 = {row: i["rank_1"]["value"] for row, i in summary["identification"].items()}
    weaker_native = min(rank_1["source native"], rank_1["target native"])
    winner = summary["winner"]
    claims = [
        claim(
            f"{winner} (promoted): rank-1 over the weaker native's",
            rank_1[winner] / weaker_native,
            ">=",
            PROMOTED_SHARE,
        )
    ]
    if "r3an" in rank_1:
        rivals = [m for m in ("fc", "affine", "procrustes") if m in rank_1]
        claims += [claim(f"r3an: rank-1 minus {m}'s", rank_1["r3an"] - rank_1[m], ">=", 0.0) for m in rivals]
    if "r3an" in rank_1 and rank_1.get("fc", 1.0) < 1.0:
        cut = 1 - (1 - rank_1["r3an"]) / (1 - rank_1["fc"])
        claims.append(claim("r3an: share of fc's rank-1 errors removed (the paper says 0.75)", cut, ">=", PAPER_CUT))
    return claims
