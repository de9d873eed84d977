"""What only the Redis store has to cope with in copies and rankings: several gateways, interruptions, crowds."""

import asyncio
from typing import Any

import numpy as np
import pytest

from contract.vectors import l2_normalize
from deploy.redis.start import RedisServer
from service.errors import GalleryUnavailableError, RankingLimitError
from service.galleries import redis_subjects
from service.galleries.base import GalleryStore
from service.galleries.redis_nearest import nearest
from service.galleries.values import Face, Match, Ranking, Where
from tests.integration.gallery_copies import LONG_MS, complete, copies, enrolled, ids, translate, translated
from tests.integration.gallery_stores import OTHER_SPACE, SPACE, RedisStores, faces_of, native, unit_features
from tests.integration.redis_relay import RedisRelay
from tests.integration.test_galleries_redis_faults import PATIENT_MS, opened

SIGNS = ("a.b", "a-b", "a_b", "a:b", "a@b", "a=b", "a+b", "A", "a")
pytestmark = pytest.mark.anyio


async def test_gateways_share_a_job_and_none_translates_what_another_has(own_redis: RedisServer) -> None:
    stores = RedisStores(own_redis)
    translated_ids: list[str] = []

    async def work(store: GalleryStore) -> None:
        while claim := await store.claim("staff", OTHER_SPACE, 30, LONG_MS):
            translated_ids.extend(ids(claim))
            assert await translate(store, claim) == len(claim.originals)

    async with stores.open() as one, stores.open() as other:
        faces, features = await enrolled(one, 2000)
        await one.add_copy("staff", OTHER_SPACE)
        await asyncio.gather(*(work(store) for store in (one, other, one, other)))
        assert sorted(translated_ids) == sorted(face.face_id for face in faces)
        await other.serve("staff", OTHER_SPACE)
        found = await one.search("staff", OTHER_SPACE, translated(features).features, 1)
        assert [best.face_id for [best] in found.matches] == [face.face_id for face in faces]


async def test_a_gateway_that_dies_with_a_claim_loses_no_face(own_redis: RedisServer) -> None:
    stores = RedisStores(own_redis)
    async with stores.open() as one, stores.open() as other:
        await enrolled(one, 100)
        await one.add_copy("staff", OTHER_SPACE)
        await one.claim("staff", OTHER_SPACE, 40, 1)
        written = 0
        async with asyncio.timeout(60):
            while written < 100:  # until the lease has ended
                written += await complete(other)
        await other.serve("staff", OTHER_SPACE)


@pytest.mark.parametrize("lost", [b"lease_ends", b"written = written + 1"])
async def test_an_answer_lost_in_a_job_neither_loses_nor_repeats_a_face(own_redis: RedisServer, lost: bytes) -> None:
    async with RedisRelay(own_redis.url) as relay, opened(relay.url, PATIENT_MS) as store:
        await enrolled(store, 50)
        await store.add_copy("staff", OTHER_SPACE)
        relay.lose(lost)
        with pytest.raises(GalleryUnavailableError):
            await complete(store, limit=20, lease_ms=1)
        already = (await copies(store))[OTHER_SPACE.id]
        assert already == (0 if lost == b"lease_ends" else 20)
        written = 0
        async with asyncio.timeout(60):
            while (await copies(store))[OTHER_SPACE.id] < 50:
                written += await complete(store)
        assert written == 50 - already
        await store.serve("staff", OTHER_SPACE)


async def test_subjects_in_a_crowd_of_one_are_ranked_as_a_float64_scan_ranks_them(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_subjects, "PAGE_FACES", 256)
    rows = 2000
    features, probe = unit_features(rows), unit_features(1, seed=5)
    order = np.argsort(-(features @ probe[0]))
    subjects = np.array([f"subject-{row // 3:04d}" for row in range(rows)], dtype=object)
    subjects[order[:600]] = "crowd"  # the 600 most similar faces are one person's
    faces = [Face(f"face-{row:04d}", subjects[row], tags=(SIGNS[row % 9],), enrolled_at_ms=row) for row in range(rows)]
    async with RedisStores(own_redis).open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces, native(features))
        for where in (Where(), Where(from_ms=500, until_ms=1500), *(Where((sign,), 100) for sign in SIGNS)):
            for ranking in (Ranking.SUBJECTS_BY_BEST, Ranking.SUBJECTS_BY_MEAN):
                found = await store.search("staff", SPACE, probe, 5, ranking=ranking, where=where)
                count, expected = scanned(faces, features @ probe[0], ranking, where)
                assert found.searched == count
                [matches] = found.matches
                assert [(match.subject, match.face_id) for match in matches] == [
                    (match.subject, match.face_id) for match in expected[:5]
                ]
                assert [match.similarity for match in matches] == pytest.approx(
                    [match.similarity for match in expected[:5]], abs=1e-3
                )


async def test_a_crowd_beyond_the_faces_that_are_looked_at_is_refused(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_subjects, "RANKED_FACES_MAX", 256)
    features, probe = unit_features(600), unit_features(1, seed=5)
    order = np.argsort(-(features @ probe[0]))
    faces = [Face(f"face-{row:04d}", f"subject-{row:04d}") for row in range(600)]
    for row in order[:300]:
        faces[row] = Face(faces[row].face_id, "crowd")
    async with RedisStores(own_redis).open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces, native(features))
        for ranking in (Ranking.SUBJECTS_BY_BEST, Ranking.SUBJECTS_BY_MEAN):
            with pytest.raises(RankingLimitError):
                await store.search("staff", SPACE, probe, 5, ranking=ranking)
        [[first]] = (await store.search("staff", SPACE, probe, 1, ranking=Ranking.SUBJECTS_BY_BEST)).matches
        assert (first.face_id, first.subject) == (f"face-{order[0]:04d}", "crowd")
        monkeypatch.setattr(redis_subjects, "SUBJECT_FACES_MAX", 299)
        with pytest.raises(RankingLimitError):
            await store.search("staff", SPACE, probe, 1, ranking=Ranking.SUBJECTS_BY_MEAN)


async def test_a_mean_is_ranked_by_the_faces_that_may_decide_it(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, ends = 4000, list[int]()

    async def noted(*asked: Any) -> list[list[Match]]:  # noqa: ANN401 - passed on as they came
        ends.append(asked[-1])
        return await nearest(*asked)

    monkeypatch.setattr(redis_subjects, "nearest", noted)
    people = np.repeat(unit_features(rows // 4, seed=1), 4, axis=0)
    features = l2_normalize(people + 0.5 * unit_features(rows, seed=2))
    faces = faces_of(rows, faces_per_subject=4)
    probe = l2_normalize(people[:1] + 0.5 * unit_features(1, seed=3))
    async with RedisStores(own_redis).open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces, native(features))
        [matches] = (await store.search("staff", SPACE, probe, 3, ranking=Ranking.SUBJECTS_BY_MEAN)).matches
    _, expected = scanned(faces, features @ probe[0], Ranking.SUBJECTS_BY_MEAN, Where())
    assert [match.subject for match in matches] == [match.subject for match in expected[:3]]
    assert max(ends, default=0) < 500


def scanned(faces: list[Face], similarities: np.ndarray, ranking: Ranking, where: Where) -> tuple[int, list[Match]]:
    """How many faces pass, and all subjects ranked."""
    rows = [
        row
        for row, face in enumerate(faces)
        if set(where.tags) <= set(face.tags)
        and (where.from_ms or 0) <= face.enrolled_at_ms < (where.until_ms or len(faces))
    ]
    by_subject: dict[str, list[int]] = {}
    for row in rows:
        by_subject.setdefault(faces[row].subject, []).append(row)
    ranked = []
    for subject, own in by_subject.items():
        best = max(own, key=lambda row: similarities[row])
        fused = similarities[best] if ranking is Ranking.SUBJECTS_BY_BEST else similarities[own].mean()
        ranked.append(Match(faces[best].face_id, subject, float(fused)))
    return len(rows), sorted(ranked, key=lambda match: -match.similarity)
