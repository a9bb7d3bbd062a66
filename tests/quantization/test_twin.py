"""The quantised twin of an ANN."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from snn4 import nn
from snn4.core import OptionError
from snn4.quantization import QuantReLU, bits_for_steps, quantised_twin, weight_bits


def fixed(net: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """The same weights in every run, without touching the global seed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            if p.ndim > 1:
                p.copy_(torch.randn(p.shape, generator=generator) / p[0].numel() ** 0.5)
    return net


def ann() -> torch.nn.Sequential:
    block = torch.nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), torch.nn.ReLU())
    return fixed(torch.nn.Sequential(block, nn.Flatten(), nn.Linear(64, 8), torch.nn.ReLU(), nn.Linear(8, 3)))


def images(batch: int = 4) -> torch.Tensor:
    return torch.rand(1, batch, 1, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("steps", range(1, 70))
def test_bits_tell_steps_plus_one_values_apart(steps):
    assert bits_for_steps(steps) == math.ceil(math.log2(steps + 1))
    assert 2 ** (bits_for_steps(steps) - 1) < steps + 1 <= 2 ** bits_for_steps(steps)


def test_bits_of_no_steps():
    with pytest.raises(OptionError):
        bits_for_steps(0)


def test_the_copy_has_the_same_architecture():
    net = ann()
    before = copy.deepcopy(net.state_dict())
    twin = quantised_twin(net, activation_bits=3, weight_bits=4)
    assert [type(m) for m in net.modules()].count(torch.nn.ReLU) == 2
    assert isinstance(twin[0][2], QuantReLU)
    assert isinstance(twin[3], QuantReLU)
    assert twin[0][2] is not twin[3]
    assert [weight_bits(m) for m in (twin[0][0], twin[2], twin[4])] == [8, 4, 4]
    assert twin[3].bits == 3
    twin(images())
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_calibration_sets_steps_and_nothing_else():
    net = ann()
    net[1].eval()
    twin = quantised_twin(net, 3, calibration=images())
    assert bool(twin[0][2].initialised)
    assert bool(twin[3].initialised)
    assert torch.equal(twin[0][1].running_mean, net[0][1].running_mean)
    assert twin.training
    assert not twin[1].training
    # two rectified inputs of the same network, in float: 2 mean / sqrt(7)
    reference = copy.deepcopy(twin).eval()
    rectified = reference[0][:2](images()).relu()
    assert twin[0][2].step.item() == pytest.approx(2 * rectified.mean().item() / math.sqrt(7), rel=1e-5)


def test_many_bits_agree_with_the_float_network():
    net = ann().eval()
    twin = quantised_twin(net, 16, 16)
    # a step that covers what the activations reach
    for relu in (twin[0][2], twin[3]):
        with torch.no_grad():
            relu.step.fill_(10 / (2**16 - 1))
            relu.initialised.fill_(True)
    assert torch.allclose(twin(images()), net(images()), atol=2e-3)


def test_a_shared_relu_stays_shared():
    class Shared(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.act = nn.Linear(3, 3), nn.Linear(3, 3), torch.nn.ReLU()
            self.same = self.act

        def forward(self, x):
            return self.same(self.second(self.act(self.first(x))))

    twin = quantised_twin(Shared(), 2)
    assert twin.act is twin.same
    assert isinstance(twin.act, QuantReLU)
    assert twin(torch.rand(1, 2, 3)).shape == (1, 2, 3)


def test_it_trains_with_plain_gradient_descent_and_goes_through_state_dict():
    generator = torch.Generator().manual_seed(0)
    xs = torch.rand(1, 32, 1, 6, 6, generator=generator)
    targets = (xs.mean((0, 2, 3, 4)) > 0.5).long()
    twin = quantised_twin(ann(), 3, calibration=xs)
    optimiser = torch.optim.Adam(twin.parameters(), lr=0.01)
    losses = []
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(twin(xs)[0], targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    twin.eval()
    assert len(twin[:4](xs).unique()) <= 8
    fresh = quantised_twin(ann(), 3)
    fresh.load_state_dict(twin.state_dict())
    assert torch.equal(fresh.eval()(xs), twin(xs))
    assert torch.equal(copy.deepcopy(twin)(xs), twin(xs))


def test_dtype_follows_the_network():
    twin = quantised_twin(ann().double(), 3)
    assert twin(images().double()).dtype == torch.float64


def test_refusals():
    with pytest.raises(OptionError, match=r"no torch\.nn\.ReLU"):
        quantised_twin(torch.nn.Sequential(nn.Linear(2, 2)), 2)
    with pytest.raises(OptionError):
        quantised_twin(torch.nn.ReLU(), 2)
    with pytest.raises(OptionError):
        quantised_twin(ann(), 0)
    with pytest.raises(OptionError):
        quantised_twin(ann(), 2, weight_bits=1)
    with pytest.raises(OptionError):
        quantised_twin(quantised_twin(ann(), 2), 2)
