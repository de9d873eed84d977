"""The paper's tables on our data: a row that did not converge, and what is claimed of the others."""

from typing import Any

from benchmarks.tables import SAME_BUDGET, Studies, tables_result
from contract.manifest import Method
from training.config import load_config, load_configs


def judged(value: float) -> dict[str, Any]:
    return {"rank_1": {"value": value, "low": value, "high": value}}


def studies(arch5: float, r3an: float) -> Studies:
    rank_1 = {"fc": 0.5, "arch5": arch5, "r3an": r3an}
    architectures: dict[str, Any] = {
        "identification": {row: judged(value) for row, value in rank_1.items()},
        "gallery_direction": {row: judged(value - 0.1) for row, value in rank_1.items()},
        "training": {row: {"seconds": 2.0, "config": {"iterations": 3, "batch_rows": 5}} for row in rank_1},
        "diverged": {"arch7": "arch7 did not converge"},
        "rank_1_difference": {"r3an": {"fc": judged(0.1)["rank_1"] | {"share": 1.0}}},
    }
    point = {"method": "fc", "rows": 7, "kind": "clean", "seconds": 1.0} | judged(0.4)
    return Studies(architectures, {"points": [point]})


def test_an_architecture_that_did_not_converge_is_a_figure_and_a_claim() -> None:
    result = tables_result("command", studies(arch5=0.6, r3an=0.7))
    assert result.figures["Table 3: arch7 converged (1) or not (0)"] == 0
    assert result.figures["Table 3: arch5 converged (1) or not (0)"] == 1
    assert "Table 3: arch1 converged (1) or not (0)" not in result.figures
    assert [c.holds for c in result.claims] == [True, True, True]
    assert result.figures["Table 3: rows presented, fc"] == 15
    assert result.seconds == 7.0


def test_r3an_behind_one_of_its_parts_is_a_claim_that_does_not_hold() -> None:
    claims = tables_result("command", studies(arch5=0.8, r3an=0.7)).claims
    assert claims[0].what == "r3an: rank-1 minus that of the best other architecture (arch5)"
    assert [c.holds for c in claims] == [False, True, True]


def test_every_row_of_table_3_has_one_budget() -> None:
    paths = {f"{path}_weight" for path in ("reconstruction", "adversarial", "representation", "regression")}
    fc, ours = load_configs(["fc", "r3an"], SAME_BUDGET, seed=0)
    theirs = load_config(Method.ARCH5, seed=0)
    assert ours.model_dump(exclude={"method", *paths}) == theirs.model_dump(exclude={"method", *paths})
    assert (fc.iterations, fc.batch_rows) == (theirs.iterations, theirs.batch_rows)
