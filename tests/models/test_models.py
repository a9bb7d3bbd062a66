"""Networks: parameter counts by hand, the same architecture for every neuron, and names."""

from __future__ import annotations

import pytest
import torch

from snn4 import models, nn
from snn4.core.errors import OptionError


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_mlp_has_the_parameters_of_the_papers_mlp():
    # 784 x 400 + 400 and 400 x 10 + 10
    assert count(models.mlp(784, [400], 10)) == 318_010
    # with batch norm: no bias before it, a weight and a bias in it
    assert count(models.mlp(784, [400], 10, norm=True)) == 784 * 400 + 2 * 400 + 400 * 10 + 10


def test_conv_net_has_the_parameters_counted_by_hand():
    net = models.conv_net((1, 28, 28), [32, 64], 10, dense=[128])
    convolutions = 32 * 9 + 2 * 32 + 64 * 32 * 9 + 2 * 64
    assert count(net) == convolutions + (64 * 7 * 7 * 128 + 128) + (128 * 10 + 10)


@pytest.mark.parametrize(
    "build",
    [
        lambda neuron, steps: models.mlp(64, [32, 16], 10, neuron, steps=steps, norm=True, dropout=0.1),
        lambda neuron, steps: models.conv_net((1, 8, 8), [4, 8], 10, neuron, steps=steps, dense=[16], dropout=0.1),
    ],
)
def test_the_ann_is_the_same_architecture(build):
    snn, ann = build(nn.LIF, 5), build(torch.nn.ReLU, 1)
    assert [(k, v.shape) for k, v in snn.state_dict().items()] == [(k, v.shape) for k, v in ann.state_dict().items()]
    names = [name for name, _ in snn.named_children() if name != "hold"]
    assert names == [name for name, _ in ann.named_children()]
    x = torch.rand(1, 3, 1, 8, 8)
    assert snn(x).shape == (5, 3, 10)
    assert ann(x).shape == (1, 3, 10)


def test_each_neuron_layer_is_a_neuron_of_its_own():
    net = models.mlp(64, [32, 16], 10)
    assert net.neuron1 is not net.neuron2


def test_holding_behind_the_first_layer_equals_repeating_the_input():
    net = models.mlp(64, [32], 10, steps=6, norm=True).eval()
    long = models.mlp(64, [32], 10, steps=1, norm=True).eval()
    long.load_state_dict(net.state_dict())
    x = torch.randn(1, 4, 1, 8, 8, dtype=torch.float64)
    assert torch.equal(net.double()(x), long.double()(x.expand(6, *x.shape[1:])))


def test_hold_keeps_the_order_of_frames():
    held = nn.Hold(2)(torch.arange(3.0).view(3, 1, 1))
    assert held.flatten().tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("steps", [0, -1, 1.5, True, None])
def test_hold_refuses_what_is_no_number_of_steps(steps):
    with pytest.raises(OptionError, match="whole number >= 1"):
        nn.Hold(steps)


def test_names_and_wildcards():
    assert {"conv_net", "mlp", "timing_conv_net", "timing_mlp", "sew_resnet18"} <= set(models.names())
    assert models.names() == sorted(models.names())
    assert models.names("*resnet18") == ["ms_resnet18", "preact_resnet18", "sew_resnet18", "spiking_resnet18"]
    assert models.names("conv*") == ["conv_net"]
    assert isinstance(models.create("mlp", 4, [3], 2), torch.nn.Sequential)
    with pytest.raises(OptionError, match="Did you mean mlp"):
        models.create("mpl", 4, [3], 2)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: models.mlp(64, [], 10),
        lambda: models.mlp(0, [4], 10),
        lambda: models.conv_net((1, 8, 8), [], 10),
        lambda: models.conv_net((1, 8, 8), [4, 4], 10, pool=[2]),
        lambda: models.conv_net((1, 2, 2), [4, 4], 10, pool=[2, 2]),
    ],
)
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(OptionError):
        wrong()


def test_srnn_takes_a_maker_of_neurons_for_each_layer_and_one_of_synapses():
    srnn = models.srnn

    def dendrites(inputs, width):
        return nn.DendriticLinear(inputs, width, 2)

    net = srnn(4, [6, 5], 3, [nn.LIF, nn.ALIF])
    assert (type(net.neuron1.body), type(net.neuron2.body)) == (nn.LIF, nn.ALIF)
    branches = [lambda: nn.dh_lif(6, 2), lambda: nn.dh_lif(5, 2)]
    net = srnn(4, [6, 5], 3, branches, recurrent=False, synapse=dendrites)
    assert net.linear2.weight.shape == (5, 6)
    assert net(torch.rand(7, 2, 4)).shape == (7, 2, 3)
    with pytest.raises(OptionError, match="1 makers of neurons"):
        srnn(4, [6, 5], 3, [nn.LIF])


@pytest.mark.parametrize("steps", [0, -2])
def test_steps_below_one_are_refused(steps):
    for make in (lambda: models.mlp(4, [3], 2, steps=steps), lambda: models.conv_net((1, 8, 8), [2], 2, steps=steps)):
        with pytest.raises(OptionError, match=f"steps={steps}"):
            make()
    with pytest.raises(OptionError, match="hidden=0"):
        models.plif_net((1, 28, 28), 10, hidden=0)
