"""A quantised network is the same translator, nearly."""

from pathlib import Path

import numpy as np
import torch

from benchmarks.int8 import quantised
from contract.manifest import Method
from tests.repository import SOURCE, TARGET
from training.exchange_formats import run_onnx, to_onnx
from training.inference_form import inference_form
from training.methods.registry import empty_translator


def test_int8_translates_nearly_as_float32_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = to_onnx(inference_form(empty_translator(Method.R3AN, SOURCE.dim, TARGET.dim)), SOURCE.dim)
    features = np.random.default_rng(0).standard_normal((96, SOURCE.dim)).astype(np.float32)
    int8 = quantised(model, features[:64], tmp_path)
    assert len(int8) < len(model)
    before, after = run_onnx(model)(features[64:]), run_onnx(int8)(features[64:])
    assert not np.array_equal(before, after)
    assert (before * after).sum(axis=1).min() > 0.99
