"""A neuron through the reference loop and through its kernel, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from snn4.core.states import state
from snn4.kernels import use
from snn4.surrogates import ATan
from snn4.through_time import Neuron


@dataclass
class Ran:
    ys: Tensor
    last: tuple[Tensor, ...]
    grad_x: Tensor
    grad_state: tuple[Tensor, ...]
    grads: dict[str, Tensor]


def inputs(neuron, shape, dtype=torch.float32, seed=0, channels_last=False, scale=0.8):
    draw = torch.Generator().manual_seed(seed)
    xs = (torch.randn(shape, generator=draw, dtype=torch.float64) * scale + 0.3).to(dtype)
    if channels_last:
        xs = xs.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, shape[:2])
    first = tuple(
        (torch.randn(shape[1:], generator=draw, dtype=torch.float64) * 0.3).to(dtype) for _ in neuron.State._fields
    )
    return xs, first


def run(neuron, xs, first, implementation, **how) -> Ran:
    """Outputs, last state and every gradient of a weighted sum of all of them."""
    xs = xs.detach().clone().requires_grad_() if xs.is_contiguous() else xs.detach().requires_grad_()
    xs.grad = None
    neuron.zero_grad()
    now = neuron.State(*(f.detach().clone().requires_grad_() for f in first))
    with use(implementation, **how):
        ys, last = neuron.sequence(xs, now)
        draw = torch.Generator().manual_seed(7)
        loss: Any = 0
        for out in (ys, *last):
            loss = loss + (out * torch.randn(out.shape, generator=draw, dtype=torch.float64).to(out)).sum()
        loss.backward()
    grads = {name: p.grad.clone() for name, p in neuron.named_parameters() if p.grad is not None}
    assert xs.grad is not None
    return Ran(ys.detach(), tuple(f.detach() for f in last), xs.grad, tuple(f.grad for f in now), grads)


def assert_same_bits(one: Ran, other: Ran):
    for name in ("ys", "grad_x"):
        a, b = getattr(one, name), getattr(other, name)
        assert torch.equal(a, b), f"{name}: {int((a != b).sum())} of {a.numel()} differ"
    for name in ("last", "grad_state"):
        for k, (a, b) in enumerate(zip(getattr(one, name), getattr(other, name), strict=True)):
            assert torch.equal(a, b), f"{name}[{k}]: {int((a != b).sum())} of {a.numel()} differ"


def assert_close_gradients(one: Ran, other: Ran, tolerance):
    for name in ("grad_x", "grad_state"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=tolerance, atol=tolerance)


def relative(a, b):
    return ((a.double() - b.double()).norm() / b.double().norm().clamp_min(1e-30)).item()


class Dendrite(Neuron):
    """A user's neuron: three states, two learned tensors reshaped in the step, spikes fed back."""

    State = state("d", "v", "s")

    def __init__(self, channels=5):
        super().__init__()
        self.surrogate = ATan()
        self.b1 = torch.nn.Parameter(torch.linspace(-0.6, 0.2, channels))
        self.b2 = torch.nn.Parameter(torch.full((channels, 1, 1), 0.3))
        self.gamma = 0.5

    def step(self, x, state):
        d = state.d - torch.sigmoid(self.b1)[:, None, None] * state.v - self.gamma * state.s + x
        v = state.v + torch.sigmoid(self.b2) * d - state.s
        s = self.surrogate(v - 1.0)
        return s, self.State(d, v, s)


class Adaptive(Neuron):
    """A user's neuron with an adapting threshold."""

    State = state("v", "a")

    def __init__(self, rho=0.95):
        super().__init__()
        self.surrogate, self.rho = ATan(), rho

    def step(self, x, state):
        v = 0.9 * state.v + x
        theta = 1.0 + 0.2 * state.a
        s = self.surrogate(v - theta)
        return s, self.State(v - s * theta, self.rho * state.a + s)
