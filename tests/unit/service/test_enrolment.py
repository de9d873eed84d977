"""Enrolling into all of a gallery's copies, and noticing faces of other subjects, over a real embedded store."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from contract.manifest import TranslatorManifest
from contract.spaces import FeatureSpace
from contract.vectors import Features, l2_normalize
from service.duplicates import CANDIDATES_MIN, Duplicate, DuplicatePolicy, OnDuplicate
from service.enrolment import COPIES_RETRIES_MAX
from service.errors import (
    CopiesChangedError,
    DuplicateFaceError,
    EngineFailedError,
    EngineOverloadedError,
    EngineTimeoutError,
    EngineUnavailableError,
    GatewayError,
    NoRouteError,
    OverloadedError,
    UncalibratedError,
)
from service.galleries.values import Face, GalleryInfo, HeldRendition, Rendition
from service.thresholds import Threshold
from tests.repository import SOURCE, TARGET
from tests.unit.service.world import CONFIDENCE, LONELY, MANIFEST, NEXT, World, features, open_world, soon

pytestmark = pytest.mark.anyio
REPORT = DuplicatePolicy(OnDuplicate.REPORT, Threshold(min_similarity=0.9))
REJECT = DuplicatePolicy(OnDuplicate.REJECT, Threshold(min_similarity=0.9))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


def held(space: FeatureSpace, translator: str | None = None, confidence: float | None = None) -> HeldRendition:
    return HeldRendition(space.id, translator, confidence)


def alike(count: int, seed: int = 0) -> Features:
    """Unit-length features [count, d] of TARGET, all of them alike at 0.99 and more."""
    base = l2_normalize(features(1, TARGET.dim, seed))
    return l2_normalize(base + 0.01 * features(count, TARGET.dim, seed + 1))


async def test_a_face_is_kept_as_it_came_and_held_translated_with_confidence(world: World) -> None:
    gallery, raw = await world.gallery(), features(2, SOURCE.dim)
    faces = [Face("f0", "s", ("vip",), 5, '{"floor":1}'), Face("f1", "s")]
    enrolled = await world.enrolment.enrol(SOURCE.id, gallery, faces, raw, soon())
    assert (enrolled.new, enrolled.duplicates, enrolled.translator) == (2, (), MANIFEST)
    assert enrolled.inference_s is not None
    record = await world.galleries.get("staff", "f0")
    [rendition] = record.held
    assert (record.face, record.origin) == (faces[0], SOURCE.id)
    assert (rendition.space, rendition.translator) == (TARGET.id, f"{MANIFEST.id}@1")
    assert rendition.confidence == pytest.approx(float(CONFIDENCE.score(raw)[0]))
    originals = await world.galleries.originals("staff", None, 10)
    assert [original.space for original in originals] == [SOURCE, SOURCE]
    np.testing.assert_allclose([original.feature for original in originals], l2_normalize(raw), rtol=1e-6)


async def test_both_copies_of_a_gallery_get_what_has_a_route_to_them(world: World) -> None:
    await world.gallery()
    await world.galleries.add_copy("staff", NEXT)
    await world.enrol(SOURCE, [Face("translated", "s")], features(1, SOURCE.dim))
    await world.enrol(TARGET, [Face("native", "s")], features(1, TARGET.dim))  # no route leads from TARGET to NEXT
    translated = await world.galleries.get("staff", "translated")
    assert [(rendition.space, rendition.translator) for rendition in translated.held] == [
        (NEXT.id, f"{SOURCE.id}--{NEXT.id}@3"),
        (TARGET.id, f"{MANIFEST.id}@1"),
    ]
    assert (await world.galleries.get("staff", "native")).held == (held(TARGET),)
    assert [copy.faces for copy in (await world.galleries.info("staff")).copies] == [2, 1]


async def test_a_face_is_native_in_the_copy_of_its_own_space(world: World) -> None:
    await world.gallery()
    await world.galleries.add_copy("staff", SOURCE)
    await world.enrol(SOURCE, [Face("f", "s")], features(1, SOURCE.dim))
    record = await world.galleries.get("staff", "f")
    assert held(SOURCE) in record.held
    assert len(record.held) == 2


class Failing:
    """An engine's `translate` that fails, and remembers how long it was given."""

    def __init__(self, error: GatewayError) -> None:
        self.error = error
        self.timeouts_ms: list[int] = []

    async def __call__(self, manifest: TranslatorManifest, features: Features, timeout_ms: int) -> Features:
        self.timeouts_ms.append(timeout_ms)
        raise self.error


FAILURES = [EngineUnavailableError, EngineOverloadedError, EngineTimeoutError, EngineFailedError, OverloadedError]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("is_cut_over", [False, True])
async def test_a_native_face_needs_no_engine_and_is_left_for_the_migration_to_fill(
    world: World, monkeypatch: pytest.MonkeyPatch, failure: type[GatewayError], *, is_cut_over: bool
) -> None:
    await world.gallery(space=NEXT if is_cut_over else SOURCE)
    await world.galleries.add_copy("staff", SOURCE if is_cut_over else NEXT)
    await world.galleries.serve("staff", SOURCE)
    raw = features(2, SOURCE.dim)
    await world.enrol(SOURCE, [Face("before", "s"), Face("replaced", "s")], raw)
    monkeypatch.setattr(world.engine, "translate", Failing(failure("as scripted")))
    await world.enrol(SOURCE, [Face("new", "s"), Face("replaced", "s")], raw)
    assert [copy.faces for copy in (await world.galleries.info("staff")).copies] == [3, 1]
    claim = await world.galleries.claim("staff", NEXT, 10, 60_000)
    assert claim is not None
    assert [original.face.face_id for original in claim.originals] == ["new", "replaced"]


async def test_an_engine_that_fails_the_copy_that_serves_is_the_clients_to_know(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.gallery()
    await world.galleries.add_copy("staff", SOURCE)
    monkeypatch.setattr(world.engine, "translate", Failing(EngineUnavailableError("as scripted")))
    with pytest.raises(EngineUnavailableError):
        await world.enrol(SOURCE, [Face("f", "s")], features(1, SOURCE.dim))
    assert (await world.galleries.info("staff")).faces == 0


async def test_an_engine_that_hangs_leaves_the_store_half_of_the_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.gallery(space=SOURCE)
    await world.galleries.add_copy("staff", NEXT)
    hanging, deadline = Failing(EngineTimeoutError("as scripted")), soon()
    monkeypatch.setattr(world.engine, "translate", hanging)
    before_ms = deadline.remaining_ms()
    gallery, raw = await world.galleries.info("staff"), features(1, SOURCE.dim)
    await world.enrolment.enrol(SOURCE.id, gallery, [Face("f", "s")], raw, deadline)
    [timeout_ms] = hanging.timeouts_ms
    assert timeout_ms <= before_ms / 2


async def test_an_enrolment_that_meets_a_cut_over_goes_into_the_copy_that_serves_now(world: World) -> None:
    before = await world.gallery()
    await world.galleries.add_copy("staff", NEXT)
    await world.galleries.serve("staff", NEXT)
    await world.enrolment.enrol(SOURCE.id, before, [Face("f", "s")], features(1, SOURCE.dim), soon())
    assert {rendition.space for rendition in (await world.galleries.get("staff", "f")).held} == {NEXT.id, TARGET.id}


async def test_an_enrolment_that_meets_the_end_of_a_copy_goes_into_what_is_left(world: World) -> None:
    await world.gallery()
    await world.galleries.add_copy("staff", NEXT)
    before = await world.galleries.info("staff")
    await world.galleries.drop_copy("staff", NEXT)
    await world.enrolment.enrol(SOURCE.id, before, [Face("f", "s")], features(1, SOURCE.dim), soon())
    assert [rendition.space for rendition in (await world.galleries.get("staff", "f")).held] == [TARGET.id]


async def test_copies_that_never_stand_still_are_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery, attempts = await world.gallery(), 0

    async def upsert(name: str, faces: list[Face], original: Rendition, translated: list[Rendition]) -> list[bool]:
        nonlocal attempts
        attempts += 1
        raise CopiesChangedError("as scripted")

    monkeypatch.setattr(world.galleries, "upsert", upsert)
    with pytest.raises(CopiesChangedError):
        await world.enrolment.enrol(TARGET.id, gallery, [Face("f", "s")], features(1, TARGET.dim), soon())
    assert attempts == 1 + COPIES_RETRIES_MAX


async def test_a_gallery_made_anew_meanwhile_takes_nothing_of_the_old_space(world: World) -> None:
    gallery = await world.gallery()
    await world.galleries.drop("staff")
    await world.galleries.create("staff", LONELY)
    with pytest.raises(NoRouteError):
        await world.enrolment.enrol(TARGET.id, gallery, [Face("f", "s")], features(1, TARGET.dim), soon())
    assert (await world.galleries.info("staff")).faces == 0


async def enrol(
    world: World, gallery: GalleryInfo, names: str, raw: Features, policy: DuplicatePolicy
) -> list[Duplicate]:
    """Enrol faces named as in `face/subject face/subject`; returns the duplicates."""
    faces = [Face(*name.split("/")) for name in names.split()]
    return list((await world.enrolment.enrol(TARGET.id, gallery, faces, raw, soon(), policy)).duplicates)


async def test_a_face_like_one_of_another_subject_is_reported_and_enrolled(world: World) -> None:
    gallery, person = await world.gallery(), alike(2)
    assert await enrol(world, gallery, "f0/a", person[:1], REPORT) == []
    both = np.concatenate([features(1, TARGET.dim, seed=9), person[1:]])
    [duplicate] = await enrol(world, gallery, "f1/c f2/b", both, REPORT)
    assert (duplicate.row, duplicate.face_id, duplicate.subject) == (1, "f0", "a")
    assert duplicate.similarity == pytest.approx(float(person[0] @ person[1]), abs=1e-3)
    assert (await world.galleries.info("staff")).faces == 3


async def test_a_request_with_a_duplicate_is_rejected_whole(world: World) -> None:
    gallery, person = await world.gallery(), alike(2)
    await enrol(world, gallery, "f0/secret", person[:1], REJECT)
    both = np.concatenate([features(1, TARGET.dim, seed=9), person[1:]])
    with pytest.raises(DuplicateFaceError, match="row 1") as refused:
        await enrol(world, gallery, "f1/c f2/b", both, REJECT)
    assert refused.value.row == 1
    assert "secret" not in refused.value.detail
    assert (await world.galleries.info("staff")).faces == 1


async def test_faces_of_one_request_are_compared_with_one_another(world: World) -> None:
    gallery = await world.gallery()
    [duplicate] = await enrol(world, gallery, "f0/a f1/a f2/b", alike(3), REPORT)
    assert duplicate.row == 2
    assert duplicate.face_id in {"f0", "f1"}


async def test_more_faces_of_ones_own_than_are_looked_at_first_hide_nobody(world: World) -> None:
    gallery, person = await world.gallery(), alike(3 * CANDIDATES_MIN)
    own = " ".join(f"own{row}/a" for row in range(len(person) - 2))
    await enrol(world, gallery, own, person[:-2], REPORT)
    farthest = l2_normalize(person[-1:] + 0.05 * features(1, TARGET.dim, seed=5))
    await enrol(world, gallery, "other/b", farthest, DuplicatePolicy())
    [duplicate] = await enrol(world, gallery, "new/a", person[-2:-1], REPORT)
    assert (duplicate.face_id, duplicate.subject) == ("other", "b")


async def test_what_a_request_replaces_is_no_duplicate_of_what_replaces_it(world: World) -> None:
    gallery, person, other = await world.gallery(), alike(1), alike(1, seed=20)
    await enrol(world, gallery, "f0/a f1/b", np.concatenate([person, other]), REJECT)
    # the same face under another subject, then both subjects change places
    assert await enrol(world, gallery, "f0/c", person, REJECT) == []
    assert await enrol(world, gallery, "f0/b f1/c", np.concatenate([other, person]), REJECT) == []


async def test_a_false_match_rate_says_what_a_duplicate_is_where_it_was_measured(world: World) -> None:
    gallery, person = await world.gallery(), alike(2)
    policy = DuplicatePolicy(OnDuplicate.REJECT, Threshold(max_fmr=1e-3))
    await enrol(world, gallery, "f0/a", person[:1], policy)
    with pytest.raises(DuplicateFaceError):
        await enrol(world, gallery, "f1/b", person[1:], policy)
    with pytest.raises(UncalibratedError):
        await enrol(world, gallery, "f1/b", person[1:], DuplicatePolicy(OnDuplicate.REJECT, Threshold(max_fmr=1e-9)))


async def test_translated_rows_are_duplicates_by_what_was_measured_of_them_among_themselves_and_the_gallery(
    world: World,
) -> None:
    gallery, raw = await world.gallery(), features(2, SOURCE.dim)
    policy = DuplicatePolicy(OnDuplicate.REPORT, Threshold(max_fmr=1e-3))
    seen: list[float] = []

    async def enrol_translated(names: str) -> None:
        info = await world.galleries.info("staff")
        faces = [Face(*name.split("/")) for name in names.split()]
        enrolled = await world.enrolment.enrol(SOURCE.id, info, faces, raw[[0] * len(faces)], soon(), policy)
        seen.extend(duplicate.similarity for duplicate in enrolled.duplicates)

    await enrol_translated("f0/a f1/b")
    await enrol_translated("f2/c")
    assert seen == pytest.approx([1.0, 1.0])
    strange = Rendition(TARGET, features(1, TARGET.dim), "strange@1")
    await world.galleries.upsert("staff", [Face("g", "t")], Rendition(LONELY, features(1, LONELY.dim)), [strange])
    assert gallery.copies[0].translators == {}
    with pytest.raises(UncalibratedError):
        await enrol_translated("f3/d")


async def test_duplicates_are_looked_for_in_the_copy_that_serves_by_then(world: World) -> None:
    before, raw = await world.gallery(), features(1, SOURCE.dim)
    await world.galleries.add_copy("staff", NEXT)
    await world.enrol(SOURCE, [Face("f0", "a")], raw)
    await world.galleries.serve("staff", NEXT)
    await world.galleries.drop_copy("staff", TARGET)
    with pytest.raises(DuplicateFaceError):
        await world.enrolment.enrol(SOURCE.id, before, [Face("f1", "b")], raw, soon(), REJECT)
