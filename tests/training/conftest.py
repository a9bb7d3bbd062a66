from __future__ import annotations

import pytest
import torch

from snn4.core import state
from snn4.data import Split
from snn4.surrogates import ATan
from snn4.through_time import Neuron
from snn4.training import Task


class Leaky(Neuron):
    """v = leak v + x, a spike at 1, soft reset."""

    State = state("v")

    def __init__(self, v_threshold=1.0):
        super().__init__()
        self.leak = torch.nn.Parameter(torch.full((1, 1), 0.5))
        self.v_threshold = v_threshold
        self.surrogate = ATan()

    def step(self, x, state):
        v = self.leak * state.v + x
        s = self.surrogate(v - self.v_threshold)
        return s, self.State(v - s * self.v_threshold)


class Membrane(Neuron):
    """Graded: the running sum of its input."""

    State = state("v")
    alphabet = None

    def step(self, x, state):
        v = state.v + x
        return v, self.State(v)


class FoldedNorm(torch.nn.BatchNorm1d):
    def forward(self, xs):
        return super().forward(xs.flatten(0, 1)).unflatten(0, xs.shape[:2])


@pytest.fixture
def leaky():
    return Leaky


@pytest.fixture
def membrane():
    return Membrane


@pytest.fixture
def norm():
    return FoldedNorm


@pytest.fixture
def make_net():
    def make(*middle, seed=0, inputs=4, hidden=6, classes=3):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return torch.nn.Sequential(torch.nn.Linear(inputs, hidden), *middle, torch.nn.Linear(hidden, classes))

    return make


@pytest.fixture
def net(make_net):
    return make_net(FoldedNorm(6), Leaky())


@pytest.fixture
def split():
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(30, 4, generator=generator)
    return Split(inputs, inputs[:, :3].argmax(1))


@pytest.fixture
def val():
    generator = torch.Generator().manual_seed(2)
    inputs = torch.randn(20, 4, generator=generator)
    return Split(inputs, inputs[:, :3].argmax(1))


@pytest.fixture
def task():
    return Task(
        encode=lambda x, generator: x.expand(3, *x.shape),
        readout=lambda ys: ys.mean(0),
        loss=torch.nn.functional.cross_entropy,
    )


@pytest.fixture
def said():
    """Collects what is said: pass `said.append` as log."""
    return []
