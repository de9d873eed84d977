"""The faces nearest to a probe, as Redis ranks them, rescored in float64 from the stored features."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Features
from service.galleries.redis_commands import Argument, Command, RedisCommands
from service.galleries.redis_features import half_precision, unpack_half
from service.galleries.redis_index import attribute_of
from service.galleries.redis_records import GalleryRecord, HeldCopy, split_tags
from service.galleries.values import EVERYWHERE, Match, Ranking, Where

SPARE_CANDIDATES = 16  # beyond top_k: half precision may rank near-equals otherwise than their rescored similarity

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


async def count(redis: RedisCommands, what: Search) -> int:
    """How many faces are searched."""
    if what.where == EVERYWHERE:
        return what.copy.faces
    selection, parameters = _selection(what.where)
    return int((await redis.command("FT.SEARCH", *_query(what, selection, parameters), "LIMIT", 0, 0))[0])


async def nearest(redis: RedisCommands, what: Search, probes: Features, first: int, end: int) -> list[list[Match]]:
    """For each probe [N, d] the faces from the rank `first`, counted from 0, until before `end`."""
    commands = [_nearest_command(what, half, first, end) for half in half_precision(probes)]
    replies = await redis.commands(commands)
    return [_read_matches(what, reply, probe) for reply, probe in zip(replies, probes, strict=True)]


def selects(where: Where, tags: bytes | None, enrolled_at_ms: bytes) -> bool:
    """Whether a face is searched."""
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


def _nearest_command(what: Search, probe: bytes, first: int, end: int) -> Command:
    selection, parameters = _selection(what.where)
    query = f"{selection}=>[KNN $k @{attribute_of(what.copy)} $probe AS distance]"
    told = _query(what, query, (*parameters, "k", end, "probe", probe))
    fields = ("RETURN", 4, "subject", attribute_of(what.copy), "AS", "feature")
    return ("FT.SEARCH", *told, "SORTBY", "distance", *fields, "LIMIT", first, end - first)


def _read_matches(what: Search, reply: Sequence[Any], probe: Probe) -> list[Match]:
    """Matches from the reply to `_nearest_command`, rescored, most similar first, ties by face_id."""
    keys, documents = reply[1::2], [_pairs(row) for row in reply[2::2]]
    similarities = similarities_of([document[b"feature"] for document in documents], probe)
    prefix = len(what.record.face_key(""))
    return in_order(
        Match(key.decode()[prefix:], document[b"subject"].decode(), similarity)
        for key, document, similarity in zip(keys, documents, similarities, strict=True)
    )


def similarities_of(packed: Sequence[bytes], probe: Probe) -> list[float]:
    """Cosines of stored features at unit length with a probe, row by row in float64: equal features tie."""
    features = unpack_half(packed, len(probe)).astype(np.float64)  # [K, d]
    similarities = (features * probe).sum(axis=1) / np.linalg.norm(features, axis=1)  # [K]
    clipped: list[float] = similarities.clip(-1.0, 1.0).tolist()
    return clipped


def in_order(matches: Iterable[Match]) -> list[Match]:
    """Most similar first, ties by face_id."""
    return sorted(matches, key=lambda match: (-match.similarity, match.face_id))


def _pairs(row: Sequence[bytes]) -> Mapping[bytes, bytes]:
    return dict(zip(row[::2], row[1::2], strict=True))
