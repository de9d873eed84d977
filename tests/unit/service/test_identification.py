"""The use case between a probe and a gallery, over a real embedded store."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from contract.calibration import Calibration
from contract.spaces import FeatureSpace
from contract.vectors import Features, l2_normalize
from service.bounds import Deadline
from service.errors import (
    DeadlineExceededError,
    GallerySpaceMismatchError,
    NoRouteError,
    UncalibratedError,
    UnknownGalleryError,
    UnknownModelError,
)
from service.galleries.values import Face, Found, GalleryInfo, Ranking, Rendition, Where
from service.identification import Query
from service.thresholds import Threshold
from tests.repository import SOURCE, TARGET
from tests.unit.service.world import CONFIDENCE, LONELY, MANIFEST, NEXT, World, features, open_world, soon

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


async def test_a_translated_probe_comes_with_its_translators_confidence(world: World) -> None:
    gallery, probes = await world.gallery(), features(3, SOURCE.dim)
    enrolled = await world.enrolment.enrol(SOURCE.id, gallery, [Face(f"f{i}", "s") for i in range(3)], probes, soon())
    assert (enrolled.new, enrolled.translator) == (3, MANIFEST)
    found = await world.identification.search(SOURCE.id, gallery, probes, Query(1), soon())
    assert [matches[0].face_id for matches in found.matches] == ["f0", "f1", "f2"]
    assert found.confidence is not None
    np.testing.assert_array_equal(found.confidence, CONFIDENCE.score(probes))
    assert found.inference_s is not None


async def test_a_native_probe_is_judged_by_the_spaces_own_calibration(world: World) -> None:
    gallery, probes = await world.gallery(), features(2, TARGET.dim)
    await world.enrolment.enrol(TARGET.id, gallery, [Face("f0", "s"), Face("f1", "s")], 5 * probes, soon())
    found = await world.identification.search(TARGET.id, gallery, 7 * probes, Query(1, Threshold(max_fmr=1e-3)), soon())
    assert [[match.face_id for match in matches] for matches in found.matches] == [["f0"], ["f1"]]
    assert (found.calibration, found.confidence, found.inference_s) == (MANIFEST.target_calibration, None, None)


async def test_a_translated_probe_among_native_faces_is_judged_by_its_translators_calibration(world: World) -> None:
    gallery = await world.gallery()
    await world.enrolment.enrol(TARGET.id, gallery, [Face("f", "s")], features(1, TARGET.dim), soon())
    found = await world.identification.search(SOURCE.id, gallery, features(1, SOURCE.dim), Query(1), soon())
    assert found.calibration == MANIFEST.calibration


async def rated(world: World, space: FeatureSpace) -> Calibration | None:
    """What is said of a probe of a space in `staff` as it is now."""
    gallery, probe = await world.gallery(), features(1, space.dim)
    return (await world.identification.search(space.id, gallery, probe, Query(1), soon())).calibration


async def test_among_translated_faces_a_probe_is_judged_by_what_was_measured_there(world: World) -> None:
    await world.gallery()
    await world.enrol(SOURCE, [Face("f", "s")], features(1, SOURCE.dim))
    assert await rated(world, SOURCE) == MANIFEST.translated_to_translated
    assert await rated(world, TARGET) == MANIFEST.native_to_translated


async def test_among_native_and_translated_faces_a_rate_is_never_understated(world: World) -> None:
    await world.gallery()
    await world.enrol(SOURCE, [Face("f", "s")], features(1, SOURCE.dim))
    await world.enrol(TARGET, [Face("g", "t")], features(1, TARGET.dim))
    assert await rated(world, SOURCE) == MANIFEST.translated_to_translated  # demands more than among native faces
    assert await rated(world, TARGET) == MANIFEST.target_calibration  # demands more than among translated ones
    await world.galleries.delete_face("staff", "g")
    assert await rated(world, TARGET) == MANIFEST.native_to_translated


@pytest.mark.parametrize("space", [SOURCE, TARGET], ids=["translated", "native"])
async def test_among_faces_of_a_translator_that_nobody_measured_no_rate_is_told_or_honoured(
    world: World, space: FeatureSpace
) -> None:
    gallery, probe = await world.gallery(), features(1, space.dim)
    await world.enrol(SOURCE, [Face("f", "s")], features(1, SOURCE.dim))
    strange = Rendition(TARGET, features(1, TARGET.dim), "strange@1")
    await world.galleries.upsert("staff", [Face("g", "t")], Rendition(LONELY, features(1, LONELY.dim)), [strange])
    assert await rated(world, space) is None
    gallery = await world.galleries.info("staff")
    for threshold in (Threshold(max_fmr=0.01), Threshold(max_fpir=0.01)):
        with pytest.raises(UncalibratedError, match="nobody has measured"):
            await world.identification.search(space.id, gallery, probe, Query(1, threshold), soon())
    await world.galleries.delete_face("staff", "g")
    assert await rated(world, space) is not None


async def test_a_rate_decides_by_the_calibrated_similarity(world: World) -> None:
    gallery = await world.gallery()
    probe = l2_normalize(features(1, TARGET.dim))
    other = l2_normalize(features(1, TARGET.dim, seed=1))
    other = l2_normalize(other - (other @ probe.T) * probe)
    near, far = 0.95 * probe + np.sqrt(1 - 0.95**2) * other, 0.85 * probe + np.sqrt(1 - 0.85**2) * other
    both = np.concatenate([near, far]).astype(np.float32)
    await world.enrolment.enrol(TARGET.id, gallery, [Face("near", "s"), Face("far", "t")], both, soon())
    strict = await world.identification.search(TARGET.id, gallery, probe, Query(5, Threshold(max_fmr=1e-3)), soon())
    loose = await world.identification.search(TARGET.id, gallery, probe, Query(5, Threshold(max_fmr=1e-1)), soon())
    assert [match.face_id for match in strict.matches[0]] == ["near"]
    assert [match.face_id for match in loose.matches[0]] == ["near", "far"]


async def test_a_rate_that_nobody_measured_is_not_invented(world: World) -> None:
    gallery = await world.gallery("lonely", LONELY)
    with pytest.raises(UncalibratedError, match="nobody has measured"):
        await world.identification.search(
            LONELY.id, gallery, features(1, LONELY.dim), Query(1, Threshold(max_fmr=0.01)), soon()
        )
    gallery = await world.gallery()
    with pytest.raises(UncalibratedError, match=r"none below 0.001"):
        await world.identification.search(
            SOURCE.id, gallery, features(1, SOURCE.dim), Query(1, Threshold(max_fmr=1e-9)), soon()
        )


async def test_a_gallery_outlives_its_translators(world: World) -> None:
    gallery = await world.gallery("lonely", LONELY)
    assert world.identification.source_space(LONELY.id, gallery) == LONELY
    with pytest.raises(NoRouteError):
        world.identification.source_space(SOURCE.id, gallery)
    with pytest.raises(UnknownModelError):
        world.identification.source_space("nobody", gallery)


async def test_a_space_that_changed_its_dimension_does_not_enter_its_old_gallery(world: World) -> None:
    gallery = await world.gallery("old", FeatureSpace(id=TARGET.id, dim=TARGET.dim + 1))
    with pytest.raises(GallerySpaceMismatchError, match="17 dimensions"):
        world.identification.source_space(SOURCE.id, gallery)


async def test_a_gallery_made_anew_in_another_space_is_not_searched_with_probes_of_the_old(world: World) -> None:
    gallery = await world.gallery()
    await world.galleries.drop("staff")
    await world.galleries.create("staff", LONELY)
    with pytest.raises(NoRouteError):
        await world.identification.search(TARGET.id, gallery, features(1, TARGET.dim), Query(1), soon())


async def test_a_gallery_dropped_meanwhile_is_unknown(world: World) -> None:
    gallery = await world.gallery()
    await world.galleries.drop("staff")
    with pytest.raises(UnknownGalleryError):
        await world.identification.search(TARGET.id, gallery, features(1, TARGET.dim), Query(1), soon())


async def test_a_passed_deadline_ends_the_search(world: World) -> None:
    gallery = await world.gallery()
    late = Deadline(time.monotonic())
    with pytest.raises(DeadlineExceededError):
        await world.identification.search(TARGET.id, gallery, features(1, TARGET.dim), Query(1), late)


async def test_a_slow_store_is_given_up_at_the_deadline(world: World) -> None:
    gallery = await world.gallery()
    probes = features(900, TARGET.dim)
    await world.enrolment.enrol(TARGET.id, gallery, [Face(f"f{i}", "s") for i in range(900)], probes, soon())
    hurried = Deadline(time.monotonic() + 0.02)
    with pytest.raises(DeadlineExceededError):
        await world.identification.search(TARGET.id, gallery, np.tile(probes, (10, 1)), Query(900), hurried)


async def test_searches_and_enrolments_are_counted_by_gallery(world: World) -> None:
    gallery, labels = await world.gallery(), {"store": "local", "gallery": "staff"}
    await world.enrolment.enrol(TARGET.id, gallery, [Face("f", "s")], features(1, TARGET.dim), soon())
    await world.identification.search(TARGET.id, gallery, features(1, TARGET.dim), Query(1), soon())
    value = world.metrics.registry.get_sample_value
    assert value("r3an_gallery_enrolled_faces_total", labels) == 1
    assert value("r3an_gallery_search_duration_seconds_count", labels) == 1


async def cut_over(world: World) -> GalleryInfo:
    """A gallery with one face that is served in NEXT since its description was read, which still says TARGET."""
    await world.gallery()
    await world.galleries.add_copy("staff", NEXT)
    await world.enrol(SOURCE, [Face("f", "s")], features(1, SOURCE.dim))
    before = await world.galleries.info("staff")
    await world.galleries.serve("staff", NEXT)
    return before


async def test_a_search_under_way_at_a_cut_over_is_answered_from_the_copy_it_began_with(world: World) -> None:
    before, probe = await cut_over(world), features(1, SOURCE.dim)
    found = await world.identification.search(SOURCE.id, before, probe, Query(1), soon())
    assert found.calibration == MANIFEST.translated_to_translated
    assert found.matches[0][0].similarity == pytest.approx(1, abs=1e-3)


async def test_a_search_whose_copy_is_gone_is_answered_from_the_one_that_serves(world: World) -> None:
    before, probe = await cut_over(world), features(1, SOURCE.dim)
    await world.galleries.drop_copy("staff", TARGET)
    found = await world.identification.search(SOURCE.id, before, probe, Query(1), soon())
    assert found.calibration is None  # that of the route to NEXT
    assert found.matches[0][0].similarity == pytest.approx(1, abs=1e-3)


async def people(world: World) -> tuple[GalleryInfo, Features]:
    """A probe, and two people: `a` has the most similar face and a far one, `b` two near ones."""
    gallery, probe = await world.gallery(), np.eye(1, TARGET.dim, dtype=np.float32)
    cosines = {"a0/a": 0.9, "a1/a": 0.1, "b0/b": 0.8, "b1/b": 0.7}
    faces = [Face(*name.split("/"), tags=(name[1],), enrolled_at_ms=row) for row, name in enumerate(cosines)]
    raw = np.zeros((len(faces), TARGET.dim), np.float32)
    raw[:, 0] = list(cosines.values())
    raw[range(4), range(1, 5)] = np.sqrt(1 - raw[:, 0] ** 2)
    await world.enrolment.enrol(TARGET.id, gallery, faces, raw, soon())
    return gallery, probe


@pytest.mark.parametrize(
    ("ranking", "expected"),
    [
        (Ranking.FACES, [("a0", 0.9), ("b0", 0.8), ("b1", 0.7), ("a1", 0.1)]),
        (Ranking.SUBJECTS_BY_BEST, [("a0", 0.9), ("b0", 0.8)]),
        (Ranking.SUBJECTS_BY_MEAN, [("b0", 0.75), ("a0", 0.5)]),
    ],
)
async def test_faces_or_subjects_are_ranked(world: World, ranking: Ranking, expected: list[tuple[str, float]]) -> None:
    gallery, probe = await people(world)
    found = await world.identification.search(TARGET.id, gallery, probe, Query(9, ranking=ranking), soon())
    assert [match.face_id for match in found.matches[0]] == [face_id for face_id, _ in expected]
    assert [match.similarity for match in found.matches[0]] == pytest.approx([s for _, s in expected], abs=1e-3)
    assert found.searched == 4


@pytest.mark.parametrize(
    ("where", "expected"),
    [(Where(("0",)), ["a0", "b0"]), (Where(from_ms=1, until_ms=3), ["b0", "a1"]), (Where(("2",)), [])],
)
async def test_only_faces_with_the_tags_and_of_the_time_are_searched(
    world: World, where: Where, expected: list[str]
) -> None:
    gallery, probe = await people(world)
    found = await world.identification.search(TARGET.id, gallery, probe, Query(9, where=where), soon())
    assert [match.face_id for match in found.matches[0]] == expected
    assert found.searched == len(expected)


async def test_a_rate_over_the_whole_gallery_demands_more_the_more_faces_are_searched(world: World) -> None:
    gallery, probe = await people(world)
    # fmr 1e-1 at similarity 0, 1e-3 at 0.9: over one face max_fpir 0.01 asks for 0.45, over four for some 0.72
    threshold = Threshold(max_fpir=0.01)
    everywhere = await world.identification.search(TARGET.id, gallery, probe, Query(9, threshold), soon())
    assert [match.face_id for match in everywhere.matches[0]] == ["a0", "b0"]
    alone = Query(9, threshold, where=Where(from_ms=3))
    found = await world.identification.search(TARGET.id, gallery, probe, alone, soon())
    assert [match.face_id for match in found.matches[0]] == ["b1"]
    nowhere = Query(9, threshold, where=Where(from_ms=9))
    found = await world.identification.search(TARGET.id, gallery, probe, nowhere, soon())
    assert (list(found.matches), found.searched) == ([[]], 0)


class Seen:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.searches: list[tuple[str, FeatureSpace, int, Found]] = []

    def searched(self, source_model: str, gallery: GalleryInfo, features: Features, top_k: int, found: Found) -> None:
        self.searches.append((source_model, gallery.space, top_k, found))


async def test_an_observer_sees_unfiltered_searches_of_faces_before_any_threshold(tmp_path: Path) -> None:
    seen = Seen()
    async with open_world(tmp_path, seen) as world:
        gallery, probe = await people(world)
        for query in (
            Query(2, Threshold(min_similarity=0.99)),
            Query(2, ranking=Ranking.SUBJECTS_BY_BEST),
            Query(2, where=Where(("0",))),
        ):
            await world.identification.search(TARGET.id, gallery, probe, query, soon())
    [(source_model, space, top_k, found)] = seen.searches
    assert (source_model, space, top_k) == (TARGET.id, TARGET, 2)
    assert [match.face_id for match in found.matches[0]] == ["a0", "b0"]
