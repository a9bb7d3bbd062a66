"""The laws of neurons, over every public member and its options."""

from __future__ import annotations

import inspect
import itertools

import pytest
import torch
from tests.neurons.zoo import MEMBERS

from snn4 import Learned, Neuron, neurons
from snn4.neurons import IF, LI, LIF, CubaLIF, euler, exponential, plif
from snn4.surrogates import Rectangle, Sigmoid, Triangle
from snn4.testing import check_neuron

SPIKING = {"v_reset": (None, 0.0, -0.25, 0.5), "detach_reset": (False, True)}
DECAY = {"decay": (euler, exponential)}
OPTIONS = {
    IF: SPIKING,
    LIF: SPIKING | DECAY | {"decay_input": (False, True)},
    CubaLIF: SPIKING | DECAY,
    LI: DECAY | {"decay_input": (False, True)},
}
TIME_CONSTANTS = {IF: (), LIF: ("tau",), CubaLIF: ("tau", "tau_syn"), LI: ("tau",)}
# CubaLIF's defaults are slow: shorter time constants make it fire within a few steps
BASE = {IF: {}, LIF: {}, CubaLIF: {"tau": 3.0, "tau_syn": 2.0}, LI: {}}


def members():
    found = (getattr(neurons, name) for name in neurons.__all__)
    return {m for m in found if inspect.isclass(m) and issubclass(m, Neuron) and not inspect.isabstract(m)}


def test_no_member_is_forgotten():
    assert members() == {*OPTIONS, *MEMBERS}


def variants():
    for member, options in OPTIONS.items():
        for values in itertools.product(*options.values()):
            yield pytest.param(member, dict(zip(options, values, strict=True)), id=f"{member.__name__}-{values}")


@pytest.mark.parametrize(("member", "options"), list(variants()))
def test_every_option_keeps_every_law(member, options):
    # a leaky input is weaker: give more of it
    scale = 2.0 if options.get("decay_input") else 1.0
    report = check_neuron(member(**BASE[member], **options), scale=scale)
    assert [name for name, _ in report.exempt] == ["compiles"]


@pytest.mark.parametrize("member", OPTIONS)
def test_the_defaults_keep_every_law(member):
    check_neuron(member(), scale=1.0)


KINDS = {
    "per channel": lambda value: torch.tensor([0.8, 1.0, 1.3]).view(3, 1, 1) * value,
    "per neuron": lambda value: torch.linspace(0.8, 1.3, 12).view(3, 2, 2) * value,
    "learned": lambda value: Learned(value),
    "learned per channel": lambda value: Learned(value, shape=(3, 1, 1)),
    "learned per neuron": lambda value: Learned(value, shape=(3, 2, 2)),
    "parameter": lambda value: torch.nn.Parameter(torch.full((3, 1, 1), value)),
}


def quantities():
    for member, times in TIME_CONSTANTS.items():
        names = (*times, "v_threshold") if member is not LI else times
        for name, kind in itertools.product(names, KINDS):
            yield pytest.param(member, name, kind, id=f"{member.__name__}-{name}-{kind}")


@pytest.mark.parametrize(("member", "name", "kind"), list(quantities()))
def test_every_kind_of_quantity_keeps_every_law(member, name, kind):
    value = 1.0 if name == "v_threshold" else 2.5
    neuron = member(**BASE[member] | {name: KINDS[kind](value)})
    check_neuron(neuron, features=(3, 2, 2))
    assert neuron.is_learned(name) == ("learned" in kind or kind == "parameter")


@pytest.mark.parametrize("surrogate", [Rectangle(), Triangle(Learned(1.0)), Sigmoid(torch.tensor([2.0, 4.0, 8.0]))])
@pytest.mark.parametrize("member", [IF, LIF, CubaLIF])
def test_every_surrogate_fits(member, surrogate):
    check_neuron(member(**BASE[member], surrogate=surrogate))


@pytest.mark.parametrize("shape", [(), (3,)])
def test_plif_keeps_every_law(shape):
    check_neuron(plif(2.0, shape=shape), scale=2.0)


@pytest.mark.parametrize("member", [m for m, times in TIME_CONSTANTS.items() if times])
def test_other_steps_of_time_keep_every_law(member):
    check_neuron(member(**BASE[member], dt=0.5))


@pytest.mark.parametrize(
    "neuron",
    [
        IF(v_reset=0.0),
        LIF(tau=torch.tensor([2.0, 3.0, 4.0]), surrogate=Triangle(Learned(1.0))),
        pytest.param(LIF(decay=exponential, v_reset=-0.25), marks=pytest.mark.slow),
        pytest.param(CubaLIF(3.0, 2.0), marks=pytest.mark.slow),
        pytest.param(LI(), marks=pytest.mark.slow),
        pytest.param(plif(2.0, v_reset=None, shape=(3,)), marks=pytest.mark.slow),
    ],
    ids=lambda neuron: type(neuron).__name__,
)
def test_members_compile(neuron):
    check_neuron(neuron, scale=1.5, compiled=True)
