"""All methods at a glance, and the tables with every figure."""

from matplotlib.figure import Figure

from contract.manifest import Identification, Interval
from training.report.headline import bias_of_choice
from training.report.material import Material, Picture, Section
from training.report.run import NATIVES, Summary
from training.report.style import line_style, new_figure, png
from training.report.tables import bakeoff_table, difference_table, gallery_table, not_in_table

ROW_HEIGHT = 0.3  # inches
FAR_MIN = 1e-4  # stricter rates hang on a handful of impostor pairs, and their intervals drown all else


def section(material: Material) -> Section:
    """Rank-1 and verification of every method beside both natives."""
    summary = material.run.summary
    rows = overview_rows(summary)
    said = "; ".join(f"{name} {row.rank_1.value:.3f}" for name, row in rows.items())
    return Section(
        id="judgement",
        title="Who finds the right person",
        text="A dot is the rate, its bar the 95 % interval over identities; further right is better. The dashed line "
        "is what the target encoder manages with its own features.",
        pictures=(Picture("overview", f"Rank-1 with intervals: {said}.", png(draw(rows))),),
        tables=(bakeoff_table(summary),),
        notes=(
            *bias_of_choice(summary),
            "untranslated compares the source's vectors with the target's gallery as they are, cut or padded to its "
            "dimension: chance. A dash stands where the number of comparisons cannot support a rate.",
            *not_in_table(summary.diverged),
        ),
    )


def differences_section(material: Material) -> Section:
    """Which method is better than which, beyond doubt."""
    text = (
        "Paired over the same identities. Green: the row is better, and its interval lies above zero. Red: it is "
        "worse. Without colour the data cannot tell the two apart. Each interval is one of 95 % and uncorrected "
        "for their number: of twenty pairs of equally good methods, about one is coloured by chance."
    )
    differences = material.run.summary.rank_1_difference
    title = "Is one better than another"
    if not differences:
        absent = "This bake-off's summary holds no paired differences between all methods; run it again to have them."
        return Section("differences", title, text, absent=absent, command="r3an bakeoff")
    return Section("differences", title, text, tables=(difference_table(differences),))


def gallery_section(material: Material) -> Section:
    """The other direction: the enrolled faces are translated, the probes are native."""
    text = "An old gallery translated once into the new space, searched with the new encoder's own probes."
    title = "A translated gallery"
    if not material.run.summary.gallery_direction:
        absent = "This bake-off's summary holds no judgement of translated galleries; run it again to have it."
        return Section("gallery", title, text, absent=absent, command="r3an bakeoff")
    return Section("gallery", title, text, tables=(gallery_table(material.run.summary),))


def overview_rows(summary: Summary) -> dict[str, Identification]:
    """Methods from the best, then both natives. Chance is left to the table: it would squeeze all others together."""
    return {name: summary.identification[name] for name in (*summary.methods, *NATIVES)}


def strictest_far(rows: dict[str, Identification]) -> str | None:
    """The lowest false-accept rate that every row has, down to 1e-4; None where there is none in common."""
    common = set.intersection(*(set(row.tar_at_far) for row in rows.values()))
    return min((far for far in common if float(far) >= FAR_MIN), key=float, default=None)


def draw(rows: dict[str, Identification]) -> Figure:
    """Rates with intervals, one row a method."""
    far = strictest_far(rows)
    panels: dict[str, dict[str, Interval]] = {"rank-1": {name: row.rank_1 for name, row in rows.items()}}
    if far is not None:
        panels[f"TAR at FAR {far}"] = {name: row.tar_at_far[far] for name, row in rows.items()}
    figure = new_figure(0.9 + ROW_HEIGHT * len(rows))
    for axes, (title, rates) in zip(
        figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels.items(), strict=True
    ):
        for position, (name, rate) in enumerate(rates.items()):
            reach = [[rate.value - rate.low], [rate.high - rate.value]]
            axes.errorbar(
                rate.value, position, xerr=reach, fmt="o", color=line_style(name)["color"], markersize=5, capsize=3
            )
        axes.axvline(rates["target native"].value, **line_style("target native"), linewidth=0.9, zorder=0)
        axes.set(title=title, yticks=range(len(rates)), yticklabels=list(rates), ylim=(len(rates) - 0.5, -0.5))
        axes.grid(axis="y", visible=False)
    return figure
