"""Results on standard output: JSON, and tables of who was identified how well."""

import json
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

DIVERGED = "diverged"


def print_bakeoff(summary: dict[str, Any]) -> None:
    """Every row of a bake-off's summary, the promoted one in green."""
    title = (
        f"{summary['source']} → {summary['target']}, {summary['probes']} probes, {summary['gallery_subjects']} subjects"
    )
    print_identification(title, summary["identification"], summary["winner"], summary.get("diverged"))


def print_expectation(expectation: dict[str, Any]) -> None:
    """Every method that stood to choice, the chosen one in green, and in a line what to expect of it."""
    print_bakeoff(expectation)
    translated = expectation["identification"][expectation["winner"]]
    tar = translated["tar_at_far"].get("1e-3")
    accepts = f" and TAR {_rate(tar)} at FAR 1e-3" if tar else ""
    Console().print(
        f"{expectation['winner']}: expect rank-1 {_rate(translated['rank_1'])} among {expectation['gallery_subjects']} "
        f"subjects{accepts} ({expectation['folds']}-fold cross-validation; a probe sought its {expectation['sought']})"
    )


def print_identification(
    title: str, rows: dict[str, Any], winner: str | None = None, diverged: dict[str, str] | None = None
) -> None:
    """A table of judgements by name, the winner's in green; below it why methods that diverged have none."""
    table = Table("probe", "rank-1", "TAR@FAR 1e-3", "FNIR@FPIR 0.01", title=title)
    for name, row in rows.items():
        rates = (row["rank_1"], row["tar_at_far"].get("1e-3"), row["fnir_at_fpir"].get("0.01"))
        style = "bold green" if name == winner else None
        table.add_row(name, *(_rate(rate) for rate in rates), style=style)
    for name in diverged or {}:
        table.add_row(name, DIVERGED, "-", "-")
    Console().print(table)
    _print_reasons({f"{name} {DIVERGED}": reason for name, reason in (diverged or {}).items()})


def print_learning_curve(title: str, points: list[dict[str, Any]], diverged: list[dict[str, Any]]) -> None:
    """A row for each kind of pairs, method and number of rows; below it why what diverged has no figures."""
    table = Table("pairs", "method", "rows", "rank-1", "TAR@FAR 1e-4", "seconds", title=title)
    for point in points:
        rates = (point["rank_1"], point["tar_at_far"].get("1e-4"))
        texts = (_rate(rate) for rate in rates)
        table.add_row(point["kind"], point["method"], f"{point['rows']:,}", *texts, f"{point['seconds']:.1f}")
    for failed in diverged:
        table.add_row(failed["kind"], failed["method"], f"{failed['rows']:,}", DIVERGED, "-", "-")
    Console().print(table)
    _print_reasons({f"{f['method']} {DIVERGED} ({f['kind']}, {f['rows']:,} rows)": f["reason"] for f in diverged})


def _print_reasons(reasons: dict[str, str]) -> None:
    for what, reason in reasons.items():
        Console().print(f"{what}: {reason}", markup=False, highlight=False)


def _rate(rate: dict[str, float] | None) -> str:
    return "-" if rate is None else f"{rate['value']:.4f} [{rate['low']:.4f}, {rate['high']:.4f}]"


def print_sameness(same_weights: bool | None) -> None:
    """Whether a training that was made again has the weights that its manifest names."""
    unknown = "the manifest does not say which weights it had"
    typer.echo({True: "same weights", False: "not the same weights", None: unknown}[same_weights])


def print_result(result: dict[str, Any], as_json: bool) -> None:
    """One JSON object, for programs on one line and for people laid out."""
    if as_json:
        typer.echo(json.dumps(result))
    else:
        Console().print_json(json.dumps(result))
