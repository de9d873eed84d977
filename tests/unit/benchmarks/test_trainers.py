"""A training in a process of its own goes on, and is judged, when it is told to."""

from pathlib import Path

from benchmarks.trainers import Assignment, Trainer, start_trainer
from tests.unit.training.samples import SOURCE, TARGET, write_pairs


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
