"""Subjects ranked: faces are read in the order of their similarity until none that is unread can change the answer.

A subject is at most as similar as its most similar face, by the mean too. So those of whom no face was read stand
behind whoever is more similar than the last face read.
"""

import heapq
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import replace
from math import fsum, inf
from typing import NamedTuple

import numpy as np

from service.errors import RankingLimitError
from service.galleries.redis_commands import RedisCommands
from service.galleries.redis_nearest import (
    SPARE_CANDIDATES,
    Probe,
    Search,
    in_order,
    nearest,
    selects,
    similarities_of,
)
from service.galleries.refusals import RANKING_LIMIT
from service.galleries.values import EVERYWHERE, Match, Ranking

RANKED_FACES_MAX = 8192  # for one probe: Redis serves nobody else while it ranks
GRAPH_FACES_MAX = 4096  # of them by a graph, whose search costs more the more it is asked for
SUBJECT_FACES_MAX = 32_768  # of subjects who may be among the first, read one by one
PAGE_FACES = 2048  # that one command answers with
READ_FACES = 1000  # at once


class Seen(NamedTuple):
    """The faces read so far, most similar first; no other is more similar than `rest`, -inf where there is none."""

    faces: list[Match]
    rest: float

    def settles(self, ranked: Sequence[Match], top_k: int) -> bool:
        """Whether nobody who was not seen belongs to the first top_k."""
        return self.rest == -inf or (len(ranked) >= top_k and ranked[top_k - 1].similarity >= self.rest)


async def rank_subjects(redis: RedisCommands, what: Search, probe: Probe, first: list[Match]) -> list[Match]:
    """The top_k subjects of a probe, whose `first` candidates were read. Raises RankingLimitError."""
    ranked = await _rank(redis, what, probe, first)
    if what.approximate and (ranked is None or len(ranked) < what.top_k):  # a graph may end before all faces
        what = what._replace(approximate=False)
        [first] = await nearest(redis, what, probe[np.newaxis], 0, what.candidates)
        ranked = await _rank(redis, what, probe, first)
    if ranked is None:
        raise RankingLimitError(RANKING_LIMIT)
    return ranked[: what.top_k]


async def _rank(redis: RedisCommands, what: Search, probe: Probe, first: list[Match]) -> list[Match] | None:
    means = _Means(redis, what, probe)
    async for seen in _walk(redis, what, probe, first):
        if what.ranking is Ranking.SUBJECTS_BY_BEST:
            ranked = [faces[0] for faces in _by_subject(seen.faces).values()]
        else:
            ranked = await _rank_by_mean(means, seen, what.top_k)
        if seen.settles(ranked, what.top_k):
            return ranked
    return None


async def _walk(redis: RedisCommands, what: Search, probe: Probe, first: list[Match]) -> AsyncIterator[Seen]:
    """Ever more of the nearest faces, up to the bound."""
    end_max = GRAPH_FACES_MAX if what.approximate else RANKED_FACES_MAX
    faces, page, asked, end = dict[str, Match](), first, what.candidates, what.candidates
    while True:
        faces |= {face.face_id: face for face in page}
        ranked = in_order(faces.values())
        is_all = len(page) < asked
        yield Seen(ranked, -inf if is_all else ranked[-1 - SPARE_CANDIDATES].similarity)
        if is_all or end >= end_max:
            return
        # Pages overlap, so that none that was deleted meanwhile moves another out of sight.
        start, end = end - SPARE_CANDIDATES, min(2 * end, end + PAGE_FACES, end_max)
        asked = end - start
        [page] = await nearest(redis, what, probe[np.newaxis], start, end)


async def _rank_by_mean(means: "_Means", seen: Seen, top_k: int) -> list[Match]:
    """All subjects of whom faces were seen and who may be among the top_k; more than needed where `seen` settles."""
    of_subject = _by_subject(seen.faces)
    if seen.rest == -inf:
        return in_order(_mean(faces) for faces in of_subject.values())
    # What a subject's seen faces have beyond the rest, over all its faces, is the most its mean can have beyond it.
    excess = {subject: fsum(face.similarity - seen.rest for face in faces) for subject, faces in of_subject.items()}
    ranked = await means.of(heapq.nlargest(top_k + SPARE_CANDIDATES, excess, key=lambda subject: excess[subject]))
    if not seen.settles(ranked, top_k):
        return ranked
    least = ranked[top_k - 1].similarity - seen.rest
    able = {subject: len(faces) for subject, faces in of_subject.items() if excess[subject] / len(faces) >= least}
    able = await means.count_faces(able)
    return await means.of([subject for subject, faces in able.items() if excess[subject] / faces >= least])


class _Means:
    """Subjects' means over all of their faces that are searched, each read once."""

    def __init__(self, redis: RedisCommands, what: Search, probe: Probe) -> None:
        self._redis = redis
        self._what = what
        self._probe = probe
        self._known: dict[str, Match | None] = {}
        self._read = 0

    async def of(self, subjects: Collection[str]) -> list[Match]:
        """Each with its most similar face and its mean, in order, and all that were read before."""
        new = [subject for subject in subjects if subject not in self._known]
        record = self._what.record
        members = await self._redis.commands([("SMEMBERS", record.subject_key(subject)) for subject in new])
        named = [(subject, i.decode()) for subject, ids in zip(new, members, strict=True) for i in ids]
        self._read += len(named)
        if self._read > SUBJECT_FACES_MAX:
            raise RankingLimitError(RANKING_LIMIT)
        faces = [
            face
            for start in range(0, len(named), READ_FACES)
            for face in await self._read_faces(named[start : start + READ_FACES])
        ]
        self._known |= dict.fromkeys(new) | {s: _mean(own) for s, own in _by_subject(in_order(faces)).items()}
        return in_order(match for match in self._known.values() if match is not None)

    async def count_faces(self, seen: dict[str, int]) -> dict[str, int]:
        """How many faces of each are searched, at least, given how many were seen."""
        what = self._what
        if what.where != EVERYWHERE or what.copy.faces < what.record.faces:
            return seen
        counts = await self._redis.commands([("SCARD", what.record.subject_key(subject)) for subject in seen])
        return {subject: max(faces, held) for (subject, faces), held in zip(seen.items(), counts, strict=True)}

    async def _read_faces(self, named: Sequence[tuple[str, str]]) -> list[Match]:
        what = self._what
        fields = (f"feature:{what.copy.space.id}", "tags", "enrolled_at_ms")
        rows = await self._redis.commands([("HMGET", what.record.face_key(face_id), *fields) for _, face_id in named])
        held = [
            (subject, face_id, feature)
            for (subject, face_id), (feature, tags, enrolled_at_ms) in zip(named, rows, strict=True)
            if feature is not None and selects(what.where, tags, enrolled_at_ms)
        ]
        similarities = similarities_of([feature for _, _, feature in held], self._probe)
        return [Match(face_id, subject, s) for (subject, face_id, _), s in zip(held, similarities, strict=True)]


def _by_subject(faces: Iterable[Match]) -> dict[str, list[Match]]:
    of_subject: dict[str, list[Match]] = {}
    for face in faces:
        of_subject.setdefault(face.subject, []).append(face)
    return of_subject


def _mean(faces: Sequence[Match]) -> Match:
    """A subject by its faces in order."""
    return replace(faces[0], similarity=fsum(face.similarity for face in faces) / len(faces))
