"""A network of integer neurons and its spiking twin agree, spike for spike and answer for answer."""

from __future__ import annotations

import copy

import pytest
import torch

from snn4 import Learned, models, nn
from snn4.core.errors import OptionError
from snn4.layers import SpikingTwin, integer_levels, standardised
from snn4.neurons import IntegerLIF, UnaryLIF, unary

D = torch.float64


def ready(net):
    """With statistics and biases that training might have left."""
    draw = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(generator=draw)
            module.running_var.uniform_(0.3, 1.5, generator=draw)
            module.weight.data.uniform_(0.5, 1.5, generator=draw)
            module.bias.data.normal_(generator=draw)
    return net.to(D).eval()


def outputs(net, kind, xs):
    """What the members of one kind answer, in the order of the calls, and the network's answer."""
    found = []
    handles = [m.register_forward_hook(lambda _m, _x, y: found.append(y)) for m in net.modules() if type(m) is kind]
    with torch.no_grad():
        ys = net(xs)
    for handle in handles:
        handle.remove()
    return found, ys


def assert_twins(net, xs, levels):
    before = copy.deepcopy(net.state_dict())
    twin = SpikingTwin(net)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), net.state_dict().values(), strict=True))
    assert not any(isinstance(m, IntegerLIF) for m in net.modules()) or integer_levels(net) == levels == twin.levels
    counts, wanted = outputs(net, IntegerLIF, xs)
    spikes, answer = outputs(twin, UnaryLIF, xs)
    assert len(counts) == len(spikes) > 0
    assert any(count.gt(1).any() for count in counts)
    for count, spike in zip(counts, spikes, strict=True):
        assert set(spike.unique().tolist()) <= {0.0, 1.0}
        assert torch.equal(unary(count, levels), spike)
    torch.testing.assert_close(answer, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("mlp", {"inputs": 12, "hidden": (8, 7), "classes": 3, "norm": True}, (12,)),
        ("conv_net", {"shape": (2, 8, 8), "channels": (4, 6), "classes": 3, "pool": (2, 2)}, (2, 8, 8)),
        ("ms_resnet_small", {"widths": (6, 8), "depths": (1, 2)}, (3, 16, 16)),
        ("resnet20", {}, (3, 8, 8)),
        ("preact_resnet18", {"classes": 3}, (3, 32, 32)),
        ("sew_resnet18", {"classes": 3, "small": True}, (3, 8, 8)),
        ("plif_net", {"shape": (2, 8, 8), "classes": 3, "width": 4, "hidden": 6, "stages": 1}, (2, 8, 8)),
    ],
)
def test_models(name, options, size, steps):
    levels = 3
    torch.manual_seed(0)
    net = getattr(models, name)(**options, neuron=lambda: IntegerLIF(levels), steps=steps)
    xs = torch.rand(2, 3, *size, dtype=D)
    assert_twins(ready(net), xs, levels)


def test_max_pooling_of_spikes_stays_spikes():
    net = ready(nn.Sequential(nn.Linear(6, 8), IntegerLIF(4), nn.MaxPool1d(2), nn.Linear(4, 3), IntegerLIF(4)))
    xs = 3 * torch.randn(2, 3, 5, 6, dtype=D)
    assert_twins(net, xs, 4)
    pooled = []
    twin = SpikingTwin(net)
    twin.net[2].register_forward_hook(lambda _m, _x, y: pooled.append(y))
    twin(xs)
    assert set(pooled[0].unique().tolist()) == {0.0, 1.0}


def test_currents_that_look_like_spikes_are_not_pooled_as_such():
    # counts 3 and 1 under the weights 1 and -1 are a current of 0, 1, 1, 0 beside 1, 0, 0, 0
    net = nn.Sequential(IntegerLIF(4), nn.Linear(3, 2, bias=False, dtype=D), nn.MaxPool1d(2)).eval()
    net[1].weight.data = torch.tensor([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]], dtype=D)
    x = torch.tensor([3.0, 1.0, 1.0], dtype=D).view(1, 1, 1, 3)
    assert net(x).item() == SpikingTwin(net)(x).item() == 2


class Block(torch.nn.Module):
    """A user's own, which is no row: one neuron and one layer twice, and a shortcut."""

    def __init__(self):
        super().__init__()
        self.layer, self.neuron, self.norm = nn.Linear(6, 6), IntegerLIF(2, tau=2.0), nn.BatchNorm1d(6)

    def forward(self, x):
        return self.norm(self.layer(self.neuron(self.layer(x)))) + x


def test_a_block_of_ones_own_and_layers_that_are_used_twice():
    net = ready(Block())
    xs = 3 * torch.randn(4, 3, 6, dtype=D)
    assert_twins(net, xs, 2)
    assert not SpikingTwin(net).held
    assert_twins(nn.Sequential(nn.Linear(6, 6, dtype=D), net, IntegerLIF(2)), xs, 2)
    tied = ready(nn.Sequential(nn.Linear(6, 6), IntegerLIF(2), nn.Linear(6, 6)))
    tied[2].bias = tied[0].bias
    assert_twins(tied, xs, 2)


def test_a_neuron_that_stands_in_two_places():
    neuron = IntegerLIF(3)
    net = ready(nn.Sequential(nn.Linear(6, 6), neuron, nn.Linear(6, 6), neuron, nn.Linear(6, 2)))
    assert_twins(net, 3 * torch.randn(4, 3, 6, dtype=D), 3)


class Tutorial(torch.nn.Module):
    """One pool for two places, registered before the neurons."""

    def __init__(self):
        super().__init__()
        self.conv1, self.pool, self.conv2 = nn.Conv2d(2, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3)
        self.one, self.other = IntegerLIF(3), IntegerLIF(3)

    def forward(self, x):
        return self.other(self.pool(self.conv2(self.one(self.pool(self.conv1(x))))))


def test_a_pool_that_stands_before_and_behind_neurons():
    xs = 3 * torch.randn(2, 2, 2, 14, 14, dtype=D)
    assert_twins(ready(Tutorial()), xs, 3)
    conv, pool = nn.Conv2d(2, 2, 3), nn.MaxPool2d(2)
    row = ready(nn.Sequential(conv, pool, IntegerLIF(3), nn.Conv2d(2, 2, 3), pool, IntegerLIF(3)))
    assert_twins(row, xs, 3)
    assert SpikingTwin(row).held


@pytest.mark.parametrize("row", [True, False])
def test_steps_that_are_held_before_and_behind_neurons(row):
    class Own(torch.nn.Sequential):
        def forward(self, x):
            return super().forward(x)

    first = [nn.Linear(6, 8), nn.Hold(2), nn.Hold(3)]
    layers = [*first, IntegerLIF(3), nn.Hold(2), nn.Linear(8, 8), IntegerLIF(3), nn.Linear(8, 2)]
    net = ready((torch.nn.Sequential if row else Own)(*layers))
    xs = 3 * torch.randn(3, 2, 6, dtype=D)
    assert_twins(net, xs, 3)
    assert SpikingTwin(net).held is row
    assert SpikingTwin(net)(xs).shape == (36, 2, 2)


def test_a_bias_that_is_computed():
    middle = nn.Linear(6, 6)
    torch.nn.utils.parametrize.register_parametrization(middle, "bias", torch.nn.Tanh())
    with torch.no_grad():
        middle.parametrizations.bias.original.fill_(0.7)
    net = ready(torch.nn.Sequential(nn.Linear(6, 6), IntegerLIF(3), middle, IntegerLIF(3), nn.Sequential()))
    assert_twins(net, 3 * torch.randn(4, 3, 6, dtype=D), 3)


def test_learned_quantities_and_standardised_weights_are_parts_of_their_layers():
    neuron = IntegerLIF(3, Learned(2.0), Learned(0.7))
    net = ready(nn.Sequential(standardised(nn.Linear(6, 5)), neuron, nn.Linear(5, 2)))
    assert_twins(net, 3 * torch.randn(4, 3, 6, dtype=D), 3)


def test_a_neuron_alone():
    assert_twins(IntegerLIF(3), 3 * torch.randn(4, 2, 5, dtype=D), 3)


def test_a_twin_stays_in_evaluation_mode():
    net = ready(nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), IntegerLIF(2), nn.Dropout(0.5), nn.Linear(5, 2)))
    twin = SpikingTwin(net.train()).train()
    assert not any(m.training for m in twin.modules())
    assert "levels=2" in repr(twin)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (lambda: nn.Sequential(nn.Linear(3, 3), nn.LIF()), "a network of IntegerLIF"),
        (lambda: nn.Sequential(IntegerLIF(2), nn.Linear(3, 3), IntegerLIF(4)), "2 and 4 levels"),
        (lambda: nn.Sequential(IntegerLIF(2), nn.Linear(3, 3), nn.LIF()), r"met 2 \(LIF\)"),
        (lambda: nn.Sequential(IntegerLIF(2), nn.Linear(3, 3), nn.LI()), r"met 2 \(LI\)"),
        (lambda: nn.Sequential(IntegerLIF(2), torch.nn.Sequential(nn.GELU())), r"met 1.0 \(GELU\)"),
        (lambda: nn.Sequential(IntegerLIF(2), nn.LayerNorm(3)), r"met 1 \(LayerNorm\)"),
        (lambda: nn.Sequential(IntegerLIF(2), nn.MeanOverTime()), r"met 1 \(MeanOverTime\)"),
        (lambda: nn.Sequential(nn.Recurrent(IntegerLIF(2), 3)), r"met 0 \(Recurrent\)"),
        (lambda: models.sew_resnet18(classes=3, neuron=lambda: IntegerLIF(2), connect="and"), r"\(SEWBlock\)"),
        (lambda: models.sew_resnet18(classes=3, neuron=lambda: IntegerLIF(2), connect="iand"), r"\(SEWBlock\)"),
        (
            lambda: nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False), IntegerLIF(2)),
            r"met 0 \(BatchNorm1d\): expected running statistics",
        ),
    ],
)
def test_what_has_no_twin_is_refused_by_name(net, message):
    with pytest.raises(OptionError, match=message):
        SpikingTwin(net())
