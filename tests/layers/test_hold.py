"""Hold: a frame for several steps."""

from __future__ import annotations

import pytest
import torch

from snn4 import OptionError, ShapeError, nn


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_each_step_several_times(steps):
    x = torch.randn(3, 2, 4, requires_grad=True)
    y = nn.Hold(steps)(x)
    assert torch.equal(y, x.repeat_interleave(steps, 0))
    y.sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, steps))


def test_it_does_not_matter_where_a_folded_layer_stands():
    conv, x = nn.Conv2d(1, 2, 3), torch.randn(1, 3, 1, 5, 5)
    assert torch.allclose(nn.Hold(4)(conv(x)), conv(nn.Hold(4)(x)), atol=1e-6)


def test_a_chunk_is_held_as_the_whole():
    x = torch.randn(4, 2, 3)
    assert torch.equal(torch.cat([nn.Hold(3)(c) for c in x.split([1, 3])]), nn.Hold(3)(x))


@pytest.mark.parametrize("steps", [0, -1, 1.5, True, "2"])
def test_what_is_no_number_of_steps_is_refused(steps):
    with pytest.raises(OptionError, match="Hold got steps="):
        nn.Hold(steps)


def test_a_missing_time_axis_is_refused():
    with pytest.raises(ShapeError, match="Hold got x"):
        nn.Hold(2)(torch.zeros(3, 2))
