"""What a method's teacher is trained with, and where: it makes the weights too, so the manifest names it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from training.config import FitConfig, load_config

TEACHER = "teacher"  # the folder of a teacher within its student's, and what its settings are called in the student's
PREFIX = f"{TEACHER}."


@dataclass(frozen=True, slots=True)
class Lesson:
    """A teacher's settings, the folder of its fit, and its own teacher's."""

    settings: FitConfig
    folder: Path
    lesson: "Lesson | None"


def shipped_lesson(config: FitConfig, folder: Path) -> Lesson | None:
    """The teacher that a configuration asks for, if any, with its shipped settings and the same seed."""
    if config.teacher is None:
        return None
    settings = load_config(config.teacher, seed=config.seed)
    return Lesson(settings, folder, shipped_lesson(settings, folder / TEACHER))


def facts_of(config: FitConfig, lesson: Lesson | None) -> dict[str, Any]:
    """A configuration as the manifest keeps it, its teacher's beside it as `teacher.<key>`."""
    taught = {} if lesson is None else facts_of(lesson.settings, lesson.lesson)
    return config.facts() | {f"{PREFIX}{key}": value for key, value in taught.items()}


def read_facts(facts: Mapping[str, Any], folder: Path) -> tuple[FitConfig, Lesson | None]:
    """What `facts_of` wrote; the teacher's fit will lie in `folder`. A manifest from before has the shipped teacher.

    Raises:
        ValidationError: a configuration that no longer parses.
    """
    own = {key: value for key, value in facts.items() if not key.startswith(PREFIX)}
    taught = {key.removeprefix(PREFIX): value for key, value in facts.items() if key.startswith(PREFIX)}
    config = FitConfig.model_validate(own)
    if not taught:
        return config, shipped_lesson(config, folder)
    settings, lesson = read_facts(taught, folder / TEACHER)
    return config, Lesson(settings, folder, lesson)


def same_settings(facts: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Whether two fits had the same settings; one from before a setting existed had its default."""
    try:
        return read_facts(facts, Path()) == read_facts(others, Path())
    except ValidationError:
        return False
