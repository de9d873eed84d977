"""Requests to translate: the same seeded features for the gateway and for whatever stands beside it."""

from typing import Final

import numpy as np
import orjson

from benchmarks.load.plan import OCTET_STREAM, http_message
from contract.spaces import FeatureSpace
from contract.vectors import Features, pack_float32
from deploy.process import LOOPBACK

DIM: Final = 256  # of the benchmarks' spaces


def features_of(rows: int, dim: int = DIM) -> Features:
    """Seeded features [rows, dim]."""
    return np.random.default_rng(rows).standard_normal((rows, dim), dtype=np.float32)


def translate_message(
    port: int, source: FeatureSpace, target: FeatureSpace, rows: int, content_type: str, key: str | None = None
) -> bytes:
    """A POST /translate with `rows` features, as JSON lists or as octet-stream; `key`: an API key."""
    features, headers = features_of(rows, source.dim), {} if key is None else {"X-API-Key": key}
    path = "/translate"
    if content_type == OCTET_STREAM:
        path += f"?source_model={source.id}&target_model={target.id}"
        return http_message(LOOPBACK, port, path, pack_float32(features), OCTET_STREAM, headers)
    body = {"source_model": source.id, "target_model": target.id, "features": features}
    encoded = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    return http_message(LOOPBACK, port, path, encoded, content_type, headers)
