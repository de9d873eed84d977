"""Cross-validation: every identity held out once, all folds judged together."""

from training.report.material import Material, Section
from training.report.tables import difference_table, judgement_table, not_in_table


def section(material: Material) -> Section:
    """A table like the bake-off's, over all folds."""
    title = "Held out in turn"
    text = (
        "Every identity is held out once and judged by a translator that never saw it; the folds are judged together."
    )
    given = material.run.crossvalidation
    if given is None:
        absent = "No cross-validation was given to this report with --crossvalidation."
        command = "r3an crossvalidate"
        return Section("crossvalidation", title, text, absent=absent, command=command)
    table = judgement_table(f"{given.folds} folds, judged together", "probe", given.identification)
    tables = (table, difference_table(given.rank_1_difference)) if given.rank_1_difference else (table,)
    return Section("crossvalidation", title, text, tables=tables, notes=not_in_table(given.diverged))
