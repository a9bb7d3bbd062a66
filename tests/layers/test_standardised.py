"""Standardised weights: what they are, and that they learn along every route."""

from __future__ import annotations

import copy

import pytest
import torch

from snn4 import BPTT, OTTT, OptionError, nn, use_route
from snn4.training import online


@pytest.mark.parametrize("make", [lambda: nn.Linear(6, 4), lambda: nn.Conv2d(2, 3, 3)])
def test_each_output_has_mean_zero_and_its_gain_as_length(make):
    layer = nn.standardised(make().double(), scale=2.74, eps=1e-12)
    kept = layer.parametrizations.weight
    with torch.no_grad():
        kept[0].gain.copy_(torch.arange(1.0, 1 + len(kept[0].gain)).view_as(kept[0].gain))
    rows = layer.weight.flatten(1)
    assert torch.allclose(rows.sum(1), torch.zeros(len(rows), dtype=torch.float64), atol=1e-9)
    # n var with n - 1 below: the length is sqrt((n - 1) / n) short of the gain
    n = rows.shape[1]
    wanted = 2.74 * kept[0].gain.flatten() * ((n - 1) / n) ** 0.5
    assert torch.allclose(rows.norm(dim=1), wanted, rtol=1e-6)


def test_a_hand_worked_row():
    layer = nn.standardised(nn.Linear(3, 1, bias=False))
    with torch.no_grad():
        layer.parametrizations.weight.original.copy_(torch.tensor([[1.0, 2.0, 3.0]]))
    # mean 2, variance 1: the length is sqrt(3.0001)
    assert torch.allclose(layer.weight, torch.tensor([[-1.0, 0.0, 1.0]]) / 3.0001**0.5)


def test_traces_learn_the_weight_that_is_kept_as_bptt_does():
    torch.manual_seed(0)
    # a bias sees no trace
    first = nn.standardised(nn.Linear(5, 7, bias=False), 2.0)
    neuron = nn.LIF(tau=2.0, detach_reset=True)
    net = torch.nn.Sequential(first, neuron, nn.standardised(nn.Linear(7, 3))).double()
    xs, targets = torch.randn(6, 4, 5, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    one = use_route(copy.deepcopy(net), OTTT(first="trace", readout="input"))
    online(one, xs, lambda y: torch.nn.functional.cross_entropy(y[0], targets))
    other = use_route(copy.deepcopy(net), BPTT())
    torch.stack([torch.nn.functional.cross_entropy(y, targets) for y in other(xs)]).mean().backward()
    names = [name for name, _ in one.named_parameters()]
    assert "0.parametrizations.weight.0.gain" in names
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert mine.grad.any()
        assert torch.allclose(mine.grad, theirs.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("layer", [nn.LIF(), nn.BatchNorm1d(3), nn.Linear(1, 3), nn.ConvTranspose2d(2, 3, 3)])
def test_what_has_no_such_weight_is_refused(layer):
    with pytest.raises(OptionError, match=type(layer).__name__):
        nn.standardised(layer)


def test_numbers_and_layers_that_cannot_be_are_refused():
    with pytest.raises(OptionError, match="scale=0"):
        nn.standardised(nn.Linear(2, 2), scale=0)
    with pytest.raises(OptionError, match="again"):
        nn.standardised(nn.standardised(nn.Linear(2, 2)))
