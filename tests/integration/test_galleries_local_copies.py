"""What only the embedded store promises of copies: leases end by its clock, what is dropped leaves the disk."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from service.errors import CopyIncompleteError
from service.galleries.base import GalleryStore
from service.galleries.embedded import erasure
from service.galleries.values import Claim, Copy, Face, Rendition
from tests.integration.gallery_stores import (
    OTHER_SPACE,
    SPACE,
    LocalStores,
    faces_of,
    native,
    on_disk,
    translated,
    unit_features,
)

LEASE_MS = 1000
pytestmark = pytest.mark.anyio


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


async def claimed(store: GalleryStore, limit: int) -> list[str]:
    claim = await store.claim("staff", OTHER_SPACE, limit, LEASE_MS)
    return [] if claim is None else ids_of(claim)


def ids_of(claim: Claim) -> list[str]:
    return [original.face.face_id for original in claim.originals]


def away_from(claim: Claim) -> Rendition:
    """Translations that point away from the originals: recognisable and of unit length."""
    return translated(-np.stack([original.feature for original in claim.originals]), OTHER_SPACE)


async def fill_all(store: GalleryStore) -> None:
    while claim := await store.claim("staff", OTHER_SPACE, 7, LEASE_MS):
        assert await store.fill("staff", claim, [away_from(claim)]) == len(claim.originals)


async def test_leases_end_by_the_clock_and_come_again_lowest_first(tmp_path: Path) -> None:
    clock, faces = Clock(), [Face(name, "somebody") for name in "abcdef"]
    async with LocalStores(tmp_path, clock).open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces, native(unit_features(6)))
        await store.add_copy("staff", OTHER_SPACE)
        assert await claimed(store, 2) == ["a", "b"]
        clock.now_s = 0.6
        assert await claimed(store, 2) == ["c", "d"]
        clock.now_s = 1.0
        assert await claimed(store, 3) == ["a", "b", "e"]
        assert await claimed(store, 3) == ["f"]
        assert await claimed(store, 3) == []
        clock.now_s = 1.6
        assert await claimed(store, 3) == ["c", "d"]


async def test_faces_that_come_to_be_missing_behind_the_claims_are_found(tmp_path: Path) -> None:
    features = unit_features(4)
    async with LocalStores(tmp_path, Clock()).open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", [Face(name, "ada") for name in "bcd"], native(features[:3]))
        await store.add_copy("staff", OTHER_SPACE)
        await fill_all(store)
        await store.upsert("staff", [Face("a", "ada"), Face("c", "grace")], native(features[:2]))
        with pytest.raises(CopyIncompleteError):
            await store.serve("staff", OTHER_SPACE)
        assert await claimed(store, 10) == ["a", "c"]


async def test_a_face_enrolled_anew_under_its_lease_is_found_when_that_ends(tmp_path: Path) -> None:
    async with LocalStores(tmp_path, Clock()).open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", [Face("a", "ada"), Face("b", "ada")], native(unit_features(2)))
        await store.add_copy("staff", OTHER_SPACE)
        claim = await store.claim("staff", OTHER_SPACE, 2, LEASE_MS)
        assert claim is not None
        await store.upsert("staff", [Face("a", "ada")], native(unit_features(1, seed=1)))
        assert await claimed(store, 2) == []
        assert await store.fill("staff", claim, [away_from(claim)]) == 1
        assert await claimed(store, 2) == ["a"]


async def test_what_was_not_filled_before_a_restart_is_claimed_anew(tmp_path: Path) -> None:
    faces, features = faces_of(30), unit_features(30)
    async with LocalStores(tmp_path).open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces, native(features))
        await store.add_copy("staff", OTHER_SPACE)
        claim = await store.claim("staff", OTHER_SPACE, 10, LEASE_MS)
        assert claim is not None
        await store.fill("staff", claim, [away_from(claim)])
        assert len(await claimed(store, 10)) == 10
    async with LocalStores(tmp_path).open() as store:
        assert (await store.info("staff")).copies == (
            Copy(SPACE, 30),
            Copy(OTHER_SPACE, 10, translators={"translator@1": 10}),
        )
        await fill_all(store)
        await store.serve("staff", OTHER_SPACE)
    async with LocalStores(tmp_path).open() as store:
        assert (await store.info("staff")).copies == (
            Copy(OTHER_SPACE, 30, translators={"translator@1": 30}),
            Copy(SPACE, 30),
        )
        for row in range(30):
            [[match]] = (await store.search("staff", OTHER_SPACE, -features[row : row + 1], 1)).matches
            assert match.face_id == faces[row].face_id


async def test_a_dropped_copy_leaves_the_disk_and_the_originals_stay(tmp_path: Path) -> None:
    faces, features, other = faces_of(20), unit_features(20), unit_features(20, seed=1)
    async with LocalStores(tmp_path).open() as store:
        await store.create("staff", SPACE)
        await store.upsert("staff", faces[:10], native(features[:10]))
        await store.upsert("staff", faces[10:], native(other[10:], OTHER_SPACE), [translated(features[10:])])
        await store.add_copy("staff", OTHER_SPACE)
        assert (await store.info("staff")).copies[1] == Copy(OTHER_SPACE, 0)
        while claim := await store.claim("staff", OTHER_SPACE, 7, LEASE_MS):
            own = {original.face.face_id: original.feature for original in claim.originals}
            renditions = [
                Rendition(OTHER_SPACE, own[original.face.face_id][None], None)
                if original.space == OTHER_SPACE
                else translated(-own[original.face.face_id][None], OTHER_SPACE)
                for original in claim.originals
            ]
            await store.fill("staff", claim, renditions)
        assert all(on_disk(tmp_path, feature) for feature in [*features, *-features[:10], *other[10:]])
        held = (await store.get("staff", faces[15].face_id)).held
        assert [(one.space, one.translator) for one in held] == [(OTHER_SPACE.id, None), (SPACE.id, "translator@1")]
        await store.serve("staff", OTHER_SPACE)
        await store.drop_copy("staff", SPACE)
        assert [on_disk(tmp_path, feature) for feature in features] == [True] * 10 + [False] * 10
        assert len(await store.originals("staff", None, 100)) == 20
        assert await store.origins("staff") == {SPACE.id: 10, OTHER_SPACE.id: 10}
        await store.add_copy("staff", SPACE)
        await store.drop_copy("staff", SPACE)
        assert len(await store.originals("staff", None, 100)) == 20
    async with LocalStores(tmp_path).open() as store:
        assert (await store.info("staff")).copies == (Copy(OTHER_SPACE, 20, translators={"translator@1": 10}),)
        [[match]] = (await store.search("staff", OTHER_SPACE, other[15:16], 1)).matches
        assert match.face_id == faces[15].face_id
        await store.delete_face("staff", faces[0].face_id)
        assert not on_disk(tmp_path, features[0])


async def test_writes_get_in_between_while_a_gallery_is_erased_and_closing_leaves_the_rest_to_the_next_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "STEP_SLOTS", 1)
    faces, features = faces_of(300), unit_features(300)
    async with LocalStores(tmp_path).open() as store:
        for gallery in ("staff", "visitors"):
            await store.create(gallery, SPACE)
        await store.upsert("staff", faces, native(features))
        dropping = asyncio.create_task(store.drop("staff"))
        await asyncio.sleep(0)
        await store.upsert("visitors", faces[:1], native(unit_features(1, seed=1)))
        assert [info.name for info in (await store.list()).galleries] == ["visitors"]
        assert await store.create("staff", OTHER_SPACE) is True
        assert not dropping.done()
    await dropping
    assert any(on_disk(tmp_path, feature) for feature in features)
    async with LocalStores(tmp_path).open() as store:
        assert not any(on_disk(tmp_path, feature) for feature in features)
        assert [(info.name, info.faces) for info in (await store.list()).galleries] == [("staff", 0), ("visitors", 1)]
