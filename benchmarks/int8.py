"""What int8 would give: the convolutions of a trained R³AN quantised, judged on held-out identities, and timed."""

import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from benchmarks.results import Claim, Figure, Result, claim, figure_of, result_of, spread_of
from benchmarks.rounds import seconds_side_by_side
from contract.manifest import ONNX_INPUT, Identification, Interval
from contract.vectors import Features
from service.engines.in_process import in_pieces
from service.engines.onnxruntime import BATCH_ROWS
from training.errors import DataError
from training.exchange_formats import Run, run_onnx, to_onnx
from training.fit import load, load_for
from training.inference_form import inference_form
from training.proof import Stage, set_stage
from training.split import split_identities

CALIBRATION_ROWS, CALIBRATION_BATCH_ROWS = 1024, 64  # features that the ranges of activations are read from
BATCHES = (1, 8, 64)
MIDDLE = 64
BUDGET_S = 1.5
FASTER_GOAL = 1.5
FALSE_ACCEPTS = ("1e-3", "1e-4")


def int8_result(name: str, command: str, fitted: Path, pairs_path: Path) -> Result:
    """Judge and time a finished fit in float32 and int8; its convolutions alone are quantised, a scale a channel.

    Raises:
        DataError: no finished fit, or pairs other than those it was trained on.
    """
    started_at = time.monotonic()
    translator, facts = load(fitted)
    with tempfile.TemporaryDirectory() as folder:
        pairs = load_for(pairs_path, facts.source.id, facts.target.id, [], Path(folder))
        if pairs.fingerprint != facts.training.data_fingerprint:
            raise DataError(str(pairs_path), "is not the data this fit was trained on; its held-out identities differ")
        split = split_identities(pairs)
        seen = np.asarray(pairs.features[facts.source.id][split.training[:CALIBRATION_ROWS]])
        float32 = to_onnx(inference_form(translator), facts.source.dim)
        int8 = quantised(float32, seen, Path(folder))
        stage = set_stage(pairs, split, facts.source.id, facts.target.id)
        figures, claims = _compare(
            in_pieces(run_onnx(float32), BATCH_ROWS), in_pieces(run_onnx(int8), BATCH_ROWS), stage
        )
    seconds = time.monotonic() - started_at
    return result_of(
        name=name,
        command=command,
        seconds=seconds,
        figures=figures,
        claims=claims,
    )


class _Seen(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types; it asks for its own class
    """Batches of features, as the quantiser wants them."""

    def __init__(self, features: Features) -> None:
        starts = range(0, len(features), CALIBRATION_BATCH_ROWS)
        self._batches: Iterator[Features] = (features[start : start + CALIBRATION_BATCH_ROWS] for start in starts)

    def get_next(self) -> dict[str, Features] | None:
        """The next batch, or None."""
        batch = next(self._batches, None)
        return None if batch is None else {ONNX_INPUT: batch}


def quantised(model: bytes, seen: Features, folder: Path) -> bytes:
    """An ONNX model with int8 convolutions, whose activations range as those of features seen in training [N, ds]."""
    source, target = folder / "float32.onnx", folder / "int8.onnx"
    source.write_bytes(model)
    quantize_static(
        source,
        target,
        _Seen(seen),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],  # E's: G's transposed ones have no int8 kernel
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
    return target.read_bytes()


def _compare(float32: Run, int8: Run, stage: Stage) -> tuple[dict[str, float | Figure], list[Claim]]:
    probes = stage.raw_probes
    answers = {name: run(probes) for name, run in (("float32", float32), ("int8", int8))}
    judged = {name: stage.judge(answer) for name, answer in answers.items()}
    figures: dict[str, float | Figure] = {}
    for name, identification in judged.items():
        figures |= {f"{name}: {what}": figure_of(rate) for what, rate in _rates(identification).items()}
    figures["cosine of int8's translations with float32's, mean"] = float(
        (answers["float32"] * answers["int8"]).sum(axis=1).mean()
    )
    for rows in BATCHES:
        seconds = seconds_side_by_side([partial(run, probes[:rows]) for run in (float32, int8)], BUDGET_S)
        for name, rounds in zip(("float32", "int8"), seconds, strict=True):
            figures[f"{name}, batch {rows}: features/s"] = spread_of([rows / one for one in rounds])
        figures[f"batch {rows}: int8 over float32"] = spread_of([a / b for a, b in zip(*seconds, strict=True)])
    before, after = _rates(judged["float32"]), _rates(judged["int8"])
    claims = [
        claim(f"int8's {what}, against the lower end of float32's interval", after[what].value, ">=", before[what].low)
        for what in before
    ]
    faster = figures[f"batch {MIDDLE}: int8 over float32"]
    assert isinstance(faster, Figure)  # noqa: S101 - for the type checker
    return figures, [*claims, claim(f"batch {MIDDLE}: int8 over float32", faster.value, ">=", FASTER_GOAL)]


def _rates(identification: Identification) -> dict[str, Interval]:
    tars = {f"TAR at FAR {far}": identification.tar_at_far[far] for far in FALSE_ACCEPTS}
    return {"rank-1": identification.rank_1} | tars
