"""The peer is what it is called."""

import torch

from benchmarks.resnet import CLASSES, IMAGE, resnet_101
from training.models.fully_connected import parameter_count


def test_it_has_the_parameters_of_resnet_101_and_a_layer_for_each_of_the_101() -> None:
    network = resnet_101()
    assert parameter_count(network) == 44_549_160
    weighty = (torch.nn.Conv2d, torch.nn.Linear)
    shortcuts = sum(isinstance(m, weighty) for name, m in network.named_modules() if ".shortcut." in name)
    assert sum(isinstance(module, weighty) for module in network.modules()) - shortcuts == 101


def test_it_takes_flat_images() -> None:
    pixels = torch.zeros(1, torch.Size(IMAGE).numel())
    with torch.inference_mode():
        assert resnet_101().eval()(pixels).shape == (1, CLASSES)
