"""A training in a process of its own goes on, and is judged, when it is told to."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.trainers import Assignment, Trainer, faces_a_second, start_trainer
from contract.manifest import Method
from tests.unit.training.samples import SOURCE, TARGET, write_pairs
from training.config import FitConfig


def test_judging_other_weights_leaves_a_training_its_own(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs.parquet")
    others, own = tmp_path / "others.pt", tmp_path / "own.pt"
    with start_trainer(Trainer.OURS, Assignment(pairs, SOURCE, TARGET, iterations=2, scratch=tmp_path)) as trainer:
        trainer.save(others)
        trainer.learn(1)
        trainer.save(own)
        judged = trainer.judge(own)
        assert trainer.judge(others).cosine != judged.cosine, "each is judged by its own weights"
        trainer.save(others)
        assert trainer.judge(others) == judged, "what others.pt holds now are the training's own weights"


@pytest.mark.parametrize(("teacher", "rate"), [(None, 64), (Method.AFFINE, 48)])
def test_rows_that_a_teacher_labels_are_no_faces_presented(
    monkeypatch: pytest.MonkeyPatch, teacher: Method | None, rate: float
) -> None:
    config = FitConfig(method=Method.R3AN, batch_rows=64, teacher=teacher, teacher_share=0.25)
    clock = iter((10.0, 15.0))
    learned: list[int] = []
    monkeypatch.setattr("benchmarks.trainers.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert faces_a_second(config, learned.append, range(2, 7)) == rate
    assert learned == [2, 3, 4, 5, 6]
