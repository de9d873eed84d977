"""Which calibrations hold between probes and the faces of a copy, which are native or were translated."""

from collections.abc import Iterable

from contract.calibration import Calibration, strictest
from contract.manifest import TranslatorManifest
from service.catalog import Catalog
from service.galleries.values import Copy

NATIVE = None
Maker = str | None  # id@version of the translator that made a feature; NATIVE: it came in the space


def makers_of(copy: Copy) -> set[Maker]:
    """What made the faces of a copy."""
    makers: set[Maker] = set(copy.translators)
    if copy.faces > sum(copy.translators.values()):
        makers.add(NATIVE)
    return makers


def strictest_of(calibrations: Iterable[Calibration | None]) -> Calibration | None:
    """One that never understates a rate, whichever faces a probe meets; None if one of them is unknown."""
    known = list(calibrations)
    return None if None in known else strictest([calibration for calibration in known if calibration is not None])


def native_calibration(catalog: Catalog, copy: Copy) -> Calibration | None:
    """Of native probes and native faces: the strictest of what the translators into the space measured."""
    # Each measured it on its own people, and nobody knows which of them are like those of the gallery.
    into_space = [m.target_calibration for m in catalog.translators.values() if m.target == copy.space]
    return strictest([calibration for calibration in into_space if calibration is not None])


def translated_calibration(
    catalog: Catalog, probes: TranslatorManifest | None, made_by: TranslatorManifest | None
) -> Calibration | None:
    """Of native probes (None), or of those of a translator, and faces that one made.

    Nobody measures two translators with one another, nor one (None) that is not in the repository any more. A version
    may be published again to say more of it.
    """
    if made_by is None:
        return None
    served = catalog.translators.get(made_by.id, made_by)
    versions = [version for version in (made_by, served) if _translate_alike(version, made_by)]
    if probes is None:
        return next((v.native_to_translated for v in versions if v.native_to_translated is not None), None)
    if not _translate_alike(probes, made_by):
        return None
    return next((v.translated_to_translated for v in versions if v.translated_to_translated is not None), None)


def _translate_alike(one: TranslatorManifest, other: TranslatorManifest) -> bool:
    weights = one.training.weights_sha256
    return one.name == other.name or (
        one.id == other.id and weights is not None and weights == other.training.weights_sha256
    )
