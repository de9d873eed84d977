"""Results on standard output: JSON, and the table of a bake-off."""

import json
from typing import Any

import typer
from rich.console import Console
from rich.table import Table


def print_bakeoff(summary: dict[str, Any]) -> None:
    """Every row of a bake-off's summary, the promoted one in green."""
    Console().print(_table(summary))


def _table(summary: dict[str, Any]) -> Table:
    title = (
        f"{summary['source']} → {summary['target']}, {summary['probes']} probes, {summary['gallery_subjects']} subjects"
    )
    table = Table("probe", "rank-1", "TAR@FAR 1e-3", "FNIR@FPIR 0.01", title=title)
    for name, row in summary["identification"].items():
        rates = (row["rank_1"], row["tar_at_far"].get("1e-3"), row["fnir_at_fpir"].get("0.01"))
        style = "bold green" if name == summary["winner"] else None
        table.add_row(name, *(_rate(rate) for rate in rates), style=style)
    return table


def _rate(rate: dict[str, float] | None) -> str:
    return "-" if rate is None else f"{rate['value']:.4f} [{rate['low']:.4f}, {rate['high']:.4f}]"


def print_result(result: dict[str, Any], as_json: bool) -> None:
    """One JSON object, for programs on one line and for people laid out."""
    if as_json:
        typer.echo(json.dumps(result))
    else:
        Console().print_json(json.dumps(result))
