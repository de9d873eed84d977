"""The bake-off on given pairs as a committed result: every method beside both natives and chance."""

import json
from pathlib import Path
from typing import Any

from benchmarks.results import Claim, Figure, Result, claim, result_of
from training.bakeoff import Outcome
from training.config import FitConfig
from training.lessons import read_facts

PAPER_CUT = 0.75  # section 5.2: R³AN cuts the error of the plain MLP by 75 %
PROMOTED_SHARE = 0.97
STUDENT_LOSS_MAX = 0.003
PRESENTED_FACES = 150_000
CHALLENGERS = ("r3an", "r3an-linear")

Summary = dict[str, Any]


def quality_result(name: str, command: str, outcome: Outcome) -> Result:
    """Read a bake-off's summary into figures and claims."""
    summary = json.loads(outcome.summary.read_text(encoding="utf-8"))
    figures: dict[str, float | Figure] = {
        "probes": float(summary["probes"]),
        "gallery subjects": float(summary["gallery_subjects"]),
        "distractors": float(summary["distractors"]),
    }
    for row, identification in summary["identification"].items():
        figures |= _rates(row, identification)
    for row, identification in summary["gallery_direction"].items():
        figures[f"rank-1, gallery translated by {row}"] = Figure.model_validate(identification["rank_1"])
    for method, difference in summary["rank_1_behind_winner"].items():
        figures[f"rank-1 of {summary['winner']} minus {method}, paired"] = Figure.model_validate(difference)
    for challenger in CHALLENGERS:
        for rival, difference in summary["rank_1_difference"].get(challenger, {}).items():
            if summary["winner"] not in (challenger, rival):
                figures[f"rank-1 of {challenger} minus {rival}, paired"] = _difference(difference)
    for method, training in summary["training"].items():
        figures[f"training seconds, {method}"] = float(training["seconds"])
    for challenger, config in _challengers(summary).items():
        figures[f"rows presented, {challenger}"] = float(config.iterations * config.batch_rows)
        figures[f"of them real faces, {challenger}"] = float(config.presented_faces)
        figures[f"of those with their photos, {challenger}"] = float(config.presented_photos)
    return result_of(
        name=name,
        command=command,
        seconds=sum(t["seconds"] for t in summary["training"].values()),
        figures=figures,
        claims=_claims(summary),
    )


def _rates(row: str, identification: Summary) -> dict[str, float | Figure]:
    rates: dict[str, float | Figure] = {f"rank-1, {row}": Figure.model_validate(identification["rank_1"])}
    for far, rate in identification["tar_at_far"].items():
        rates[f"TAR at FAR {far}, {row}"] = Figure.model_validate(rate)
    for fpir, rate in identification["fnir_at_fpir"].items():
        rates[f"FNIR at FPIR {fpir}, {row}"] = Figure.model_validate(rate)
    return rates


def _difference(difference: dict[str, float]) -> Figure:
    return Figure(**{key: difference[key] for key in ("value", "low", "high")})


def _challengers(summary: Summary) -> dict[str, FitConfig]:
    trained = summary["training"]
    return {name: read_facts(trained[name]["config"], Path())[0] for name in CHALLENGERS if name in trained}


def _claims(summary: Summary) -> list[Claim]:
    rank_1 = {row: judged["rank_1"]["value"] for row, judged in summary["identification"].items()}
    weaker_native, winner = min(rank_1["source native"], rank_1["target native"]), summary["winner"]
    of_weaker = f"{winner} (promoted): rank-1 over the weaker native's"
    claims = [claim(of_weaker, rank_1[winner] / weaker_native, ">=", PROMOTED_SHARE)]
    for challenger in (name for name in CHALLENGERS if name in rank_1):
        rivals = [name for name in ("fc", "affine", "procrustes", "residual") if name in rank_1]
        claims += [
            claim(f"{challenger}: rank-1 minus {rival}'s", rank_1[challenger] - rank_1[rival], ">=", 0.0)
            for rival in rivals
        ]
        if rank_1.get("fc", 1.0) < rank_1["target native"]:
            excess = {name: rank_1["target native"] - rank_1[name] for name in (challenger, "fc")}
            what = f"{challenger}: share removed of fc's errors beyond the target native's (the paper says 0.75)"
            claims.append(claim(what, 1 - excess[challenger] / excess["fc"], ">=", PAPER_CUT))
    claims += [
        claim(f"{name}: real faces presented in training", float(config.presented_faces), ">=", float(PRESENTED_FACES))
        for name, config in _challengers(summary).items()
    ]
    teacher = summary["training"].get("distilled", {}).get("config", {}).get("teacher")
    if teacher in rank_1:
        loss = rank_1[teacher] - rank_1["distilled"]
        claims.append(claim(f"distilled: rank-1 behind its teacher's ({teacher})", loss, "<=", STUDENT_LOSS_MAX))
    return claims
