"""Faces in another space, each from its original and never from a translation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from contract.spaces import FeatureSpace
from contract.vectors import Features
from service.bounds import Deadline
from service.errors import GallerySpaceMismatchError
from service.galleries.values import Original, Rendition
from service.translation import Translation


@dataclass(frozen=True, slots=True)
class Derived:
    """Features [N, dt] of N faces in order, and for each what made it (None: it is native) and its confidence."""

    space: FeatureSpace
    features: Features
    translators: list[str | None]
    confidences: list[float | None]

    def renditions(self) -> list[Rendition]:
        """The same in runs of one translator each."""
        return list(self._runs())

    def _runs(self) -> Iterator[Rendition]:
        kinds = [(made_by, score is None) for made_by, score in zip(self.translators, self.confidences, strict=True)]
        start = 0
        for (made_by, is_unscored), run in groupby(kinds):
            stop = start + sum(1 for _ in run)
            confidence = None if is_unscored else np.array(self.confidences[start:stop], dtype=np.float32)
            yield Rendition(self.space, self.features[start:stop], made_by, confidence)
            start = stop


async def derive(
    translation: Translation, originals: Sequence[Original], target: FeatureSpace, deadline: Deadline
) -> Derived:
    """Bring originals of any spaces into one.

    Raises:
        GallerySpaceMismatchError: the catalogue gives the target another dimension; see also Translation.translate.
    """
    features = np.empty((len(originals), target.dim), dtype=np.float32)
    translators: list[str | None] = [None] * len(originals)
    confidences: list[float | None] = [None] * len(originals)
    for origin, rows in _by_origin(originals).items():
        natives = np.stack([originals[row].feature for row in rows])  # [n, ds]
        if origin == target:
            features[rows] = natives
            continue
        translated = await translation.translate(origin.id, target.id, natives, deadline)
        manifest = translated.manifest
        if manifest.target != target:
            raise GallerySpaceMismatchError(f"{manifest.id!r} answers with {manifest.target.dim} dimensions")
        features[rows] = translated.features
        for position, row in enumerate(rows):
            translators[row] = manifest.name
            if translated.confidence is not None:
                confidences[row] = float(translated.confidence[position])
    return Derived(target, features, translators, confidences)


def _by_origin(originals: Sequence[Original]) -> dict[FeatureSpace, list[int]]:
    rows: dict[FeatureSpace, list[int]] = {}
    for row, original in enumerate(originals):
        rows.setdefault(original.space, []).append(row)
    return rows
