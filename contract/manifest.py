"""The signed-off facts of one translator version, as JSON beside its weights."""

import hashlib
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, ValidationError, model_validator

from contract.calibration import Calibration
from contract.confidence import ConfidenceModel
from contract.errors import ManifestError
from contract.spaces import FeatureSpace, Name

MANIFEST_FILE = "manifest.json"
MODEL_FILE = "model.pt"
ONNX_FILE = "model.onnx"
CONFIG_FILE = "config.pbtxt"  # Triton's, beside a translator's versions
ONNX_INPUT, ONNX_OUTPUT = "FEATURE", "TRANSLATED"  # ONNX gives no two tensors one name
MANIFEST_BYTES_MAX = 8 * 1024 * 1024
VERSION_MAX = 2**31 - 1
HASH_CHUNK_BYTES = 1024 * 1024

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Method(StrEnum):
    """How a translator was made."""

    R3AN = "r3an"
    R3AN_LINEAR = "r3an-linear"
    RESIDUAL = "residual"
    FC = "fc"
    AFFINE = "affine"
    PROCRUSTES = "procrustes"
    KERNEL_RIDGE = "kernel-ridge"
    DISTILLED = "distilled"
    ARCH1 = "arch1"
    ARCH2 = "arch2"
    ARCH3 = "arch3"
    ARCH4 = "arch4"
    ARCH5 = "arch5"
    ARCH6 = "arch6"
    ARCH7 = "arch7"


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Interval(_Facts):
    """A rate with its 95 % bootstrap interval over identities."""

    value: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)


class Identification(_Facts):
    """How well probes of one kind find their subjects. Keys of the maps are rates as written, such as `1e-3`."""

    rank_1: Interval
    tar_at_far: dict[str, Interval]
    fnir_at_fpir: dict[str, Interval]


class Abstention(_Facts):
    """What dropping the least confident probes buys: rank-1 of the kept share, with its 95 % band over identities."""

    kept: tuple[float, ...] = Field(strict=False)  # falling shares of all probes, in (0, 1]
    rank_1: tuple[float, ...] = Field(strict=False)
    low: tuple[float, ...] = Field(strict=False)
    high: tuple[float, ...] = Field(strict=False)

    @model_validator(mode="after")
    def _curves_agree(self) -> "Abstention":
        curves = (self.kept, self.low, self.rank_1, self.high)
        if not self.kept or len({len(curve) for curve in curves}) > 1:
            raise ValueError("the abstention curve is empty, or its parts have different lengths")
        if list(self.kept) != sorted(set(self.kept), reverse=True) or not 0 < self.kept[-1] <= self.kept[0] <= 1:
            raise ValueError("kept shares must fall, from at most 1 to above 0")
        if not all(0 <= low <= value <= high <= 1 for _, low, value, high in zip(*curves, strict=True)):
            raise ValueError("rank-1 must lie in its band, and the band between 0 and 1")
        return self


class Quality(_Facts):
    """Judged on identities nobody trained on: one side held out, or each of `folds` parts in turn and all pooled.

    Of folds the translator itself was trained on all identities; the figures are those of translators made alike on
    the other parts, each judged in a gallery of its own part.
    """

    folds: int | None = Field(default=None, ge=2)
    probes: int = Field(ge=1)
    gallery_subjects: int = Field(ge=1)
    distractors: int = Field(ge=0)
    translated: Identification
    source_native: Identification | None
    target_native: Identification
    baselines: dict[str, Identification]  # method -> the same judgement of it
    # Of a gallery that was translated, as after a migration; None in manifests written before it was judged.
    gallery_direction: Identification | None = None  # its probes are native in the target space
    both_translated: Identification | None = None  # its probes are translated as well
    # Of confidence; None in manifests written before they were measured.
    abstention: Abstention | None = None
    auroc: dict[str, Interval] | None = None  # kind of vector that is no face of the source -> faces told from it


class Training(_Facts):
    """What made the weights, enough to make them again."""

    data_fingerprint: Sha256
    rows: int = Field(ge=1)
    identities: int = Field(ge=1)
    rows_sha256: Sha256 | None = None  # which rows of the data; None in manifests written before it was kept
    config: dict[str, str | int | float | bool | list[int] | None]
    seed: int
    seconds: float = Field(ge=0)
    software: dict[str, str]  # versions, threads, instructions and what else decides the last digits of the weights
    weights_sha256: Sha256 | None = None  # of all weights, however they are stored; None in manifests from before


class Parity(_Facts):
    """Largest difference between the eager module and the exported one, and what the exported one answers to a proof.

    The answer is the fingerprint of what an engine really has loaded: that of `contract.proof.proof_features` [dt].
    """

    max_abs_difference: float = Field(ge=0, le=1e-3)
    proof: tuple[FiniteFloat, ...] | None = Field(strict=False)


class Onnx(_Facts):
    """The same translator as `model.onnx`; the proof is that of both files."""

    sha256: Sha256
    max_abs_difference: float = Field(ge=0, le=1e-3)  # from the eager module


class TranslatorManifest(_Facts):
    """Facts of one translator version. Unknown fields are refused; the schema has a version of its own."""

    schema_version: Literal[1]
    id: Name
    version: int = Field(ge=1, le=VERSION_MAX)
    method: Method = Field(strict=False)
    source: FeatureSpace
    target: FeatureSpace
    sha256: Sha256
    created_at: datetime = Field(strict=False)
    training: Training
    quality: Quality | None  # None: exported without judgement; served, and shown as unproven
    calibration: Calibration | None  # translated probes against the target's gallery
    target_calibration: Calibration | None  # native probes in the target space
    # Against faces that this version has translated; None in manifests written before they were measured.
    native_to_translated: Calibration | None = None  # native probes in the target space
    translated_to_translated: Calibration | None = None  # probes that it has translated as well
    confidence: ConfidenceModel | None
    parity: Parity
    onnx: Onnx | None = None  # None in manifests written before there was a `model.onnx`

    @property
    def name(self) -> str:
        """`id@version`: which translator made something."""
        return f"{self.id}@{self.version}"

    @model_validator(mode="after")
    def _facts_agree(self) -> "TranslatorManifest":
        if self.source.id == self.target.id:
            raise ValueError("source and target are the same space")
        if self.confidence is not None and self.confidence.dim != self.source.dim:
            raise ValueError("confidence has another dimension than the source")
        if self.parity.proof is not None and len(self.parity.proof) != self.target.dim:
            raise ValueError("the proof has another dimension than the target")
        return self


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file, read in bounded chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def write_manifest(manifest: TranslatorManifest, version_dir: Path) -> None:
    """Write `manifest.json` as readable, stable JSON. The caller publishes the whole folder atomically."""
    (version_dir / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")


def parse_manifest(file: Path) -> TranslatorManifest:
    """A manifest alone: neither the weights beside it nor the names of its folders are looked at.

    Raises:
        ManifestError: it exceeds the bound. OSError, ValidationError.
    """
    if file.stat().st_size > MANIFEST_BYTES_MAX:
        raise ManifestError(f"exceeds {MANIFEST_BYTES_MAX} bytes")
    return TranslatorManifest.model_validate_json(file.read_bytes())


def read_manifest(version_dir: Path) -> TranslatorManifest:
    """Read and verify `<translator>/<version>/`: names, hash, schema.

    Raises:
        ManifestError: with the folder and the first reason; such a version is never served.
    """
    where = f"{version_dir.parent.name}/{version_dir.name}"
    for name in (MANIFEST_FILE, MODEL_FILE, ONNX_FILE):
        file = version_dir / name
        if file.exists() and not file.is_file():  # a pipe would be read for ever
            raise ManifestError(f"{where}: {name} is no file")
    try:
        manifest = parse_manifest(version_dir / MANIFEST_FILE)
        expected = {MODEL_FILE: manifest.sha256} | ({} if manifest.onnx is None else {ONNX_FILE: manifest.onnx.sha256})
        found = {name: sha256_of(version_dir / name) for name in expected}
    except ManifestError as error:
        raise ManifestError(f"{where}: manifest {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "manifest"
        raise ManifestError(f"{where}: {field}: {first['msg']}") from error
    except OSError as error:
        raise ManifestError(f"{where}: {error.strerror}: {Path(str(error.filename)).name}") from error
    if (manifest.id, str(manifest.version)) != (version_dir.parent.name, version_dir.name):
        raise ManifestError(f"{where}: manifest names {manifest.id}/{manifest.version}")
    for name, sha256 in expected.items():
        if found[name] != sha256:
            raise ManifestError(f"{where}: {name} does not have the manifest's sha256")
    return manifest
