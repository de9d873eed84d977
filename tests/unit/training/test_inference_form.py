"""The form that is exported answers as the trained module does."""

import pytest
import torch
from torch import nn

from contract.manifest import Method
from training.inference_form import CHANNEL_BLOCK, inference_form
from training.methods.registry import empty_translator
from training.models.translator import Translator

DIMS = (24, 16)


def trained(method: Method) -> Translator:
    """A translator whose batch norm has statistics, as after a training."""
    torch.manual_seed(0)
    translator = empty_translator(method, *DIMS)
    for layer in translator.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.weight.data, layer.running_var):
                assert values is not None
                values.uniform_(0.5, 2)
            for values in (layer.bias.data, layer.running_mean):
                assert values is not None
                values.normal_()
    return translator.eval()


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize(
    "method", [method for method in Method if not method.startswith("arch")]
)  # which are r3an's network
def test_it_answers_what_the_trained_module_answers(method: Method, rows: int) -> None:
    translator = trained(method)
    features = torch.randn(rows, DIMS[0])
    with torch.inference_mode():
        torch.testing.assert_close(inference_form(translator)(features), translator(features), rtol=0, atol=1e-6)


def test_no_batch_norm_and_no_ragged_channels_are_left() -> None:
    layers = list(inference_form(trained(Method.R3AN)).modules())
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in layers)
    hidden = [layer.groups for layer in layers if isinstance(layer, nn.Conv2d) and layer.groups > 1]
    assert hidden == [32, 192, 384, 576, 960]
    assert all(channels % CHANNEL_BLOCK == 0 for channels in hidden)


def test_the_trained_module_stays_as_it_was() -> None:
    translator = trained(Method.R3AN).train()
    before = {name: value.clone() for name, value in translator.state_dict().items()}
    inference_form(translator)
    assert translator.training
    after = translator.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
