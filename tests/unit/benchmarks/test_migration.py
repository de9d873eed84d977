"""Traffic tells an answer of one space from one of two, counts lateness, and loses no answer."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import migration as module
from benchmarks.gallery_client import Found
from benchmarks.migration import Load, migration_result
from benchmarks.migration_traffic import Answers, far_apart, is_mixed, traffic
from benchmarks.translate import SOURCE, TARGET
from contract.manifest import Method
from contract.vectors import l2_normalize
from deploy.process import READY_TIMEOUT_S, wait_until
from service.settings import EngineKind
from tests.gateway import development_settings, running_gateway
from tests.repository import write_translator
from training.progress import view_progress

FACE = "face-1"


@pytest.mark.parametrize(
    "found",
    [
        [],
        [Found("face-2", "subject-2", 1.0), Found(FACE, "subject-1", 1.0)],
        [Found(FACE, "subject-1", 0.3)],
    ],
)
def test_an_answer_without_the_face_first_and_alike_mixes_spaces(found: list[Found]) -> None:
    assert is_mixed(found, FACE)


def test_an_answer_with_the_face_first_and_alike_does_not() -> None:
    assert not is_mixed([Found(FACE, "subject-1", 0.9999), Found("face-2", "subject-2", 0.4)], FACE)


def test_spaces_that_are_too_alike_to_tell_a_mixed_answer_are_refused() -> None:
    features = l2_normalize(np.random.default_rng(0).standard_normal((8, 16), dtype=np.float32))
    assert far_apart(features, -features) < 0
    with pytest.raises(ValueError, match="too alike"):
        far_apart(features, features)


def test_parts_of_the_answers_are_in_the_order_of_time() -> None:
    answers = Answers(due_s=[3.0, 1.0, 2.0, 0.0], taken_ms=[30.0, 10.0, 20.0, 0.0], failed=1)
    assert [part.taken_ms for part in answers.parts(2)] == [[0.0, 10.0], [20.0, 30.0]]
    assert answers.count == 5
    assert answers.percentile_ms(100) == 30


@pytest.mark.parametrize("faces", [0, 1500, 20_000_000])
def test_a_number_of_faces_that_is_out_of_bounds_is_refused(faces: int) -> None:
    with view_progress(as_json=True) as view, pytest.raises(ValueError, match="multiple of 1000"):
        migration_result("command", "migration", Method.AFFINE, Load(faces=faces), view)


def test_a_gallery_is_moved_back_and_forth_under_traffic_without_a_wrong_answer(tmp_path: Path) -> None:
    write_translator(tmp_path / "model_repository", SOURCE, TARGET)
    settings = development_settings(tmp_path, engine=EngineKind.ONNXRUNTIME)
    with running_gateway(settings) as client, view_progress(as_json=True) as view:
        probes = module._fill(client, 1000, view)
        far_apart(probes.features, module._translated(client, probes.features))
        migration, job = module._migrate(client, 1000, view, "migrated")
        assert job.faces_per_s == pytest.approx(1000 / job.seconds)
        with traffic(str(client.base_url), probes, connections=2, rate_per_s=None) as answers:
            steps = module._move(client, migration, answers, 50, view)
    assert steps >= 1
    assert answers.count >= 50
    assert (answers.failed, answers.mixed) == (0, 0)
    assert len(answers.taken_ms) == len(answers.due_s)


def test_a_search_that_waited_for_the_one_before_it_is_late(tmp_path: Path) -> None:
    write_translator(tmp_path / "model_repository", SOURCE, TARGET)
    with running_gateway(development_settings(tmp_path)) as client, view_progress(as_json=True) as view:
        probes = module._fill(client, 1000, view)
        with traffic(str(client.base_url), probes, connections=1, rate_per_s=10_000) as answers:
            wait_until(lambda: answers.count >= 20, READY_TIMEOUT_S, "twenty answers")
    assert answers.taken_ms[-1] > answers.taken_ms[0], "at ten thousand a second the queue only grows"
