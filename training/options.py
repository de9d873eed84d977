"""Options that several commands of `r3an` share, and how lists are written on its command line."""

from pathlib import Path
from typing import Annotated

import typer

from training.hardware import DEVICES_MAX, Precision

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]
Pairs = Annotated[Path, typer.Option(help="Paired features: a Parquet file or a folder of them.")]
Source = Annotated[str, typer.Option(help="Feature space to translate from.")]
Target = Annotated[str, typer.Option(help="Feature space to translate into.")]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1)]
SharedSeed = Annotated[
    int | None,
    typer.Option(
        min=0, max=2**31 - 1, help="Of all methods; unless given, the one that the TOML files name, or else 0."
    ),
]
Methods = Annotated[str, typer.Option(help="Comma-separated.")]
Configs = Annotated[list[Path] | None, typer.Option(help="TOML of one of the methods; may be repeated.")]
Devices = Annotated[
    int,
    typer.Option(min=1, max=DEVICES_MAX, help="GPUs, or processes where there is none; closed forms need only one."),
]
PrecisionOption = Annotated[Precision, typer.Option("--precision", help="Of a network's passes.")]


def names_in(text: str) -> list[str]:
    """The names of a comma-separated list."""
    return [name.strip() for name in text.split(",")]
