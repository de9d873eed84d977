"""Every metric name, label and bucket. Labels take registered names only; what is not registered is `other`."""

import os
import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

# Where the processes of one gateway keep their metrics together; the library reads the variable when it is imported.
SHARED_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
OTHER: Final = "other"
GALLERY_LABELS_MAX: Final = 1000
METHODS: Final = frozenset({"GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS"})
SECONDS_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ROWS_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16_384, 65_536)


# What several processes' values of a gauge are together.
OfAll = Literal["sum", "min", "max"]
OfLive = Literal["livesum", "livemin", "livemax"]


@dataclass(frozen=True, slots=True)
class Metrics:
    """The gateway's metrics in a registry of its own. Made by `create_metrics`."""

    registry: CollectorRegistry
    http_requests: Counter  # route, method, status
    http_request_duration: Histogram  # route, method
    problems: Counter  # route, code
    http_requests_in_flight: Gauge
    rows_in_flight: Gauge
    request_rows: Histogram  # route
    engine_duration: Histogram  # engine, translator
    engine_errors: Counter  # engine, translator, error
    translated_rows: Counter  # engine, translator
    translator_version: Gauge  # translator
    refused_versions: Counter
    catalog_reloads: Counter  # outcome
    gallery_search_duration: Histogram  # store, gallery
    gallery_enrolled_faces: Counter  # store, gallery
    migration_faces: Counter  # outcome
    migration_missing_faces: Gauge  # gallery
    migration_unreachable_galleries: Gauge
    migration_rows_in_flight: Gauge
    migration_shadow_searches: Counter  # outcome
    build_info: Gauge  # version, python
    _galleries: set[str] = field(default_factory=set)

    def gallery_label(self, gallery: str) -> str:
        """Label of a gallery that the store has confirmed; `other` beyond the first 1,000 names of this process."""
        if gallery not in self._galleries and len(self._galleries) >= GALLERY_LABELS_MAX:
            return OTHER
        self._galleries.add(gallery)
        return gallery

    def forget(self, gauge: Gauge, label: str) -> None:
        """What a label names is no more. Processes that share metrics cannot take a series back: it stays, at 0."""
        if SHARED_FOLDER in os.environ:
            gauge.labels(label).set(0)
        else:
            gauge.remove(label)

    def text(self) -> bytes:
        """All metrics as Prometheus reads them; those of all processes where several serve together."""
        if SHARED_FOLDER not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call] # as the library has it
        return generate_latest(together)


def method_label(method: str) -> str:
    """Label of an HTTP method."""
    return method if method in METHODS else OTHER


def create_metrics() -> Metrics:
    """Register every metric in a fresh registry."""
    registry = CollectorRegistry()

    def counter(name: str, what: str, *labels: str) -> Counter:
        return Counter(f"r3an_{name}", what, labels, registry=registry)

    def gauge(name: str, what: str, *labels: str, of_all: OfAll) -> Gauge:
        mode: OfLive = f"live{of_all}"  # type: ignore[assignment] # of the processes that live
        return Gauge(f"r3an_{name}", what, labels, registry=registry, multiprocess_mode=mode)

    def seconds(name: str, what: str, *labels: str) -> Histogram:
        return Histogram(f"r3an_{name}_seconds", what, labels, buckets=SECONDS_BUCKETS, registry=registry)

    metrics = Metrics(
        registry=registry,
        http_requests=counter("http_requests_total", "Requests answered.", "route", "method", "status"),
        http_request_duration=seconds(
            "http_request_duration", "Time from arrival to the last byte.", "route", "method"
        ),
        problems=counter("problems_total", "Problems answered.", "route", "code"),
        http_requests_in_flight=gauge("http_requests_in_flight", "Requests being served.", of_all="sum"),
        rows_in_flight=gauge("rows_in_flight", "Features being translated.", of_all="sum"),
        request_rows=Histogram(
            "r3an_request_rows", "Features in a request.", ["route"], buckets=ROWS_BUCKETS, registry=registry
        ),
        engine_duration=seconds("engine_duration", "Time the engine took for a request.", "engine", "translator"),
        engine_errors=counter("engine_errors_total", "Translations that failed.", "engine", "translator", "error"),
        translated_rows=counter("translated_rows_total", "Features translated.", "engine", "translator"),
        translator_version=gauge("translator_version", "Version that is served.", "translator", of_all="min"),
        refused_versions=counter("refused_versions_total", "Translator versions refused."),
        catalog_reloads=counter("catalog_reloads_total", "Catalogue reloads.", "outcome"),
        gallery_search_duration=seconds("gallery_search_duration", "Time the store took.", "store", "gallery"),
        gallery_enrolled_faces=counter("gallery_enrolled_faces_total", "Faces written.", "store", "gallery"),
        migration_faces=counter("migration_faces_total", "Faces that migrations claimed.", "outcome"),
        migration_missing_faces=gauge("migration_missing_faces", "Faces that a copy lacks.", "gallery", of_all="max"),
        migration_unreachable_galleries=gauge(
            "migration_unreachable_galleries", "Migrating galleries that cannot be reached.", of_all="max"
        ),
        migration_rows_in_flight=gauge(
            "migration_rows_in_flight", "Features being translated by migrations.", of_all="sum"
        ),
        migration_shadow_searches=counter(
            "migration_shadow_searches_total", "Searches chosen to be repeated on the other copy.", "outcome"
        ),
        build_info=gauge("build_info", "Version of the gateway.", "version", "python", of_all="max"),
    )
    metrics.build_info.labels(version("r3an"), platform.python_version()).set(1)
    return metrics
