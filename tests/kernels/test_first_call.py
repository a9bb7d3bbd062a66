"""A neuron's first call decides for all later ones: where it happens must not matter."""

from __future__ import annotations

import contextlib

import pytest
import torch
from tests.kernels.twins import Adaptive

import snn4
from snn4 import Learned
from snn4.core.states import state
from snn4.kernels import use
from snn4.neurons import LIF
from snn4.through_time import Neuron

X = torch.linspace(-1, 2, 24).view(4, 2, 3)


def implementation(neuron):
    (choice,) = snn4.explain(neuron, X).choices
    return choice.implementation


def fresh():
    """A neuron of a class that nothing has traced yet."""

    class Fresh(Adaptive):
        pass

    return Fresh()


def in_checkpoint(neuron):
    ys = snn4.checkpoint(neuron, X.clone().requires_grad_())
    ys.sum().backward()


def in_torchs_checkpoint(neuron):
    x = X.clone().requires_grad_()
    torch.utils.checkpoint.checkpoint(neuron, x, use_reentrant=False).sum().backward()


def under(context):
    def call(neuron):
        with context():
            neuron(X)

    return call


@contextlib.contextmanager
def default_device():
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize(
    "first",
    [
        in_checkpoint,
        in_torchs_checkpoint,
        under(torch.inference_mode),
        under(torch.no_grad),
        under(lambda: torch.autocast("cpu", dtype=torch.bfloat16)),
        under(lambda: torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t)),
        under(lambda: torch.autograd.set_detect_anomaly(True, check_nan=False)),
        under(default_device),
        lambda neuron: torch.func.grad(lambda x: neuron(x).sum())(X),
        lambda neuron: torch.func.vmap(neuron, in_dims=1, out_dims=1)(X.unsqueeze(2)),
    ],
    ids=["checkpoint", "torch's checkpoint", "inference", "no grad", "autocast", "saved hooks", "anomaly", "device",
         "func.grad", "vmap"],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_where_a_neuron_is_traced_first_does_not_matter(first):
    neuron = fresh()
    with use("reference"):
        expected = neuron(X)
    first(neuron)
    assert implementation(neuron) == "c++"
    assert torch.equal(neuron(X), expected)


def test_a_checkpoint_runs_as_a_kernel():
    neuron, grads = LIF(tau=Learned(2.5)), []
    for call in (neuron, lambda x: snn4.checkpoint(neuron, x)):
        x = X.clone().requires_grad_()
        neuron.zero_grad()
        with use("c++"):
            call(x).square().sum().backward()
        grads.append((x.grad, *(p.grad for p in neuron.parameters())))
    assert all(map(torch.equal, *grads))


class InPlace(Neuron):
    """Operations in place on values of its own, one of them on a view."""

    State = state("v")

    def step(self, x, state):
        v = state.v * 0.5
        v += x
        v[..., :].mul_(2.0) if self.by_view else v.mul_(2.0)
        return v.clone(), self.State(v)

    def __init__(self, by_view=False):
        super().__init__()
        self.by_view = by_view


def test_in_place_on_own_values():
    neuron = InPlace()
    with use("reference"):
        expected = neuron(X)
    with use("c++"):
        assert torch.equal(neuron(X), expected)


def test_in_place_through_a_view_is_refused_not_wrong():
    neuron = InPlace(by_view=True)
    with use("reference"):
        expected = neuron(X)
    assert implementation(neuron) == "reference loop"
    assert torch.equal(neuron(X), expected)


class Asking(Neuron):
    """A step that looks at a value."""

    State = state("v")

    def step(self, x, state):
        gain = 2.0 if state.v.sum().item() > 1 else 1.0
        return x * gain, self.State(state.v + x)


class Constant(Neuron):
    """Numbers that come as tensors."""

    State = state("v")

    def step(self, x, state):
        v = torch.tensor(0.5) * state.v + torch.full_like(x, 0.25) * x + torch.ones(3)
        return v, self.State(v)


class Table(Constant):
    def step(self, x, state):
        v = state.v + x * torch.tensor([1.0, 2.0, 3.0])
        return v, self.State(v)


@pytest.mark.parametrize(
    ("make", "reason"),
    [(Asking, "asks for the value of a tensor"), (Table, "neither a parameter nor a buffer"), (Constant, "")],
)
def test_values_and_constants(make, reason):
    neuron = make()
    with use("reference"):
        expected = neuron(X)
    (choice,) = snn4.explain(neuron, X).choices
    assert (choice.implementation == "c++") == (not reason)
    assert reason in dict(choice.refused).get("c++", "")
    assert torch.equal(neuron(X), expected)
