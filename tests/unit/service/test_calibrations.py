"""Which calibration holds between probes and the faces of a copy."""

import numpy as np
import pytest

from contract.manifest import TranslatorManifest
from contract.spaces import FeatureSpace
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


@pytest.mark.parametrize("order", [1, -1])
def test_of_what_translators_measured_of_one_space_the_strictest_holds(order: int) -> None:
    measured = [(0.4, 0.1), (0.7, 0.3), (0.6, 0.5)][::order]  # the similarities at rates of 1e-3 and 1e-1
    catalog = Catalog.of(
        make_manifest(FeatureSpace(id=f"source-{number}", dim=4), target_calibration=calibration(at_3, at_1))
        for number, (at_3, at_1) in enumerate(measured)
    )
    holds = native_calibration(catalog, Copy(TARGET, 1))
    assert holds is not None
    assert [point.similarity for point in holds.points] == [0.5, 0.7]
    for similarity in np.linspace(-1, 1, 201):
        of_each = [calibration(at_3, at_1).fmr_at(similarity) for at_3, at_1 in measured]
        assert holds.fmr_at(similarity) >= max(of_each) * (1 - 1e-9)


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
