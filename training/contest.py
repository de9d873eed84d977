"""What methods compete in: the pairs, the direction, and a configuration for each."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from contract.manifest import Method
from training.config import FitConfig
from training.errors import ConfigError
from training.loop import OnIteration

OnMethod = Callable[[Method], OnIteration]  # what a method's training reports to
OnStage = Callable[[str], None]


def translator_id(source: str, target: str) -> str:
    """The name that the translator of two spaces is published by."""
    return f"{source}--{target}"


@dataclass(frozen=True, slots=True)
class Contest:
    """The pairs, the direction, and a configuration for each method. Raises ConfigError for a method named twice."""

    pairs: Path
    source: str
    target: str
    configs: tuple[FitConfig, ...]

    def __post_init__(self) -> None:
        if len(set(self.methods)) != len(self.methods):
            raise ConfigError("a method is named twice")

    @property
    def translator_id(self) -> str:
        """Name of the promoted translator."""
        return translator_id(self.source, self.target)

    @property
    def involved(self) -> list[Method]:
        """The methods and their teachers: what the pairs must be read for."""
        return [method for config in self.configs for method in config.involved]

    def has(self, config: FitConfig) -> bool:
        """Whether exactly this training is part of the contest."""
        return config in self.configs

    @property
    def seed(self) -> int:
        """What all trainings are seeded with, as `load_configs` settles it."""
        return self.configs[0].seed

    @property
    def methods(self) -> list[Method]:
        """The methods, in the order they were given."""
        return [config.method for config in self.configs]
