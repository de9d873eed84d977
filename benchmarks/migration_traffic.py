"""Searches by several connections at a fixed rate, or as fast as they are answered, each answer checked.

Each probe is the source feature of an enrolled face, so that its similarity to that face is 1 in either space: as it is
in the source copy, translated in the target copy. Probe and face of two different spaces are strangers: `far_apart`
makes sure that no face's feature is near its own translation. So an answer in which the face is missing, or is less
similar than 0.99, compares two spaces, or a part of it does.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import numpy as np

from benchmarks.gallery_client import Found, open_client, search
from contract.spaces import FeatureSpace
from contract.vectors import Features, l2_normalize

SAME_SIMILARITY_MIN = 0.99
APART_SIMILARITY_MAX = 0.5
TOP_K = 5


@dataclass(frozen=True, slots=True)
class Probes:
    """Enrolled faces by their own source features [N, d], unit length; the face of row i is `face_ids[i]`."""

    gallery: str
    space: FeatureSpace
    face_ids: Sequence[str]
    features: Features


@dataclass(slots=True)
class Answers:
    """Milliseconds of each answered search from when it was due, by when that was; and how many went wrong."""

    due_s: list[float] = field(default_factory=list)
    taken_ms: list[float] = field(default_factory=list)
    failed: int = 0
    mixed: int = 0

    @property
    def count(self) -> int:
        """All requests."""
        return len(self.taken_ms) + self.failed

    def percentile_ms(self, percent: float) -> float:
        """Of all answers."""
        return float(np.percentile(self.taken_ms, percent))

    def parts(self, count: int) -> list["Answers"]:
        """The same in the order of time, in so many parts."""
        order = np.argsort(self.due_s)
        return [
            Answers([self.due_s[i] for i in part], [self.taken_ms[i] for i in part])
            for part in np.array_split(order, count)
        ]


def far_apart(features: Features, translated: Features) -> float:
    """The greatest similarity of a face's feature [N, d] with its own translation [N, d], compared as if they could be.

    Raises:
        ValueError: it is so great that an answer of two spaces would not be told from one of one.
    """
    similarity = float((l2_normalize(features) * l2_normalize(translated)).sum(axis=1).max())
    if similarity > APART_SIMILARITY_MAX:
        raise ValueError(f"the spaces are too alike: a feature has {similarity:.2f} with its own translation")
    return similarity


@contextmanager
def traffic(url: str, probes: Probes, connections: int, rate_per_s: float | None) -> Iterator[Answers]:
    """Search while the context is open, `rate_per_s` times a second or as fast as answers come.

    At a fixed rate a search that waits for the one before it is late, and its lateness counts.
    """
    answers, lock, ended, started_at = Answers(), threading.Lock(), threading.Event(), time.monotonic()

    def run(number: int) -> None:
        random = np.random.default_rng(number)
        period_s = 0.0 if rate_per_s is None else connections / rate_per_s
        due_s = started_at + period_s * number / connections
        with open_client(url) as client:
            while not ended.wait(max(0.0, due_s - time.monotonic())):
                due_s = time.monotonic() if rate_per_s is None else due_s
                found = _ask(client, probes, row := int(random.integers(len(probes.face_ids))))
                taken_ms = 1000 * (time.monotonic() - due_s)
                with lock:
                    _count(answers, found, probes.face_ids[row], due_s, taken_ms)
                due_s += period_s

    threads = [threading.Thread(target=run, args=(number,), name=f"traffic-{number}") for number in range(connections)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _ask(client: httpx.Client, probes: Probes, row: int) -> list[Found] | None:
    """None: the request failed, or its answer cannot be read."""
    try:
        return search(client, probes.gallery, probes.space, probes.features[row : row + 1], TOP_K)[0]
    except (httpx.HTTPError, ValueError, LookupError):
        return None


def _count(answers: Answers, found: list[Found] | None, face_id: str, due_s: float, taken_ms: float) -> None:
    if found is None:
        answers.failed += 1
        return
    answers.due_s.append(due_s)
    answers.taken_ms.append(taken_ms)
    answers.mixed += is_mixed(found, face_id)


def is_mixed(found: Sequence[Found], face_id: str) -> bool:
    """Whether the answer to a face's own feature does not put it first at the similarity of a thing with itself."""
    return not found or found[0].face_id != face_id or found[0].similarity < SAME_SIMILARITY_MIN
