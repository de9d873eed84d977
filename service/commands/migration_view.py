"""How a plan and a migration look in a terminal."""

from typing import Any, Final

from rich.console import Console
from rich.table import Table

FMR: Final = "1e-3"  # the strictest that few held-out people can measure


def print_plan(plan: dict[str, Any]) -> None:
    """What a migration needs, and what is expected of each kind of its faces once they are translated.

    New probes are native ones of the target's encoder, old ones those of the faces' own, translated too.
    """
    table = _table(
        "enrolled in",
        "faces",
        "translator",
        "rank-1, new probes",
        f"TAR at FMR {FMR}, new probes",
        "rank-1, old probes",
        "rank-1, new encoder alone",
        "low confidence",
    )
    for origin in plan["origins"]:
        expected, low = origin["expected"] or {}, origin["low_confidence"]
        table.add_row(
            origin["model"],
            f"{origin['faces']:,}",
            origin["translator"] or "native",
            _rank_1(expected.get("native_probes")),
            _accepted(expected.get("native_probes")),
            _rank_1(expected.get("translated_probes")),
            _rank_1(expected.get("target_native")),
            "-" if low is None else f"{low['share']:.1%} [{low['low']:.1%}, {low['high']:.1%}]",
        )
    console = Console()
    console.print(table)
    rate = plan["faces_per_second"]
    time_needed = "" if rate is None else f", {plan['seconds']:,.0f} s at {rate:,.0f} faces/s"
    console.print(
        f"{plan['faces_to_translate']:,} faces to translate{time_needed}; {plan['bytes_needed']:,} bytes needed"
    )


def print_migrations(answer: dict[str, Any]) -> None:
    """One line for each."""
    table = _table("id", "gallery", "route", "state", "changed")
    for found in answer["migrations"]:
        route = f"{found['source_model']} → {found['target_model']}"
        table.add_row(found["id"], found["gallery"], route, found["state"], found["changed_at"])
    console = Console()
    console.print(table)
    if answer["unreachable"]:
        console.print(f"when last seen, for they cannot be reached now: {', '.join(answer['unreachable'])}")


def print_migration(migration: dict[str, Any]) -> None:
    """Where it is, how far it has come, and what the shadow has seen."""
    console, table = Console(), Table(show_header=False)
    for name in ("id", "gallery", "source_model", "target_model", "state", "reason", "created_at", "changed_at"):
        if migration[name] is not None:
            table.add_row(name.replace("_", " "), str(migration[name]))
    if progress := migration["progress"]:
        table.add_row("faces in the other copy", f"{progress['filled']:,} of {progress['faces']:,}")
        if progress["unserved"]:
            table.add_row("faces that searches miss", f"{progress['unserved']:,}")
        if progress["seconds_left"] is not None:
            table.add_row(
                "seconds left", f"{progress['seconds_left']:,.0f} at {progress['faces_per_second']:,.0f} faces/s"
            )
    shadow = migration["shadow"]
    if shadow["searches"]:
        table.add_row("searches answered by both", f"{shadow['searches']:,} ({shadow['compared']:,} probes compared)")
        for name in ("top_1_agreement", "top_k_overlap", "rank_changes", "similarity_shift"):
            if shadow[name] is not None:
                table.add_row(name.replace("_", " "), f"{shadow[name]:.4f}")
    console.print(table)


def _table(first: str, *others: str) -> Table:
    """A table that folds what does not fit; the first column, which people copy, stays in one piece."""
    table = Table()
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, overflow="fold")
    return table


def _rank_1(identification: dict[str, Any] | None) -> str:
    return "-" if identification is None else _interval(identification["rank_1"])


def _accepted(identification: dict[str, Any] | None) -> str:
    rate = (identification or {}).get("tar_at_far", {}).get(FMR)
    return "-" if rate is None else _interval(rate)


def _interval(rate: dict[str, float]) -> str:
    return f"{rate['value']:.4f} [{rate['low']:.4f}, {rate['high']:.4f}]"
