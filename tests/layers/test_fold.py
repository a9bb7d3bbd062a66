"""Fold: any module that knows no time."""

from __future__ import annotations

import pytest
import torch

from snn4 import OptionError, ShapeError, nn


def test_it_equals_the_module_at_every_step():
    inner = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(18, 4))
    x = torch.randn(5, 2, 1, 5, 5)
    assert torch.allclose(nn.Fold(inner)(x), torch.stack([inner(step) for step in x]), atol=1e-6)


def test_it_takes_integers():
    y = nn.Fold(torch.nn.Embedding(10, 4))(torch.zeros(3, 2, 7, dtype=torch.int64))
    assert y.shape == (3, 2, 7, 4)


@pytest.mark.parametrize("stateful", [nn.LIF(), nn.Dropout(), nn.MeanOverTime(), torch.nn.Sequential(nn.LIF())])
def test_what_needs_time_is_refused(stateful):
    with pytest.raises(OptionError, match="stateful parts"):
        nn.Fold(stateful)


def test_a_missing_time_axis_is_refused():
    with pytest.raises(ShapeError, match="Fold got x"):
        nn.Fold(torch.nn.Identity())(torch.zeros(3, 2))


def test_a_module_that_mixes_items_is_told():
    class Halves(torch.nn.Module):
        def forward(self, x):
            return x[::2]

    with pytest.raises(ShapeError, match="Halves inside Fold turned 6 items into 3"):
        nn.Fold(Halves())(torch.zeros(3, 2, 4))
