"""Neurons that use the optional parts of the contract keep the laws: the contract is wide enough."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest
import torch

from snn4 import Learned, Neuron, state
from snn4.core.quantity import POSITIVE
from snn4.surrogates import ATan, Surrogate, Triangle
from snn4.testing import LawError, check_neuron


class LearnedStart(Neuron):
    """Starts from a membrane that is learned, one value a neuron."""

    State = state("v")

    def __init__(self):
        super().__init__()
        self.surrogate = ATan()
        self.start = torch.nn.Parameter(torch.tensor([0.1, -0.2, 0.3]))

    def initial(self, x):
        return self.State(self.start.expand_as(x))

    def step(self, x, state):
        v = 0.5 * state.v + x
        s = self.surrogate(v - 1)
        return s, self.State(v - s)


class Dendrites(Neuron):
    """Two dendrites a neuron: its state has another shape than its input."""

    State = state("v", "d")

    def __init__(self):
        super().__init__()
        self.surrogate = ATan()
        self.register_buffer("decay", torch.tensor([0.25, 0.75]))

    def initial(self, x):
        return self.State(torch.zeros_like(x), x.new_zeros((*x.shape, 2)))

    def step(self, x, state):
        d = self.decay * state.d + x.unsqueeze(-1) * (1 - self.decay)
        v = 0.5 * state.v + d.sum(-1)
        s = self.surrogate(v - 1)
        return s, self.State(v * (1 - s), d)


class Adaptive(Neuron):
    """A threshold that rises with every spike."""

    State = state("v", "a")

    def __init__(self):
        super().__init__()
        self.quantity("strength", Learned(0.5), POSITIVE)
        self.surrogate = Triangle()

    def step(self, x, state):
        v = 0.75 * state.v + x
        s = self.surrogate(v - (1 + self.strength * state.a))
        return s, self.State(v - s, 0.9 * state.a + s)


class Ternary(Neuron):
    """Fires up and down."""

    State = state("v")
    alphabet = (-1.0, 0.0, 1.0)

    def __init__(self):
        super().__init__()
        self.surrogate = ATan()

    def step(self, x, state):
        v = 0.5 * state.v + x
        s = self.surrogate(v - 1) - self.surrogate(-v - 1)
        return s, self.State(v - s)


class Rounding(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, grad):
        return grad


class Integers(Neuron):
    """Fires up to four spikes at once."""

    State = state("v")
    alphabet = (0.0, 1.0, 2.0, 3.0, 4.0)

    def step(self, x, state):
        v = 0.25 * state.v + x
        c = Rounding.apply(v.clamp(0, 4))
        return c, self.State(v - c)


class Refractory(Neuron):
    """Rests for two steps after a spike, counted in whole numbers."""

    State = state("v", "rest")

    def __init__(self):
        super().__init__()
        self.surrogate = ATan()

    def initial(self, x):
        return self.State(torch.zeros_like(x), torch.zeros_like(x, dtype=torch.int64))

    def step(self, x, state):
        v = 0.5 * state.v + x
        s = self.surrogate(v - 1) * (state.rest == 0).to(x.dtype)
        rest = torch.where(s.detach() > 0, 2, (state.rest - 1).clamp_min(0))
        return s, self.State(v * (1 - s.detach()), rest)


class WithRate(Neuron):
    """Integrates with a gain, and tells the rate that a constant input settles to."""

    State = state("v")

    def __init__(self, gain=0.5):
        super().__init__()
        self.gain, self.surrogate = gain, ATan()

    def step(self, x, state):
        v = state.v + self.gain * x
        s = self.surrogate(v - 1)
        return s, self.State(v - s)

    def transfer(self, mean_x):
        return (self.gain * mean_x).clamp(0, 1)


class Parallel(Neuron):
    """Sees the whole sequence at once: a causal mixture over time, written as one product."""

    State = state("v")
    chunkable = False
    unchunkable_reason = "it is one product over the whole sequence"

    def __init__(self):
        super().__init__()
        self.surrogate = ATan()

    def step(self, x, state):
        v = 0.5 * state.v + x
        return self.surrogate(v - 1), self.State(v)

    def sequence(self, xs, state):
        t = torch.arange(len(xs), device=xs.device)
        weights = torch.where(t[:, None] >= t, 0.5 ** (t[:, None] - t).clamp_min(0).to(xs.dtype), 0.0).to(xs.dtype)
        v = torch.tensordot(weights, xs, 1)
        return self.surrogate(v - 1), self.State(v[-1])


@pytest.mark.parametrize(
    "neuron",
    [LearnedStart(), Dendrites(), Adaptive(), Ternary(), Integers(), Refractory(), WithRate(), Parallel()],
    ids=lambda neuron: type(neuron).__name__,
)
def test_it_keeps_the_laws(neuron):
    report = check_neuron(neuron)
    cut = {"cuts in time", "states", "state files"} if not neuron.chunkable else set()
    assert {name for name, _ in report.exempt} == {"compiles"} | cut


@pytest.mark.slow
@pytest.mark.parametrize("neuron", [LearnedStart(), Dendrites(), Adaptive(), Ternary(), Refractory()])
def test_it_compiles(neuron):
    check_neuron(neuron, compiled=True)


def test_features_that_a_quantity_fits():
    with pytest.raises(LawError, match="the size of tensor|must match|shape"):
        check_neuron(LearnedStart(), features=(4,))


def test_a_surrogate_of_a_user_fits_a_neuron_of_ours():
    from snn4.neurons import LIF

    class Cosine(Surrogate):
        area = 1.0

        def derivative(self, x):
            return torch.where(x.abs() < 1, (1 + torch.cos(math.pi * x)) / 2, 0.0)

        def primitive(self, x):
            u = x.clamp(-1, 1)
            return 0.5 + u / 2 + torch.sin(math.pi * u) / (2 * math.pi)

    check_neuron(LIF(surrogate=Cosine()))


class Restless(Neuron):
    """Fires without input, and says so."""

    State = state("v")
    exempt: ClassVar = {"silent at rest": "it fires by itself"}

    def __init__(self):
        super().__init__()
        self.surrogate = ATan()

    def step(self, x, state):
        v = state.v + x + 0.3
        s = self.surrogate(v - 1.0)
        return s, self.State(v - s)


def test_a_class_declares_what_it_cannot_keep():
    report = check_neuron(Restless())
    assert ("silent at rest", "it fires by itself") in report.exempt
    with pytest.raises(LawError, match="silent at rest"):
        check_neuron(type("Silent", (Restless,), {"exempt": {}})())
