"""Search in a copy: Redis scans every face, or follows a graph of neighbours where the caller allows for it.

What it finds is rescored in float64 from the stored features.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.spaces import FeatureSpace
from contract.vectors import Features
from service.errors import UnknownGalleryError
from service.galleries.redis_commands import Argument, Command, CommandRefusedError, RedisCommands
from service.galleries.redis_features import half_precision, unpack_half
from service.galleries.redis_index import attribute_of, complete_index, has_approximate_index
from service.galleries.redis_lifecycle import find, find_copy
from service.galleries.redis_records import GalleryRecord, HeldCopy, split_tags
from service.galleries.refusals import NO_GALLERY, no_copy
from service.galleries.values import EVERYWHERE, Found, Match, Ranking, Where, may_approximate

SPARE_CANDIDATES = 16  # beyond top_k: half precision may rank near-equals otherwise than their rescored similarity
RANKED_FACES_MAX = 4096  # fetched for one probe to rank subjects by their best face; beyond, Redis groups them
LATE_FACES = 1000  # that may be enrolled between counting and ranking all
RANK_OF_SUBJECT = {Ranking.SUBJECTS_BY_BEST: "MIN", Ranking.SUBJECTS_BY_MEAN: "AVG"}  # of its faces' distances
PAGE_FACES = 1000

Probe = NDArray[np.float32]  # [d]


class Search(NamedTuple):
    """What is ranked, how many are wanted, and where."""

    record: GalleryRecord
    copy: HeldCopy
    top_k: int
    ranking: Ranking = Ranking.FACES
    where: Where = EVERYWHERE
    approximate: bool = False

    @property
    def candidates(self) -> int:
        """How many Redis is asked for."""
        return self.top_k + SPARE_CANDIDATES


async def search(
    redis: RedisCommands,
    gallery: str,
    space: FeatureSpace,
    probes: Features,
    top_k: int,
    ranking: Ranking,
    where: Where,
    exact: bool,
) -> Found:
    """The top_k of each probe [N, d] in the copy of their space, whose index is completed where it is not."""
    record, copy = await find_copy(redis, gallery, space)
    what = Search(record, copy, top_k, ranking, where)
    try:
        await complete_index(redis, record, copy)
        if not exact and await _can_approximate(redis, what):
            with suppress(CommandRefusedError):  # the approximation was removed meanwhile
                return await search_index(redis, what._replace(approximate=True), probes)
        return await search_index(redis, what, probes)
    except CommandRefusedError:
        now = await find(redis, gallery)
        if now.incarnation != record.incarnation:
            raise UnknownGalleryError(NO_GALLERY) from None
        if not record.shares_copy(now, copy):
            raise no_copy(space) from None
        raise


async def _can_approximate(redis: RedisCommands, what: Search) -> bool:
    if what.copy.approximation is None or not may_approximate(what.ranking, what.where):
        return False
    return await has_approximate_index(redis, what.record, what.copy)


async def search_index(redis: RedisCommands, what: Search, probes: Features) -> Found:
    """The top_k of each probe [N, d] by a complete index. Raises CommandRefusedError: it is gone."""
    searched = await _count(redis, what)
    if searched == 0:
        return Found([[] for _ in probes], 0)
    if what.ranking is Ranking.SUBJECTS_BY_MEAN:
        return Found([await _rank_all(redis, what, probe, searched) for probe in probes], searched)
    replies = await redis.commands([_nearest_command(what, probe, what.candidates) for probe in half_precision(probes)])
    found = [_read_matches(what, reply, probe) for reply, probe in zip(replies, probes, strict=True)]
    if what.ranking is Ranking.SUBJECTS_BY_BEST:
        pairs = zip(found, probes, strict=True)
        found = [await _best_of_subjects(redis, what, ranked, probe, searched) for ranked, probe in pairs]
    return Found([ranked[: what.top_k] for ranked in found], searched, exact=not what.approximate)


async def _count(redis: RedisCommands, what: Search) -> int:
    if what.where == EVERYWHERE:
        return what.copy.faces
    selection, parameters = _selection(what.where)
    return int((await redis.command("FT.SEARCH", *_query(what, selection, parameters), "LIMIT", 0, 0))[0])


async def _best_of_subjects(
    redis: RedisCommands, what: Search, ranked: list[Match], probe: Probe, searched: int
) -> list[Match]:
    faces = what.candidates
    # A subject that is not among the faces found has its best face beyond them.
    while len(ranked) == faces and len({match.subject for match in ranked[:-SPARE_CANDIDATES]}) < what.top_k:
        faces *= 2
        if faces > RANKED_FACES_MAX:
            return await _rank_all(redis, what, probe, searched)
        [half] = half_precision(probe[np.newaxis])
        ranked = _read_matches(what, await redis.command(*_nearest_command(what, half, faces)), probe)
    best: dict[str, Match] = {}
    for match in ranked:
        best.setdefault(match.subject, match)
    if what.approximate and len(best) < what.top_k:  # a graph may end before all faces
        return await _rank_all(redis, what, probe, searched)
    return list(best.values())


async def _rank_all(redis: RedisCommands, what: Search, probe: Probe, searched: int) -> list[Match]:
    """Subjects ranked over all faces: Redis shortlists them, their faces are rescored here."""
    what = what._replace(approximate=False)
    [half] = half_precision(probe[np.newaxis])
    group = ("GROUPBY", 1, "@subject", "REDUCE", RANK_OF_SUBJECT[what.ranking], 1, "@distance", "AS", "rank")
    order = ("SORTBY", 2, "@rank", "ASC", "MAX", what.candidates, "LIMIT", 0, what.candidates)
    query = _nearest(what, half, searched + LATE_FACES)
    _, *rows = await redis.command("FT.AGGREGATE", *query, "LOAD", 1, "@subject", *group, *order)
    subjects = [_pairs(row)[b"subject"].decode() for row in rows]
    matches = [await _rescore_subject(redis, what, subject, probe) for subject in subjects]
    return _in_order(match for match in matches if match is not None)[: what.top_k]


async def _rescore_subject(redis: RedisCommands, what: Search, subject: str, probe: Probe) -> Match | None:
    """A subject's most similar face with the subject's similarity; None if its faces went meanwhile."""
    face_ids = sorted(i.decode() for i in await redis.command("SMEMBERS", what.record.subject_key(subject)))
    best: Match | None = None
    total, count = 0.0, 0
    for start in range(0, len(face_ids), PAGE_FACES):
        faces = await _rescore_faces(redis, what, subject, face_ids[start : start + PAGE_FACES], probe)
        total, count = total + sum(face.similarity for face in faces), count + len(faces)
        best = next(iter(_in_order([*faces] if best is None else [best, *faces])), None)
    if best is None or what.ranking is Ranking.SUBJECTS_BY_BEST:
        return best
    return replace(best, similarity=total / count)


async def _rescore_faces(
    redis: RedisCommands, what: Search, subject: str, face_ids: Sequence[str], probe: Probe
) -> list[Match]:
    fields = (f"feature:{what.copy.space.id}", "tags", "enrolled_at_ms")
    rows = await redis.commands([("HMGET", what.record.face_key(face_id), *fields) for face_id in face_ids])
    held = [
        (face_id, feature)
        for face_id, (feature, tags, enrolled_at_ms) in zip(face_ids, rows, strict=True)
        if feature is not None and _selects(what.where, tags, enrolled_at_ms)
    ]
    similarities = _similarities([feature for _, feature in held], probe)
    return [Match(face_id, subject, s) for (face_id, _), s in zip(held, similarities, strict=True)]


def _selects(where: Where, tags: bytes | None, enrolled_at_ms: bytes) -> bool:
    return (
        (not where.tags or set(where.tags) <= set(split_tags((tags or b"").decode())))
        and (where.from_ms is None or int(enrolled_at_ms) >= where.from_ms)
        and (where.until_ms is None or int(enrolled_at_ms) < where.until_ms)
    )


def _selection(where: Where) -> tuple[str, tuple[Argument, ...]]:
    """Which faces are looked at, and the query's parameters for it: what a caller names is never part of a query."""
    terms = [f"@tags:{{$tag{place}}}" for place in range(len(where.tags))]
    parameters = [part for place, tag in enumerate(where.tags) for part in (f"tag{place}", tag)]
    if where.from_ms is not None or where.until_ms is not None:
        first = "-inf" if where.from_ms is None else where.from_ms
        last = "+inf" if where.until_ms is None else f"({where.until_ms}"
        terms.append(f"@enrolled_at_ms:[{first} {last}]")
    return f"({' '.join(terms)})" if terms else "*", tuple(parameters)


def _query(what: Search, query: str, parameters: Sequence[Argument]) -> Command:
    """TIMEOUT 0: a server's default would cut the scan short without a word."""
    told = ("PARAMS", len(parameters), *parameters) if parameters else ()
    return (what.record.index(what.copy.number, approximate=what.approximate), query, *told, "TIMEOUT", 0, "DIALECT", 2)


def _nearest(what: Search, probe: bytes, faces: int) -> Command:
    selection, parameters = _selection(what.where)
    query = f"{selection}=>[KNN $k @{attribute_of(what.copy)} $probe AS distance]"
    return _query(what, query, (*parameters, "k", faces, "probe", probe))


def _nearest_command(what: Search, probe: bytes, faces: int) -> Command:
    answer = ("SORTBY", "distance", "RETURN", 4, "subject", attribute_of(what.copy), "AS", "feature", "LIMIT", 0, faces)
    return ("FT.SEARCH", *_nearest(what, probe, faces), *answer)


def _read_matches(what: Search, reply: Sequence[Any], probe: Probe) -> list[Match]:
    """Matches from the reply to `_nearest_command`, rescored, most similar first, ties by face_id."""
    keys, documents = reply[1::2], [_pairs(row) for row in reply[2::2]]
    similarities = _similarities([document[b"feature"] for document in documents], probe)
    prefix = len(what.record.face_key(""))
    return _in_order(
        Match(key.decode()[prefix:], document[b"subject"].decode(), similarity)
        for key, document, similarity in zip(keys, documents, similarities, strict=True)
    )


def _similarities(packed: Sequence[bytes], probe: Probe) -> list[float]:
    """Cosines of stored features at unit length with a probe, row by row in float64: equal features tie."""
    features = unpack_half(packed, len(probe)).astype(np.float64)  # [K, d]
    similarities = (features * probe).sum(axis=1) / np.linalg.norm(features, axis=1)  # [K]
    clipped: list[float] = similarities.clip(-1.0, 1.0).tolist()
    return clipped


def _in_order(matches: Iterable[Match]) -> list[Match]:
    return sorted(matches, key=lambda match: (-match.similarity, match.face_id))


def _pairs(row: Sequence[bytes]) -> Mapping[bytes, bytes]:
    return dict(zip(row[::2], row[1::2], strict=True))
