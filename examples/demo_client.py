"""What the demonstration asks of the gateway, as any client does."""

import statistics
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from contract.vectors import Features, encode_float32, pack_float32
from training.lazy_rows import FeatureRows

ENROL_ROWS = 512
SEARCH_ROWS = 64
SINGLE_REQUESTS = 100
BULK_REQUESTS = 10
MOVE_S_MAX = 300.0
POLL_S = 0.1

Identities = NDArray[np.int32]


def enrol(client: httpx.Client, gallery: str, model: str, features: FeatureRows, identities: Identities) -> None:
    """Create a gallery in an encoder's space and enrol faces [G, d] of that encoder."""
    _checked(client.put(f"/galleries/{gallery}", json={"model": model}))
    for rows in _chunks(len(identities), ENROL_ROWS):
        faces = [{"face_id": f"face-{row}", "subject": f"person-{identities[row]}"} for row in rows]
        body = {"source_model": model, "faces": faces} | _encoded(features[np.asarray(rows)])
        _checked(client.post(f"/galleries/{gallery}/faces", json=body))


def search(client: httpx.Client, gallery: str, model: str, probes: Features, identities: Identities) -> float:
    """Share of an encoder's probes [P, d] whose subject the gateway names first."""
    found = 0
    for rows in _chunks(len(probes), SEARCH_ROWS):
        body = {"source_model": model, "gallery": gallery, "top_k": 1} | _encoded(probes[rows])
        results = _checked(client.post("/search", json=body)).json()["results"]
        for row, result in zip(rows, results, strict=True):
            found += result["matches"][0]["subject"] == f"person-{identities[row]}"
    return found / len(probes)


def move(client: httpx.Client, gallery: str, target: str) -> None:
    """Migrate a gallery to another encoder's space and cut over once no face is missing."""
    migration = _checked(client.post(f"/galleries/{gallery}/migrations", json={"target_model": target})).json()
    end = time.monotonic() + MOVE_S_MAX
    while migration["state"] != "ready":
        if migration["state"] != "backfilling" or time.monotonic() > end:
            raise SystemExit(f"demo: the migration is {migration['state']} after {MOVE_S_MAX:g} s at most")
        time.sleep(POLL_S)
        migration = _checked(client.get(f"/migrations/{migration['id']}")).json()
    _checked(client.post(f"/migrations/{migration['id']}/cutover"))


def measure_throughput(client: httpx.Client, source: str, target: str, probes: Features) -> float:
    """Features translated a second, 64 rows of octets a request, one request after another."""
    body = pack_float32(probes[:SEARCH_ROWS])
    query = {"source_model": source, "target_model": target}
    headers = {"Content-Type": "application/octet-stream"}
    _checked(client.post("/translate", content=body, params=query, headers=headers))
    started_at = time.perf_counter()
    for _ in range(BULK_REQUESTS):
        _checked(client.post("/translate", content=body, params=query, headers=headers))
    return BULK_REQUESTS * len(probes[:SEARCH_ROWS]) / (time.perf_counter() - started_at)


def measure_latency(client: httpx.Client, source: str, target: str, probes: Features) -> float:
    """Median milliseconds of a single-feature JSON request, as the client sees it."""
    body = {"source_model": source, "target_model": target, "features": [probes[0].tolist()]}
    seconds = []
    for _ in range(SINGLE_REQUESTS):
        started_at = time.perf_counter()
        _checked(client.post("/translate", json=body))
        seconds.append(time.perf_counter() - started_at)
    return statistics.median(seconds) * 1000


def _encoded(features: Features) -> dict[str, Any]:
    return {"features": [encode_float32(row) for row in features], "encoding_format": "base64"}


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        raise SystemExit(f"demo: the gateway answered {response.status_code}: {response.text}")
    return response


def _chunks(count: int, size: int) -> Iterator[range]:
    for start in range(0, count, size):
        yield range(start, min(start + size, count))
