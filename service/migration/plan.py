"""What a migration would need and bring, before anything is changed."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from contract.calibration import FMR_LEVELS, Calibration
from contract.manifest import TranslatorManifest
from contract.spaces import FeatureSpace
from contract.vectors import FLOAT32_BYTES
from service.bounds import Deadline
from service.callers import in_own_name
from service.catalog import Catalog
from service.errors import NoRouteError
from service.galleries.base import GalleryStore
from service.galleries.values import GalleryInfo, Original
from service.live_catalog import LiveCatalog
from service.migration.derivation import derive
from service.migration.record import Expected, LowConfidence, OriginPlan, Plan
from service.migration.sampling import sample
from service.translation import Translation

CONFIDENCE_LOW: Final = 0.05
WILSON_Z: Final = 1.959964  # 95 %
ORIGINS_NAMED_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """What translating a few of the gallery's own originals of one origin showed."""

    translated: int
    elapsed_s: float
    confidences: Sequence[float]


class Planner:
    """Plans migrations by the catalogue's manifests and a measurement of the engine."""

    def __init__(self, store: GalleryStore, catalog: LiveCatalog, translation: Translation) -> None:
        self._store = store
        self._catalog = catalog
        self._translation = translation

    async def plan(self, gallery: GalleryInfo, target: FeatureSpace, deadline: Deadline) -> Plan:
        """Plan to bring a gallery into another space.

        Raises:
            NoRouteError: faces were enrolled in a space that no translator joins with the target.
            UnknownGalleryError, GalleryUnavailableError; see also `sample` and `derive`.
        """
        origins = await self._store.origins(gallery.name)
        manifests = routes(self._catalog.current, origins, target)
        measured = {
            origin: await self._measure(faces, target, deadline)
            for origin, faces in (await sample(self._store, gallery, target)).items()
        }
        to_translate = sum(faces for origin, faces in origins.items() if origin != target.id)
        faces_per_second = rate(origins, measured)
        total = sum(origins.values())
        return Plan(
            origins=tuple(
                _origin_plan(origin, faces, manifests.get(origin), measured.get(origin))
                for origin, faces in sorted(origins.items())
            ),
            faces_to_translate=to_translate,
            faces_native=total - to_translate,
            bytes_needed=total * (target.dim * FLOAT32_BYTES + self._store.copy_overhead_bytes),
            sampled=sum(one.translated for one in measured.values()),
            faces_per_second=faces_per_second,
            seconds=None if faces_per_second is None else to_translate / faces_per_second,
        )

    async def _measure(self, faces: Sequence[Original], target: FeatureSpace, deadline: Deadline) -> Measured:
        started = time.monotonic()
        with in_own_name():
            derived = await derive(self._translation, faces, target, deadline)
        elapsed_s = max(time.monotonic() - started, 1e-9)
        return Measured(len(faces), elapsed_s, [score for score in derived.confidences if score is not None])


def rate(origins: Mapping[str, int], measured: Mapping[str, Measured]) -> float | None:
    """Faces a second where each origin has its share of the gallery, for their translators may differ in speed."""
    faces = {origin: origins.get(origin, one.translated) for origin, one in measured.items()}
    seconds = sum(faces[origin] * one.elapsed_s / one.translated for origin, one in measured.items())
    return sum(faces.values()) / seconds if seconds else None


def routes(catalog: Catalog, origins: Mapping[str, int], target: FeatureSpace) -> dict[str, TranslatorManifest]:
    """The translator from each origin to the target.

    Raises:
        NoRouteError: naming the spaces without one, and how many faces were enrolled in each.
    """
    into = {origin: catalog.joining(origin, target.id) for origin in origins if origin != target.id}
    without = sorted(origin for origin, manifest in into.items() if manifest is None)
    if without:
        named = ", ".join(f"{origin!r} ({origins[origin]} faces)" for origin in without[:ORIGINS_NAMED_MAX])
        raise NoRouteError(f"no translator to {target.id!r} from {named}")
    return {origin: manifest for origin, manifest in into.items() if manifest is not None}


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a share of `of` >= 1; E. B. Wilson, 1927."""
    share, z2 = hits / of, WILSON_Z**2
    centre = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = WILSON_Z * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of)) / (1 + z2 / of)
    # Rounding must not leave the share itself outside.
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))


def _origin_plan(origin: str, faces: int, manifest: TranslatorManifest | None, measured: Measured | None) -> OriginPlan:
    if manifest is None:
        return OriginPlan(model=origin, faces=faces)
    return OriginPlan(
        model=origin,
        faces=faces,
        translator=manifest.name,
        method=manifest.method,
        expected=expected_of(manifest),
        low_confidence=None if measured is None else _low_confidence(measured.confidences),
    )


def expected_of(manifest: TranslatorManifest) -> Expected | None:
    """What a manifest says of searches after the move; None: nobody has judged the translator."""
    quality = manifest.quality
    if quality is None:
        return None
    return Expected(
        probes=quality.probes,
        distractors=quality.distractors,
        native_probes=quality.gallery_direction,
        native_probes_similarity_at_fmr=_similarity_at_fmr(manifest.native_to_translated),
        translated_probes=quality.both_translated,
        translated_probes_similarity_at_fmr=_similarity_at_fmr(manifest.translated_to_translated),
        translated_probes_native_faces=quality.translated,
        source_native=quality.source_native,
        target_native=quality.target_native,
    )


def _similarity_at_fmr(calibration: Calibration | None) -> dict[str, float] | None:
    if calibration is None:
        return None
    strictest = calibration.points[-1].fmr
    return {level: calibration.similarity_at(float(level)) for level in FMR_LEVELS if float(level) >= strictest}


def _low_confidence(scores: Sequence[float]) -> LowConfidence | None:
    if not scores:
        return None
    hits = sum(score < CONFIDENCE_LOW for score in scores)
    low, high = wilson(hits, len(scores))
    return LowConfidence(threshold=CONFIDENCE_LOW, sampled=len(scores), share=hits / len(scores), low=low, high=high)
