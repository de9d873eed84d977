"""The formats that a translator is exported in, and what is refused."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from contract.vectors import Features
from training.errors import ExportError
from training.exchange_formats import measure_parity, run_onnx, run_torch, to_onnx, to_torchscript


class Sorted(nn.Module):
    """An operator that ONNX has not."""

    def forward(self, features: Tensor) -> Tensor:
        return torch.linalg.eigvalsh(features.T @ features)[None]


def test_both_formats_take_any_number_of_rows() -> None:
    torch.manual_seed(0)
    module = nn.Linear(3, 2).eval()
    runs = run_torch(module), run_torch(to_torchscript(module, 3)), run_onnx(to_onnx(module, 3))
    for rows in (1, 5):
        features = np.random.default_rng(rows).standard_normal((rows, 3)).astype(np.float32)
        expected, *answers = (run(features) for run in runs)
        for answer in answers:
            np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_an_operator_that_onnx_has_not_is_named_in_one_line() -> None:
    with pytest.raises(ExportError, match=r"cannot be exported as ONNX: .*linalg") as refused:
        to_onnx(Sorted().eval(), 3)
    assert "\n" not in str(refused.value)


def test_a_model_that_onnxruntime_does_not_take_is_refused() -> None:
    with pytest.raises(ExportError, match="onnxruntime does not load"):
        run_onnx(b"no model")


@pytest.mark.parametrize("wrong", [1e-3, float("nan")])
def test_a_difference_is_refused_by_the_name_of_the_format(wrong: float) -> None:
    def right(features: Features) -> Features:
        return features

    assert measure_parity(right, right, 3, "ONNX") == 0
    with pytest.raises(ExportError, match="ONNX differs from the trained module"):
        measure_parity(right, lambda features: features + np.float32(wrong), 3, "ONNX")
