"""Which calibration holds between probes and the faces of a copy."""

from contract.manifest import TranslatorManifest
from service.calibrations import NATIVE, makers_of, native_calibration, strictest_of, translated_calibration
from service.catalog import Catalog
from service.galleries.values import Copy
from tests.manifests import make_manifest
from tests.repository import SOURCE, TARGET
from tests.unit.service.world import LONELY, NEXT, calibration

FIRST = make_manifest(native_to_translated=calibration(0.4), translated_to_translated=calibration(0.7))
NOTHING = Catalog.of([])


def with_weights(version: int, weights: str, **changes: object) -> TranslatorManifest:
    training = FIRST.training.model_copy(update={"weights_sha256": weights * 64})
    return make_manifest(version=version, training=training, **changes)


def test_faces_that_no_translator_made_are_native() -> None:
    assert makers_of(Copy(TARGET, 0)) == set()
    assert makers_of(Copy(TARGET, 3)) == {NATIVE}
    assert makers_of(Copy(TARGET, 3, translators={"a@1": 2})) == {NATIVE, "a@1"}
    assert makers_of(Copy(TARGET, 3, translators={"a@1": 2, "b@1": 1})) == {"a@1", "b@1"}


def test_one_unknown_rate_leaves_all_unknown() -> None:
    assert strictest_of([calibration(0.4), calibration(0.7)]) == calibration(0.7)
    assert strictest_of([calibration(0.4), None]) is None


def test_native_probes_and_faces_are_as_any_translator_into_the_space_measured() -> None:
    silent, measured = make_manifest(LONELY), make_manifest(target_calibration=calibration(0.9))
    catalog = Catalog.of([silent, measured, make_manifest(SOURCE, NEXT, target_calibration=calibration(0.1))])
    assert native_calibration(catalog, Copy(TARGET, 1)) == calibration(0.9)
    assert native_calibration(catalog, Copy(LONELY, 1)) is None


def test_what_one_version_made_says_nothing_of_what_another_does() -> None:
    catalog = Catalog.of([make_manifest(version=2, native_to_translated=calibration(0.1))])
    assert translated_calibration(catalog, None, FIRST) == calibration(0.4)
    assert translated_calibration(catalog, FIRST, FIRST) == calibration(0.7)
    assert translated_calibration(catalog, catalog.translators[FIRST.id], FIRST) is None
    assert translated_calibration(catalog, make_manifest(LONELY), FIRST) is None
    assert translated_calibration(NOTHING, None, None) is None
    assert translated_calibration(NOTHING, FIRST, None) is None


def test_a_version_published_again_with_the_same_weights_speaks_for_what_the_first_made() -> None:
    before, other = with_weights(1, "a"), with_weights(3, "b", translated_to_translated=calibration(0.2))
    again = with_weights(2, "a", native_to_translated=calibration(0.4), translated_to_translated=calibration(0.7))
    assert translated_calibration(Catalog.of([before]), None, before) is None
    assert translated_calibration(Catalog.of([again]), None, before) == calibration(0.4)
    assert translated_calibration(Catalog.of([again]), again, before) == calibration(0.7)
    assert translated_calibration(Catalog.of([other]), other, before) is None
