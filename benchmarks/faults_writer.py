"""A client that enrols, replaces and deletes faces without end, and remembers what was acknowledged."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Self

import httpx
import numpy as np

from benchmarks.gallery_client import enrol, open_client
from contract.spaces import FeatureSpace
from contract.vectors import Features, l2_normalize

TIMEOUT_S = 15.0
WAIT_S = 0.05  # after an answer that did not come
NOT_FOUND, SERVER_ERROR = 404, 500
FACES_PER_SUBJECT_MAX = 4
REPLACED_FACES_MAX = 3
# Enrol, replace, delete a face, delete a subject.
LIKELY_WHEN_FEW, LIKELY_WHEN_MANY = (0.5, 0.2, 0.2, 0.1), (0.1, 0.2, 0.3, 0.4)


class Outcome(Enum):
    """What became of a request; of one without an answer nobody knows whether it was carried out."""

    DONE = auto()
    REFUSED = auto()
    MISSED = auto()  # what it is about is not there
    UNKNOWN = auto()


@dataclass(slots=True)
class Ledger:
    """What a store must hold, and what it must not. A face is in at most one of the three; ids are never used again."""

    present: dict[str, Features] = field(default_factory=dict)  # face_id -> its feature [d]
    deleted: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    missed: set[str] = field(default_factory=set)  # acknowledged, and unknown to the store when they were deleted
    acknowledged: int = 0  # requests

    def merge(self, other: "Ledger") -> "Ledger":
        """Both, of writers that share no face."""
        return Ledger(
            present=self.present | other.present,
            deleted=self.deleted | other.deleted,
            unknown=self.unknown | other.unknown,
            missed=self.missed | other.missed,
            acknowledged=self.acknowledged + other.acknowledged,
        )


class Writer:
    """One closed loop of requests in a thread of its own, to each gateway in turn. A context manager."""

    def __init__(self, name: str, urls: list[str], gallery: str, space: FeatureSpace, faces: int, seed: int) -> None:
        """`faces`: how many it keeps enrolled, about; `seed`: of what it asks, one after the other."""
        self.ledger = Ledger()
        self._name = name
        self._gallery = gallery
        self._space = space
        self._faces = faces
        self._random = np.random.default_rng(seed)
        self._clients = [open_client(url, TIMEOUT_S) for url in urls]
        self._subjects: dict[str, list[str]] = {}  # of which every face is known
        self._subjects_made = 0
        self._requests = 0
        self._ended = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name)

    def fill(self) -> None:
        """Enrol until there are as many faces as are to be kept, while nothing is killed.

        Raises:
            RuntimeError: enrolments are refused.
        """
        for _ in range(self._faces):  # each adds one or more
            if len(self.ledger.present) >= self._faces:
                return
            self._enrol()
        if len(self.ledger.present) < self._faces:
            raise RuntimeError("the gateway does not enrol")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for client in self._clients:
            client.close()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                self._step()
        except BaseException as error:  # told to whoever ends the thread
            self._failure = error

    def _step(self) -> None:
        """More is enrolled than deleted while there are few, and the other way round."""
        acts = (self._enrol, self._replace, self._delete_face, self._delete_subject)
        is_few = len(self.ledger.present) < self._faces
        number = int(self._random.choice(len(acts), p=LIKELY_WHEN_FEW if is_few else LIKELY_WHEN_MANY))
        acts[number if self._subjects else 0]()

    def _ask(self, request: Callable[[httpx.Client], object]) -> Outcome:
        client = self._clients[self._requests % len(self._clients)]
        self._requests += 1
        try:
            request(client)
        except httpx.ConnectError:  # nothing was sent
            time.sleep(WAIT_S)
            return Outcome.REFUSED
        except httpx.TransportError:
            return Outcome.UNKNOWN
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            if status >= SERVER_ERROR:
                time.sleep(WAIT_S)
                return Outcome.UNKNOWN
            return Outcome.MISSED if status == NOT_FOUND else Outcome.REFUSED
        self.ledger.acknowledged += 1
        return Outcome.DONE

    def _enrol(self) -> None:
        self._subjects_made += 1
        subject = f"{self._name}-{self._subjects_made}"
        face_ids = [f"{subject}-{face}" for face in range(self._random.integers(1, FACES_PER_SUBJECT_MAX + 1))]
        self._write(subject, face_ids)

    def _replace(self) -> None:
        subject = self._any_subject()
        self._write(subject, self._subjects[subject][:REPLACED_FACES_MAX])

    def _write(self, subject: str, face_ids: list[str]) -> None:
        shape = (len(face_ids), self._space.dim)
        features = l2_normalize(self._random.standard_normal(shape, dtype=np.float32))
        subjects = [subject] * len(face_ids)
        outcome = self._ask(lambda client: enrol(client, self._gallery, self._space, face_ids, subjects, features))
        if outcome is Outcome.DONE:
            self.ledger.present |= dict(zip(face_ids, features, strict=True))
            self._subjects.setdefault(subject, list(face_ids))
        elif outcome is Outcome.UNKNOWN:
            self._give_up(subject, face_ids)
        elif outcome is Outcome.MISSED:
            raise RuntimeError("the gallery is gone")

    def _delete_face(self) -> None:
        subject = self._any_subject()
        face_id = str(self._random.choice(self._subjects[subject]))
        self._delete(subject, [face_id], f"faces/{face_id}")

    def _delete_subject(self) -> None:
        subject = self._any_subject()
        self._delete(subject, self._subjects[subject], f"subjects/{subject}")

    def _delete(self, subject: str, face_ids: list[str], what: str) -> None:
        path = f"/galleries/{self._gallery}/{what}"
        outcome = self._ask(lambda client: client.delete(path).raise_for_status())
        if outcome is Outcome.DONE:
            self._forget(subject, face_ids)
            self.ledger.deleted |= set(face_ids)
        elif outcome is Outcome.MISSED:
            self._forget(subject, face_ids)
            self.ledger.missed |= set(face_ids)
        elif outcome is Outcome.UNKNOWN:
            self._give_up(subject, face_ids)

    def _any_subject(self) -> str:
        return str(self._random.choice(list(self._subjects)))

    def _forget(self, subject: str, face_ids: list[str]) -> None:
        left = [face_id for face_id in self._subjects.pop(subject, []) if face_id not in face_ids]
        if left:
            self._subjects[subject] = left
        for face_id in face_ids:
            self.ledger.present.pop(face_id, None)

    def _give_up(self, subject: str, face_ids: list[str]) -> None:
        """Nobody knows what became of these; the subject is left alone, since a deletion of it may still come."""
        self._forget(subject, face_ids)
        self._subjects.pop(subject, None)
        self.ledger.unknown |= set(face_ids)
