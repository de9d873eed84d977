"""What a report is made from, as it lies in files: a bake-off's folder, a learning curve, a cross-validation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from contract.calibration import Calibration
from contract.errors import ManifestError
from contract.manifest import Identification, Interval, TranslatorManifest, read_manifest
from training.errors import DataError
from training.history import HISTORY_FILE
from training.methods.registry import METHODS
from training.report.json_file import parse
from training.run_folder import CANDIDATES, RUNS, SUMMARY_FILE

ITERATIVE = frozenset(str(method) for method, entry in METHODS.items() if not entry.closed_form)
NATIVES = ("source native", "target native")  # rows of every judgement: each encoder's own probes in its own gallery


class _Read(BaseModel):
    """Written by another command, which may say more than a report shows."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class TrainingFacts(_Read):
    """What a method was trained on, and for how long."""

    rows: int
    identities: int
    seconds: float
    data_fingerprint: str


class Difference(_Read):
    """A rate minus another one on the same probes, with its 95 % interval."""

    value: float
    low: float
    high: float


class Abstention(_Read):
    """Rank-1 over the probes that are kept when the least confident are sent away."""

    kept: list[float]
    rank_1: list[float]
    low: list[float] = Field(default_factory=list)  # of the 95 % band
    high: list[float] = Field(default_factory=list)

    @model_validator(mode="after")
    def _lengths_agree(self) -> "Abstention":
        if not self.kept or {len(self.rank_1), len(self.low) or len(self.kept), len(self.high) or len(self.kept)} != {
            len(self.kept)
        }:
            raise ValueError("is empty, or its parts have different lengths")
        return self


class Summary(_Read):
    """`bakeoff.json`. What later versions added is empty in an older one."""

    source: str
    target: str
    winner: str
    probes: int
    gallery_subjects: int
    distractors: int
    training: dict[str, TrainingFacts]
    identification: dict[str, Identification]
    cmc: dict[str, Annotated[list[float], Field(min_length=1)]] = Field(min_length=1)
    rank_1_difference: dict[str, dict[str, Difference]] = Field(default_factory=dict)
    gallery_direction: dict[str, Identification] = Field(default_factory=dict)
    abstention: dict[str, Abstention] = Field(default_factory=dict)
    calibration_check: dict[str, dict[str, float]] = Field(default_factory=dict)  # method -> FMR -> observed
    auroc: dict[str, Interval | float] = Field(default_factory=dict)
    diverged: dict[str, str] = Field(default_factory=dict)  # method -> what became of its training

    @model_validator(mode="after")
    def _parts_agree(self) -> "Summary":
        if self.winner not in self.training:
            raise ValueError(f"the winner {self.winner} is none of the trained methods")
        for name in (*self.training, *NATIVES):
            if name not in self.identification:
                raise ValueError(f"identification has no row of {name}")
        return self

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that were trained, best rank-1 first."""
        return tuple(sorted(self.training, key=lambda name: -self.identification[name].rank_1.value))


class LearningPoint(_Read):
    """One method trained on one number of rows of one kind of pairs."""

    kind: str
    method: str
    rows: int = Field(ge=1)
    identities: int
    rank_1: Interval


class Diverged(_Read):
    """A training of a learning curve that has no point, and why."""

    kind: str
    method: str
    rows: int
    reason: str


class LearningCurve(_Read):
    """`learning_curve.json`."""

    source: str
    target: str
    data_fingerprint: str
    points: list[LearningPoint]
    diverged: list[Diverged] = Field(default_factory=list)


class CrossValidation(_Read):
    """`crossvalidation.json`: rows as those of a bake-off's summary."""

    source: str
    target: str
    data_fingerprint: str
    folds: int
    identification: dict[str, Identification]
    rank_1_difference: dict[str, dict[str, Difference]] = Field(default_factory=dict)
    diverged: dict[str, str] = Field(default_factory=dict)  # method -> what became of its training


class HistoryPoint(_Read):
    """Means of the losses over the stretch of iterations that ends here."""

    iteration: int = Field(ge=1)
    losses: dict[str, FiniteFloat] = Field(min_length=1)


class LossHistory(_Read):
    """`history.json` of one training."""

    points: list[HistoryPoint] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Run:
    """A finished bake-off's files, and those given beside it."""

    folder: Path
    summary: Summary
    histories: dict[str, LossHistory]  # of the iterative methods, those that diverged too
    lost_histories: dict[str, str]  # of those that should have one: what is the matter with its file
    calibrations: dict[str, Calibration]
    target_calibration: Calibration | None
    learning_curve: LearningCurve | None = None
    crossvalidation: CrossValidation | None = None


def read_run(folder: Path, *, learning_curve: Path | None = None, crossvalidation: Path | None = None) -> Run:
    """Read a bake-off's folder. Raises DataError naming the file that is missing, damaged or no such file."""
    file = folder / SUMMARY_FILE
    if not file.is_file():
        raise DataError(str(file), "no such file; `r3an bakeoff` writes it at its end")
    summary = parse(file, Summary)
    histories, lost = _histories(folder, summary)
    manifests = {
        name: _manifest(folder / CANDIDATES / name / f"{summary.source}--{summary.target}") for name in summary.methods
    }
    found = {name: manifest for name, manifest in manifests.items() if manifest is not None}
    curve = parse(learning_curve, LearningCurve) if learning_curve else None
    folds = parse(crossvalidation, CrossValidation) if crossvalidation else None
    for beside, path in ((curve, learning_curve), (folds, crossvalidation)):
        if beside is not None and path is not None:
            _check_same(summary, file, beside, path)
    return Run(
        folder=folder,
        summary=summary,
        histories=histories,
        lost_histories=lost,
        calibrations={name: m.calibration for name, m in found.items() if m.calibration is not None},
        target_calibration=next((m.target_calibration for m in found.values()), None),
        learning_curve=curve,
        crossvalidation=folds,
    )


def _histories(folder: Path, summary: Summary) -> tuple[dict[str, LossHistory], dict[str, str]]:
    """What can be read, and why the rest cannot: a curve less must not keep a finished bake-off from its page."""
    histories: dict[str, LossHistory] = {}
    lost: dict[str, str] = {}
    for name in (*summary.methods, *summary.diverged):
        file = folder / RUNS / name / HISTORY_FILE
        expected = name in ITERATIVE and name in summary.training  # one that diverged at once has no losses
        if not expected and not file.exists():
            continue
        try:
            histories[name] = parse(file, LossHistory)
        except DataError as error:
            lost[name] = str(error)
    return histories, lost


def _check_same(summary: Summary, summary_file: Path, beside: LearningCurve | CrossValidation, file: Path) -> None:
    """Refuse what is of another direction or of other pairs: on one page both would be taken for the same."""
    if (beside.source, beside.target) != (summary.source, summary.target):
        reason = f"is of {beside.source} to {beside.target}, the bake-off of {summary.source} to {summary.target}"
        raise DataError(str(file), reason)
    if beside.data_fingerprint != summary.training[summary.winner].data_fingerprint:
        raise DataError(str(file), f"was made from other data than {summary_file}")


def _manifest(translator: Path) -> TranslatorManifest | None:
    """The newest version's manifest; none where the candidate was removed."""
    versions = sorted((int(path.name), path) for path in translator.glob("*") if path.name.isdigit())
    if not versions:
        return None
    try:
        return read_manifest(versions[-1][1])
    except ManifestError as error:
        raise DataError(str(versions[-1][1]), str(error)) from error
