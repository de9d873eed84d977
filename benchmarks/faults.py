"""kill -9 at random moments of enrolment, deletion and migration: is what was acknowledged there, once, and no more?"""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np

from benchmarks.faults_audit import Audit, Held, audit, differing, read_held
from benchmarks.faults_stack import Stack
from benchmarks.faults_writer import Ledger, Writer
from benchmarks.gallery_client import create_gallery, enrol, open_client
from benchmarks.migration_client import Step, begin, insist, state_of, take, wait_for_state
from benchmarks.results import Claim, Figure, Result, claim, result_of
from benchmarks.translate import export_untrained
from contract.manifest import Method
from contract.spaces import FeatureSpace
from service.galleries.values import Original
from service.settings import StoreKind
from training.progress import View

SOURCE, TARGET = FeatureSpace(id="faults-source-24", dim=24), FeatureSpace(id="faults-target-16", dim=16)
GALLERY = "faults"
WRITERS = 2
FACES = 2000  # kept enrolled, about
KILLS, KILLS_MAX = 100, 10_000
PAUSE_S_MAX = 0.8  # between a server's return and the next kill
READY_S_MAX = 300.0
ENROL_FACES = 500
TOLERANCE = {StoreKind.LOCAL: 1e-5, StoreKind.REDIS: 2e-3}  # of a component: float32; float16, rounded twice
ENROLMENT, MIGRATION = "enrolment and deletion", "migration"


@dataclass(frozen=True, slots=True)
class Suffered:
    """What one store went through, and what came of it."""

    store: StoreKind
    kills: Counter[tuple[str, str]]  # by what was under way and who was killed
    ledger: Ledger
    audit: Audit
    compared: int  # faces of the target copy
    differing: int  # from an undisturbed migration's


def faults_result(
    command: str, kills: int, stores: Sequence[StoreKind], view: View, *, faces: int = FACES, seed: int = 0
) -> Result:
    """Share the kills among the stores, and claim that nothing was lost, duplicated or resurrected."""
    if not len(stores) <= kills <= KILLS_MAX:
        raise ValueError(f"kills are {len(stores)} to {KILLS_MAX}")
    started_at = time.monotonic()
    shares = [len(part) for part in np.array_split(np.arange(kills), len(stores))]
    suffered = [suffer(store, share, faces, seed, view) for store, share in zip(stores, shares, strict=True)]
    figures: dict[str, float | Figure] = {}
    for one in suffered:
        figures |= _figures(one)
    return result_of(
        name="faults",
        command=command,
        seconds=time.monotonic() - started_at,
        figures=figures,
        claims=_claims(suffered),
    )


def suffer(kind: StoreKind, kills: int, faces: int, seed: int, view: View) -> Suffered:
    """Kill servers under two writers and a migration, let it finish, and compare with a migration nobody disturbed."""
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "model_repository"
        export_untrained(Method.AFFINE, SOURCE, TARGET, repository)
        view.stage(f"{kind}: enrolling {faces:,} faces")
        with Stack(kind, Path(folder) / "disturbed", repository) as stack:
            ledger, counts = _disturb(stack, kills, faces, seed, view, f"{kind}: kills")
            held = asyncio.run(_read(stack))
        view.stage(f"{kind}: migrating undisturbed")
        with Stack(kind, Path(folder) / "undisturbed", repository) as stack:
            _migrate(stack, held.originals.values())
            alone = asyncio.run(_read(stack))
    return Suffered(
        store=kind,
        kills=counts,
        ledger=ledger,
        audit=audit(held, ledger, TOLERANCE[kind]),
        compared=len(alone.target.features),
        differing=differing(held.target, alone.target, TOLERANCE[kind]),
    )


def _disturb(
    stack: Stack, kills: int, faces: int, seed: int, view: View, what: str
) -> tuple[Ledger, Counter[tuple[str, str]]]:
    """The first half of the kills before there is a migration; in the second half there always is one."""
    random, counts, migration = np.random.default_rng(seed), Counter[tuple[str, str]](), None
    writers = [
        Writer(f"w{number}", stack.urls, GALLERY, SOURCE, faces // WRITERS, seed + number) for number in range(WRITERS)
    ]
    with ExitStack() as exits:
        client = exits.enter_context(open_client(stack.urls[0]))
        create_gallery(client, GALLERY, SOURCE)
        for writer in writers:
            writer.fill()
        with ExitStack() as writing:
            for writer in writers:
                writing.enter_context(writer)
            for kill in range(kills):
                if kill >= kills // 2:
                    migration = _under_way(client, migration)
                time.sleep(random.uniform(0, PAUSE_S_MAX))
                victim = str(random.choice(list(stack.victims)))
                is_migrating = migration is not None and _is_unfinished(client, migration)
                stack.kill(victim)
                counts[MIGRATION if is_migrating else ENROLMENT, victim] += 1
                view.counter(what)(kill + 1, kills)
            migration = _under_way(client, migration)
        wait_for_state(client, migration, "ready", READY_S_MAX)
    ledger = writers[0].ledger
    for writer in writers[1:]:
        ledger = ledger.merge(writer.ledger)
    return ledger, counts


def _under_way(client: httpx.Client, migration: str | None) -> str:
    """A migration that is not finished: this one, or another after it was cancelled."""
    if migration is not None and _is_unfinished(client, migration):
        return migration
    if migration is not None:
        take(client, migration, Step.CANCEL)
    return begin(client, GALLERY, TARGET)


def _is_unfinished(client: httpx.Client, migration: str) -> bool:
    return insist(lambda: state_of(client, migration)) in ("beginning", "backfilling")


def _migrate(stack: Stack, originals: Iterable[Original]) -> None:
    """Enrol the same faces and migrate them with nobody else there."""
    rows = list(originals)
    with open_client(stack.urls[0]) as client:
        create_gallery(client, GALLERY, SOURCE)
        for start in range(0, len(rows), ENROL_FACES):
            part = rows[start : start + ENROL_FACES]
            face_ids, subjects = [row.face.face_id for row in part], [row.face.subject for row in part]
            enrol(client, GALLERY, SOURCE, face_ids, subjects, np.stack([row.feature for row in part]))
        wait_for_state(client, begin(client, GALLERY, TARGET), "ready", READY_S_MAX)


async def _read(stack: Stack) -> Held:
    async with stack.store() as store:
        return await read_held(store, GALLERY, SOURCE, TARGET)


def _figures(one: Suffered) -> dict[str, float | Figure]:
    figures: dict[str, float | Figure] = {
        f"{one.store}: kills during {during}, of {victim}": float(count)
        for (during, victim), count in sorted(one.kills.items())
    }
    return figures | {
        f"{one.store}: acknowledged requests": float(one.ledger.acknowledged),
        f"{one.store}: faces with an acknowledged enrolment": float(len(one.ledger.present)),
        f"{one.store}: faces with an acknowledged deletion": float(len(one.ledger.deleted)),
        f"{one.store}: faces whose last request had no answer": float(len(one.ledger.unknown)),
        f"{one.store}: faces compared with an undisturbed migration's": float(one.compared),
    }


def _claims(suffered: Sequence[Suffered]) -> list[Claim]:
    claims = [claim("kills", float(sum(one.kills.total() for one in suffered)), ">=", float(KILLS))]
    for one in suffered:
        claims += [
            claim(f"{one.store}: acknowledged faces lost", float(one.audit.lost), "<=", 0.0),
            claim(f"{one.store}: faces duplicated", float(one.audit.duplicated), "<=", 0.0),
            claim(f"{one.store}: deleted faces resurrected", float(one.audit.resurrected), "<=", 0.0),
            claim(f"{one.store}: rows unlike an undisturbed migration's", float(one.differing), "<=", 0.0),
        ]
    return claims
