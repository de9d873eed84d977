"""A check that finds nothing is worth something only if it finds what is put there; and the whole runs, tiny."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import faults as module
from benchmarks.faults import faults_result
from benchmarks.faults_audit import Audit, Held, Rows, audit, differing, read_held
from benchmarks.faults_writer import Ledger
from benchmarks.gallery_stores import open_store
from contract.spaces import FeatureSpace
from contract.vectors import Features, l2_normalize
from service.galleries.values import Face, Rendition
from service.settings import StoreKind
from training.progress import view_progress

SOURCE, TARGET = FeatureSpace(id="source-8", dim=8), FeatureSpace(id="target-6", dim=6)
GALLERY = "faults"
FACES = 12
TOLERANCE = 1e-5


def _unit(rows: int, dim: int, seed: int) -> Features:
    return l2_normalize(np.random.default_rng(seed).standard_normal((rows, dim), dtype=np.float32))


async def _fill_and_read(folder: Path) -> Held:
    store = await open_store(StoreKind.LOCAL, str(folder))
    try:
        await store.create(GALLERY, SOURCE)
        await store.add_copy(GALLERY, TARGET)
        faces = [Face(f"face-{row}", f"subject-{row}") for row in range(FACES)]
        translated = Rendition(TARGET, _unit(FACES, TARGET.dim, seed=1), "translator@1")
        await store.upsert(GALLERY, faces, Rendition(SOURCE, _unit(FACES, SOURCE.dim, seed=0)), [translated])
        return await read_held(store, GALLERY, SOURCE, TARGET)
    finally:
        await store.close()


@pytest.fixture
def held(tmp_path: Path) -> Held:
    return asyncio.run(_fill_and_read(tmp_path))


@pytest.fixture
def ledger() -> Ledger:
    """Of the faces that are there, and of one that was deleted."""
    features = _unit(FACES, SOURCE.dim, seed=0)
    return Ledger(present={f"face-{row}": features[row] for row in range(FACES)}, deleted={"face-deleted"})


def test_features_are_read_back_through_searches(held: Held) -> None:
    for rows, dim, seed in ((held.source, SOURCE.dim, 0), (held.target, TARGET.dim, 1)):
        read = np.stack([rows.features[f"face-{row}"] for row in range(FACES)])
        assert np.allclose(read, _unit(FACES, dim, seed), atol=TOLERANCE)


def test_a_store_that_holds_what_was_acknowledged_passes(held: Held, ledger: Ledger) -> None:
    assert audit(held, ledger, TOLERANCE) == Audit(lost=0, duplicated=0, resurrected=0)


def _forget_original(held: Held) -> Held:
    return replace(held, originals={k: v for k, v in held.originals.items() if k != "face-3"})


def _forget_in_target(held: Held) -> Held:
    features = {k: v for k, v in held.target.features.items() if k != "face-3"}
    return replace(held, target=replace(held.target, features=features))


def _keep_old_feature(held: Held) -> Held:
    stale = dict(held.source.features) | {"face-3": -held.source.features["face-3"]}
    return replace(held, source=replace(held.source, features=stale))


@pytest.mark.parametrize("damage", [_forget_original, _forget_in_target, _keep_old_feature])
def test_a_missing_or_stale_face_is_lost(held: Held, ledger: Ledger, damage: Callable[[Held], Held]) -> None:
    assert audit(damage(held), ledger, TOLERANCE) == Audit(lost=1, duplicated=0, resurrected=0)


def test_an_acknowledged_face_that_a_deletion_did_not_find_is_lost(held: Held, ledger: Ledger) -> None:
    ledger.missed.add("face-missed")
    assert audit(held, ledger, TOLERANCE).lost == 1


def test_a_face_that_an_answer_names_twice_is_duplicated(held: Held, ledger: Ledger) -> None:
    twice = replace(held, repeated=1, target=replace(held.target, repeated=2))
    assert audit(twice, ledger, TOLERANCE).duplicated == 3


def test_a_deleted_face_in_any_copy_is_resurrected(held: Held, ledger: Ledger) -> None:
    back = dict(held.target.features) | {"face-deleted": _unit(1, TARGET.dim, seed=2)[0]}
    risen = replace(held, target=replace(held.target, features=back))
    assert audit(risen, ledger, TOLERANCE).resurrected == 1


def test_a_face_without_an_answer_counts_neither_way(held: Held, ledger: Ledger) -> None:
    del ledger.present["face-3"]
    ledger.unknown |= {"face-3", "face-never-seen"}
    assert audit(held, ledger, TOLERANCE) == Audit(lost=0, duplicated=0, resurrected=0)


def test_rows_differ_by_a_missing_face_or_another_feature(held: Held) -> None:
    assert differing(held.target, held.target, TOLERANCE) == 0
    changed = dict(held.target.features) | {"face-3": -held.target.features["face-3"]}
    assert differing(held.target, Rows(changed, repeated=0), TOLERANCE) == 1
    del changed["face-4"]
    assert differing(held.target, Rows(changed, repeated=0), TOLERANCE) == 2


@pytest.mark.parametrize("store", list(StoreKind))
def test_kills_are_suffered_and_counted(store: StoreKind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S_MAX", 0.2)
    with view_progress(as_json=True) as view:
        result = faults_result("command", 2, [store], view, faces=40)
    assert sum(v for k, v in result.figures.items() if "kills during" in k and isinstance(v, float)) == 2
    assert [claim.what for claim in result.claims if not claim.holds] == ["kills"], "two are fewer than is claimed"


@pytest.mark.parametrize("kills", [0, 1_000_000])
def test_a_number_of_kills_out_of_bounds_is_refused(kills: int) -> None:
    with view_progress(as_json=True) as view, pytest.raises(ValueError, match="kills are"):
        faults_result("command", kills, [StoreKind.LOCAL], view)
