"""Take up a finished bake-off's translators and have them translate the held-out faces again."""

from pathlib import Path

from contract.manifest import Method
from training.columns import schema_of
from training.errors import DataError
from training.fit import FittedFacts, load, load_for
from training.methods.base import rows_sha256
from training.models.translator import translate
from training.pairs import IMAGE, OnRows, fingerprint, parquet_files
from training.proof import set_stage
from training.report.material import Evidence
from training.report.paintings import generator_of, paint
from training.report.run import Run
from training.run_folder import RUNS
from training.split import Split, split_identities

NO_PAINTER = "No method of this run paints faces."
NO_IMAGES = "The pairs carry no images."


def gather(run: Run, pairs_path: Path, copy_dir: Path, on_rows: OnRows) -> Evidence:
    """Read the pairs a run was made from and translate their held-out probes with every method.

    Raises:
        DataError: unusable pairs, others than the run was made from, or a method whose fit is gone.
    """
    summary = run.summary
    fits = {name: load(run.folder / RUNS / name) for name in summary.methods}
    painters = {name: translator for name, (translator, _) in fits.items() if generator_of(translator) is not None}
    files = parquet_files(pairs_path)
    if {facts.training.data_fingerprint for _, facts in fits.values()} != {fingerprint(files)}:
        raise DataError(str(pairs_path), "is not the data this bake-off was made from; its held-out identities differ")
    has_images = IMAGE in schema_of(files[0]).names
    needing = [Method(name) for name in painters] if has_images else []
    pairs = load_for(pairs_path, summary.source, summary.target, needing, copy_dir, on_rows)
    split = split_identities(pairs)
    for _, facts in fits.values():
        _check_held_out(pairs_path, split, facts)
    stage = set_stage(pairs, split, summary.source, summary.target)
    translated = {name: translate(translator, stage.raw_probes) for name, (translator, _) in fits.items()}
    if not painters or not has_images:
        return Evidence(stage, translated, no_paintings=NO_IMAGES if painters else NO_PAINTER)
    return Evidence(stage, translated, paint(pairs, summary.source, split.held_out, painters))


def _check_held_out(pairs_path: Path, split: Split, facts: FittedFacts) -> None:
    """A report shows and judges nobody who was trained on."""
    if facts.training.rows_sha256 not in (None, rows_sha256(split.training)):
        raise DataError(str(pairs_path), f"{facts.method} was trained on other identities than these leave to training")
