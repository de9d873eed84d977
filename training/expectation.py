"""What quality to expect of a fit whose method was chosen by cross-validation; lies beside the fit's weights."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.calibration import Calibration
from contract.confidence import ConfidenceModel
from contract.manifest import Identification, Method, Quality, Training
from training.errors import DataError
from training.workspace import write_atomically

EXPECTATION_FILE = "expectation.json"


class Expectation(BaseModel):
    """Cross-validated figures of every method that stood to choice, and of both encoders in their own spaces.

    `training` is that of the fit the figures are for; beside another fit they say nothing. Keys of `identification` are
    those of a bake-off's summary.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    target: str
    winner: Method
    training: Training
    folds: int = Field(ge=2)
    # What a probe looks for: another face of its subject, or, where no subject has two, the target feature of its own
    # photo. That is easier, and nobody can say how much, so that it is no quality to publish.
    sought: Literal["second face", "same photo"]
    probes: int = Field(ge=1)
    gallery_subjects: int = Field(ge=2)  # in the gallery of the largest fold
    losses: dict[Method, float]  # what was chosen by; less is better
    identification: dict[str, Identification]
    quality: Quality | None
    calibration: Calibration
    target_calibration: Calibration
    # None in files written before they were measured.
    native_to_translated: Calibration | None = None
    translated_to_translated: Calibration | None = None
    confidence: ConfidenceModel


def write_expectation(expectation: Expectation, out: Path) -> None:
    """Write it whole or not at all."""
    write_atomically(out / EXPECTATION_FILE, expectation.model_dump_json(indent=2) + "\n")


def read_expectation(out: Path, training: Training) -> Expectation | None:
    """What `out` says of the fit with these facts; None when it says nothing, or something of another fit.

    Raises:
        DataError: the file is damaged.
    """
    file = out / EXPECTATION_FILE
    try:
        expectation = Expectation.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise DataError(str(file), "damaged; delete it to export without quality, or choose a method again") from error
    return expectation if expectation.training == training else None
