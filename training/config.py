"""The settings of one fit: TOML that states only differences from these defaults. Unknown keys are refused."""

import itertools
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from contract.manifest import Method
from training.errors import ConfigError

REAL_ROWS_MIN = 2  # of a batch: batch norm compares
LEARN_FROM_TEACHERS = frozenset(m for m in Method if m.startswith(("r3an", "arch", "distilled")))


class FitConfig(BaseModel):
    """How a method is trained. The closed-form methods read `method` and `seed` alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    method: Method = Field(strict=False)
    seed: int = Field(default=0, ge=0, lt=2**31)

    iterations: int = Field(default=1000, ge=1, le=10_000_000)
    batch_rows: int = Field(default=128, ge=2, le=8192)
    optimizer: Literal["sgd", "adamw", "muon"] = "adamw"
    learning_rate: float = Field(default=2e-3, gt=0, le=10)
    matrix_learning_rate: float = Field(default=0.02, gt=0, le=10)  # of `muon`, for convolution kernels
    schedule: Literal["cosine", "steps"] = "cosine"
    # Iterations at which `steps` divides the rate by 10.
    milestones: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(), strict=False)
    warmup_iterations: int = Field(default=0, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=1e-3, ge=0, le=1)
    # Of the exponential moving average of the weights; 0 keeps the last weights.
    average_decay: float = Field(default=0.0, ge=0, lt=1)

    # A finished method (with its shipped settings and this seed) to learn from, and what share of each batch it labels:
    # features between two training faces.
    teacher: Method | None = Field(default=None, strict=False)
    teacher_share: float = Field(default=0.5, gt=0, le=0.9)
    # R³AN only: how much of a real pair's target is what the teacher says instead of the truth.
    soft_target_share: float = Field(default=0.0, ge=0, le=1)

    contrast_weight: float = Field(default=0.0, ge=0)  # of `residual`: beside being near, being nearer than others

    # R³AN only: Algorithm 1's order, or one update that shares forward passes; Eq. 10's lambdas.
    step: Literal["sequential", "fused"] = "fused"
    reconstruction_weight: float = Field(default=0.02, ge=0)
    adversarial_weight: float = Field(default=0.02, ge=0)
    representation_weight: float = Field(default=1.0, ge=0)
    regression_weight: float = Field(default=1.0, ge=0)
    face_losses_interval: int = Field(default=1, ge=1)  # iterations; the other three lambdas count then, as much more

    checkpoint_interval_s: float = Field(default=60.0, gt=0)

    @model_validator(mode="after")
    def _something_is_learned(self) -> "FitConfig":
        weights = (
            self.reconstruction_weight,
            self.adversarial_weight,
            self.representation_weight,
            self.regression_weight,
        )
        if not any(weights):
            raise ValueError("all four weights are zero, which leaves nothing to learn")
        if not self.regression_weight and self.face_losses_interval > 1:
            raise ValueError("without a regression weight, face_losses_interval leaves iterations nothing to learn")
        return self

    @model_validator(mode="after")
    def _teaching_makes_sense(self) -> "FitConfig":
        if self.teacher is None:
            if self.method is Method.DISTILLED:
                raise ValueError("distilled needs a teacher")
            if self.soft_target_share:
                raise ValueError("soft_target_share needs a teacher")
            return self
        if self.teacher == self.method:
            raise ValueError("a method cannot be its own teacher")
        if self.method not in LEARN_FROM_TEACHERS:
            raise ValueError(f"{self.method} does not learn from a teacher")
        if not self.interpolated_rows:
            raise ValueError("teacher_share leaves no row of a batch to the teacher")
        if self.real_rows < REAL_ROWS_MIN:
            raise ValueError(f"teacher_share leaves fewer than {REAL_ROWS_MIN} rows of a batch to real pairs")
        return self

    @property
    def involved(self) -> list[Method]:
        """The method, and the teacher it learns from."""
        return [self.method] if self.teacher is None else [self.method, self.teacher]

    @property
    def interpolated_rows(self) -> int:
        """Rows of each batch that the teacher labels."""
        return 0 if self.teacher is None else round(self.batch_rows * self.teacher_share)

    @property
    def real_rows(self) -> int:
        """Rows of each batch that are real pairs."""
        return self.batch_rows - self.interpolated_rows

    @property
    def presented_faces(self) -> int:
        """Real training faces presented to an iterative method over all its iterations, each as often as it comes."""
        return self.iterations * self.real_rows

    @property
    def presented_photos(self) -> int:
        """How many of `presented_faces` R³AN looks at with their photos."""
        return -(-self.iterations // self.face_losses_interval) * self.real_rows

    def facts(self) -> dict[str, str | int | float | bool | list[int] | None]:
        """The whole configuration as the manifest keeps it."""
        facts = self.model_dump(mode="json")
        return {key: list(value) if isinstance(value, tuple) else value for key, value in facts.items()}


def load_config(method: Method, file: Path | None = None, *, seed: int | None = None) -> FitConfig:
    """A method's shipped configuration, or the given TOML file's; `seed` takes the place of the one it names.

    Raises:
        ConfigError: not TOML, an unknown key, a value out of range, or the file is for another method.
    """
    shipped = resources.files("training") / "configs" / f"{method}.toml"
    name = str(file) if file is not None else shipped.name
    try:
        text = file.read_text(encoding="utf-8") if file is not None else shipped.read_text(encoding="utf-8")
        values = tomllib.loads(text)
        if seed is not None:
            values["seed"] = seed
        config = FitConfig.model_validate(values)
    except OSError as error:
        raise ConfigError(f"{name}: no readable configuration") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigError(": ".join([name, *map(str, first["loc"]), first["msg"]])) from error
    if config.method != method:
        raise ConfigError(f"{name}: is for {config.method}, not {method}")
    return config


def load_configs(methods: list[str], files: list[Path], *, seed: int | None) -> tuple[FitConfig, ...]:
    """Configurations of several methods: each file is for the one it names, the others take the shipped ones.

    All share one seed, as they are compared: the given one, else the one that files name, else 0.

    Raises:
        ConfigError: an unknown method, a file for none of them, or files that name different seeds and none is given.
    """
    unknown = [name for name in methods if name not in list(Method)]
    if unknown:
        raise ConfigError(f"no method {unknown[0]!r}; there are {', '.join(Method)}")
    file_of: dict[str, Path] = {}
    for file in files:
        if (earlier := file_of.setdefault(_method_of(file), file)) != file:
            raise ConfigError(f"{file}: is for the same method as {earlier}")
    stray = [file for method, file in file_of.items() if method not in methods]
    if stray:
        raise ConfigError(f"{stray[0]}: is for none of {', '.join(methods)}")
    configs = {name: load_config(Method(name), file_of.get(name), seed=seed) for name in methods}
    if seed is None:
        seed = _shared_seed({file: configs[method] for method, file in file_of.items()})
    return tuple(configs[name].model_copy(update={"seed": seed}) for name in methods)


def _shared_seed(configs: Mapping[Path, FitConfig]) -> int:
    named = [(file, config.seed) for file, config in configs.items() if "seed" in config.model_fields_set]
    for (earlier, first), (file, seed) in itertools.pairwise(named):
        if seed != first:
            raise ConfigError(f"{file}: seed: {seed}, but {first} in {earlier}; methods that are compared share one")
    return named[0][1] if named else 0


def _method_of(file: Path) -> str:
    try:
        return str(tomllib.loads(file.read_text(encoding="utf-8")).get("method"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: no readable configuration") from error
