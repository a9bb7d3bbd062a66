"""Branches of a linear layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snn4 import OptionError, ShapeError, nn
from snn4.neurons import dh_lif


def made(**options):
    return nn.DendriticLinear(10, 6, 4, generator=torch.Generator().manual_seed(0), **options)


def test_the_branches_add_up_to_a_linear_layer():
    layer = made(bias=False).double()
    x = torch.randn(3, 2, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    whole = x.numpy() @ layer.weight.detach().numpy().T
    np.testing.assert_allclose(layer(x).sum(2).detach().numpy(), whole, rtol=1e-12)


def test_each_input_goes_to_one_branch():
    layer = made()
    assert torch.equal(layer.mask.sum(0), torch.ones(6, 10))
    inputs = torch.eye(10).view(1, 10, 10)
    reached = (layer(inputs) - layer.bias)[0] != 0  # (input, branch, neuron)
    assert reached.sum(1).unique().tolist() == [1]
    assert set(layer.mask.sum(2).unique().tolist()) <= {2.0, 3.0}


def test_it_has_the_weights_of_one_layer_and_the_biases_of_its_branches():
    assert sum(p.numel() for p in made().parameters()) == 10 * 6 + 4 * 6
    assert made().weight.abs().max() <= (4 / 10) ** 0.5
    assert torch.equal(made().mask, made().mask)


def test_it_feeds_dendrites():
    net = nn.Sequential(made(), dh_lif(6, 4, v_threshold=0.05, generator=torch.Generator().manual_seed(0)))
    ys = net(torch.rand(20, 3, 10, generator=torch.Generator().manual_seed(2)))
    assert ys.shape == (20, 3, 6)
    ys.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert 0 < ys.mean() < 1


def test_what_it_refuses():
    with pytest.raises(OptionError, match="at least one input a branch"):
        nn.DendriticLinear(3, 2, 4)
    with pytest.raises(ShapeError, match="DendriticLinear"):
        made()(torch.zeros(2, 10))
