from __future__ import annotations

import torch

from snn4.data import Direct, repeat


def test_every_step_is_the_input():
    x = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    y = Direct(5)(x)
    assert all(torch.equal(step, x) for step in y)
    assert torch.equal(repeat(x, 5), y)
    assert torch.allclose(Direct(5).decode(y), x)


def test_it_takes_no_memory_and_lets_gradients_through():
    x = torch.randn(3, 2, requires_grad=True)
    y = Direct(5)(x)
    assert y.data_ptr() == x.data_ptr()
    y.sum().backward()
    assert torch.equal(x.grad, torch.full((3, 2), 5.0))
