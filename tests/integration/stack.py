"""What the integration tests share besides fixtures."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from contract.spaces import FeatureSpace
from contract.vectors import Features
from deploy.redis.start import RedisServer
from deploy.triton.start import TritonServer
from tests.repository import SOURCE, TARGET, RandomLinear

EMBEDDED = "embedded"
SERVERS = "triton and redis"
MODEL = f"{SOURCE.id}--{TARGET.id}"
OTHER_SOURCE = FeatureSpace(id="source-12", dim=12)
OTHER_TARGET = FeatureSpace(id="target-8", dim=8)
ROWS_MAX = 64
BODY_BYTES_MAX = 65_536


def gateway_settings(repository: Path, galleries: Path) -> dict[str, str]:
    """R3AN_* variables of an open gateway with the embedded engine and store, and small bounds."""
    return {
        "R3AN_ENVIRONMENT": "development",
        "R3AN_MODEL_REPOSITORY": str(repository),
        "R3AN_GALLERY_DIR": str(galleries),
        "R3AN_RELOAD_INTERVAL_S": "0.2",
        "R3AN_ROWS_MAX": str(ROWS_MAX),
        "R3AN_BODY_BYTES_MAX": str(BODY_BYTES_MAX),
    }


def server_settings(triton: TritonServer, redis: RedisServer) -> dict[str, str]:
    """R3AN_* variables that choose servers of their own instead."""
    return {
        "R3AN_ENGINE": "triton",
        "R3AN_TRITON_URL": triton.grpc_address,
        "R3AN_GALLERY_STORE": "redis",
        "R3AN_REDIS_URL": redis.url,
    }


def random_features(rows: int, dim: int = SOURCE.dim, seed: int = 0) -> Features:
    """Raw features [rows, dim], seeded."""
    return np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)


def eager(features: Features, module: nn.Module | None = None) -> Features:
    """What torch itself makes of features [N, ds]: [N, dt]. Without `module`, the first version of `MODEL`."""
    module = RandomLinear(SOURCE.dim, TARGET.dim, seed=0) if module is None else module
    with torch.inference_mode():
        translated: Features = module(torch.from_numpy(features)).numpy()
    return translated


def shorten_queue(config: Path) -> None:
    """Have Triton refuse what does not fit into a queue of one, as an operator may."""
    text = config.read_text(encoding="utf-8")
    batching = "dynamic_batching { default_queue_policy { max_queue_size: 1 } }"
    config.write_text(text.replace("dynamic_batching { }", batching), encoding="utf-8")
    assert batching in config.read_text(encoding="utf-8")
