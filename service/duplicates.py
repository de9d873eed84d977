"""Faces that look like one of another subject: among those of one request, and among those a gallery holds."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from contract.vectors import Features
from service.bounds import Deadline
from service.entry import asking_store
from service.errors import CopiesChangedError, GallerySpaceMismatchError
from service.galleries.base import GalleryStore
from service.galleries.values import Face, GalleryInfo, Match
from service.thresholds import ANY, Threshold

BLOCK_ROWS: Final = 128  # compared with all of a request at once: [128, N] similarities are held
# A face is compared with so many of its most similar ones, four times as many for as long as all of them are of its own
# subject or about to be replaced.
CANDIDATES_MIN: Final = 16
CANDIDATES_MAX: Final = 4096
CANDIDATES_AT_ONCE_MAX: Final = 65_536  # of all rows of one question to the store


class OnDuplicate(StrEnum):
    """What becomes of a face that looks like one of another subject."""

    ALLOW = "allow"
    REPORT = "report"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class DuplicatePolicy:
    """What is done about duplicates, and from which similarity or false-match rate on a face is one."""

    on_duplicate: OnDuplicate = OnDuplicate.ALLOW
    threshold: Threshold = ANY


ALLOWED: Final = DuplicatePolicy()


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A row to enrol, and the most similar face of another subject that is enrolled, or stands in a row before."""

    row: int
    face_id: str
    subject: str
    similarity: float


def within_request(
    faces: Sequence[Face], features: Features, min_similarity: float, deadline: Deadline
) -> dict[int, Duplicate]:
    """By row, the duplicates among unit-length features [N, d], each of a row before. Raises DeadlineExceededError."""
    subjects = {subject: number for number, subject in enumerate(dict.fromkeys(face.subject for face in faces))}
    numbers = np.array([subjects[face.subject] for face in faces])  # [N]
    duplicates: dict[int, Duplicate] = {}
    for start in range(0, len(faces), BLOCK_ROWS):
        deadline.remaining_ms()
        rows = np.arange(start, min(start + BLOCK_ROWS, len(faces)))
        earlier = int(rows[-1]) + 1
        similarities = features[rows] @ features[:earlier].T  # [block, earlier]
        comparable = (np.arange(earlier) < rows[:, None]) & (numbers[:earlier] != numbers[rows][:, None])
        similarities[~comparable] = -np.inf
        best = similarities.argmax(axis=1)  # [block]
        for row, column, similarity in zip(rows.tolist(), best.tolist(), similarities.max(axis=1), strict=True):
            if similarity >= min_similarity:
                other = faces[column]
                duplicates[row] = Duplicate(row, other.face_id, other.subject, min(1.0, float(similarity)))
    return duplicates


async def within_gallery(
    galleries: GalleryStore,
    gallery: GalleryInfo,
    faces: Sequence[Face],
    features: Features,
    min_similarity: float,
    deadline: Deadline,
) -> dict[int, Duplicate]:
    """By row, the duplicates of enrolled faces among unit-length features [N, d] in the serving space.

    Enrolled faces that the request replaces do not count.

    Raises:
        UnknownGalleryError, DeadlineExceededError, GalleryUnavailableError.
        CopiesChangedError: the copy does not exist any more.
    """
    replaced = frozenset(face.face_id for face in faces)
    duplicates: dict[int, Duplicate] = {}
    undecided, candidates = list(range(len(faces))), CANDIDATES_MIN
    while undecided and candidates <= CANDIDATES_MAX:
        pending, undecided = undecided, []
        rows_at_once = CANDIDATES_AT_ONCE_MAX // candidates
        for start in range(0, len(pending), rows_at_once):
            rows = pending[start : start + rows_at_once]
            found = await _most_similar(galleries, gallery, features[rows], candidates, deadline)
            for row, matches in zip(rows, found, strict=True):
                near = [match for match in matches if match.similarity >= min_similarity]
                other = _other(near, faces[row].subject, replaced)
                if other is not None:
                    duplicates[row] = Duplicate(row, other.face_id, other.subject, other.similarity)
                elif len(near) == candidates:
                    undecided.append(row)
        candidates *= 4
    return duplicates


async def _most_similar(
    galleries: GalleryStore, gallery: GalleryInfo, features: Features, count: int, deadline: Deadline
) -> list[list[Match]]:
    try:
        async with asking_store(deadline):
            return (await galleries.search(gallery.name, gallery.space, features, count)).matches
    except GallerySpaceMismatchError:
        raise CopiesChangedError("the gallery is served by another copy by now") from None


def _other(near: Sequence[Match], subject: str, replaced: Set[str]) -> Match | None:
    return next((match for match in near if match.subject != subject and match.face_id not in replaced), None)
