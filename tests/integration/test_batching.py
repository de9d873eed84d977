"""Requests that arrive together are run together."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np

from deploy.gateway import GatewayServer
from deploy.triton.start import TritonServer
from tests.integration.stack import MODEL, eager, gateway_settings, random_features
from tests.repository import SOURCE

REQUESTS = 256
CONCURRENCY = 32


def test_concurrent_requests_share_calls_and_executions(
    translators: Path, triton_server: TritonServer, tmp_path: Path
) -> None:
    features = random_features(REQUESTS, seed=3)
    expected = eager(features)
    settings = gateway_settings(translators, tmp_path)
    settings |= {"R3AN_ENGINE": "triton", "R3AN_TRITON_URL": triton_server.grpc_address}
    with GatewayServer(settings) as gateway, httpx.Client(base_url=gateway.url, timeout=60) as client:

        def translate(row: int) -> list[float]:
            body = {"source_model": SOURCE.id, "features": features[row : row + 1].tolist()}
            answer = client.post("/translate", json=body)
            answer.raise_for_status()
            translated: list[list[float]] = answer.json()["features"]
            return translated[0]

        before = counts(triton_server)
        with ThreadPoolExecutor(CONCURRENCY) as threads:
            translated = list(threads.map(translate, range(REQUESTS)))
        calls, executions = counts(triton_server) - before
    np.testing.assert_allclose(np.array(translated), expected, rtol=0, atol=1e-4)  # each caller got its own row
    # By how much depends on how fast requests come, which a busy machine decides.
    assert executions <= calls < REQUESTS


def counts(server: TritonServer) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Calls answered and executions run so far: [2]."""
    names = ("nv_inference_request_success", "nv_inference_exec_count")
    return np.array([server.metric(name, model=MODEL) for name in names])
