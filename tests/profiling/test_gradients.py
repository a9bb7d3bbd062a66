"""How a gradient travels: closed forms of small networks."""

from __future__ import annotations

import pytest
import torch

from snn4 import nn
from snn4.core.errors import OptionError
from snn4.profiling import gradient_flow, gradient_mismatch
from snn4.surrogates import Rectangle, Triangle


def chain(*weights, surrogate):
    layers = []
    for weight in weights:
        linear = nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(linear.weight, weight)
        layers += [linear, nn.LIF(surrogate=surrogate)]
    return torch.nn.Sequential(*layers)


def test_the_size_is_the_product_of_the_derivatives_below():
    # membranes 1.5 and 0.8 against a threshold of 1, a triangle of half-width 1: derivatives 0.5 and 0.8
    net = chain(1.5, 0.8, surrogate=Triangle(1.0))
    x = torch.ones(1, 4, 1)
    flow = gradient_flow(net, lambda: net(x).sum())
    assert flow.layers == ("1", "3")
    # dL/dx2 = 0.8;  dL/dx1 = 0.8 * 0.8 * 0.5
    assert flow.size == pytest.approx((0.32, 0.8))
    assert flow.dead == (0.0, 0.0)
    # the first fires, the second does not reach its threshold
    assert flow.silent == (0.0, 1.0)
    assert all(p.grad is None for p in net.parameters())


def test_a_neuron_is_dead_only_where_no_step_of_no_sample_reaches_it():
    net = torch.nn.Sequential(nn.Linear(1, 3, bias=False), nn.LIF(tau=1.0, surrogate=Rectangle(0.5)))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0], [-5.0], [0.5]]))
    # the third comes into the window (0.75 to 1.25) at the second step of the second sample alone
    x = torch.tensor([[[0.2], [0.2]], [[1.0], [2.0]]])
    flow = gradient_flow(net, lambda: net(x).sum())
    assert flow.dead == pytest.approx((1 / 3,))
    # at 1 and 2 the first fires, and the third at 1.0
    assert flow.silent == pytest.approx((1 / 3,))


def test_a_network_without_neurons_is_refused():
    net = torch.nn.Linear(1, 1)
    with pytest.raises(OptionError, match="no layer of neurons"):
        gradient_flow(net, lambda: net(torch.ones(1, 1)).sum())


class Flipped(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return -grad


def test_mismatch_of_the_truth_its_opposite_and_nothing():
    numbers = torch.Generator().manual_seed(0)
    w = torch.nn.Parameter(torch.randn(5, 7, generator=numbers))
    lost = torch.nn.Parameter(torch.ones(2, 2))
    before = w.detach().clone()

    def true():
        return w.pow(3).sum() + 0 * lost.detach().sum()

    (right,) = gradient_mismatch(lambda: w.square().sum(), [w], generator=numbers)
    assert right == pytest.approx(0, abs=1e-6)
    (wrong,) = gradient_mismatch(lambda: Flipped.apply(w).square().sum(), [w], generator=numbers)
    assert wrong == pytest.approx(2, abs=1e-6)
    found = gradient_mismatch(true, [w, lost], length=1e-3, generator=numbers)
    assert found == [pytest.approx(0, abs=1e-4), 1.0]
    assert torch.equal(w, before)


def test_a_gradient_of_the_wrong_scale_is_no_mismatch():
    w = torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    # the loss moves ten times as far as its gradient says
    found = gradient_mismatch(lambda: (10 * w.detach() + (w - w.detach())).sum(), [w])
    assert found == [pytest.approx(0, abs=1e-5)]


@pytest.mark.parametrize("options", [{"directions": 0}, {"length": 0.0}])
def test_out_of_range(options):
    w = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(OptionError):
        gradient_mismatch(lambda: w.sum(), [w], **options)
