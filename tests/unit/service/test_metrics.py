"""Metric labels stay few."""

import pytest

from service.metrics import GALLERY_LABELS_MAX, create_metrics, method_label


def test_galleries_beyond_the_bound_share_one_label() -> None:
    metrics = create_metrics()
    for index in range(GALLERY_LABELS_MAX):
        assert metrics.gallery_label(f"g{index}") == f"g{index}"
    assert metrics.gallery_label("one-more") == "other"
    assert metrics.gallery_label("g0") == "g0"


@pytest.mark.parametrize(("method", "label"), [("POST", "POST"), ("BREW", "other"), ("get", "other")])
def test_methods_are_the_known_ones(method: str, label: str) -> None:
    assert method_label(method) == label


def test_every_name_has_the_prefix_and_each_registry_is_its_own() -> None:
    first, second = create_metrics(), create_metrics()
    assert all(metric.name.startswith("r3an_") for metric in first.registry.collect())
    first.refused_versions.inc()
    assert second.registry.get_sample_value("r3an_refused_versions_total") == 0
