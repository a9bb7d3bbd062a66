"""The laws of surrogates, over every public member and every kind of scale."""

from __future__ import annotations

import inspect

import pytest
import torch

from snn4 import Learned, surrogates
from snn4.surrogates import LSG, MSG, ATan, Sigmoid, Surrogate, Triangle, double_gaussian, superspike
from snn4.testing import check_surrogate

# the scale of each member, and a value to start from; those with a finite step need a wide view
SCALES = {
    "ATan": ("alpha", 2.0),
    "Dspike": ("b", 3.0),
    "FastSigmoid": ("slope", 10.0),
    "Gaussian": ("sigma", 0.5),
    "LSG": ("scale", 1.0),
    "MultiGaussian": ("sigma", 0.5),
    "Rectangle": ("width", 1.0),
    "Sigmoid": ("alpha", 4.0),
    "Slayer": ("alpha", 5.0),
    "Triangle": ("width", 1.0),
}
# what takes another surrogate instead of a scale
WRAPPERS = {"Annealed", "MSG"}
KINDS = {
    "float": lambda value: value * 1.37,
    "tensor": lambda value: torch.tensor([0.5, 1.0, 2.0]) * value,
    "learned": lambda value: Learned(value),
    "learned per neuron": lambda value: Learned(torch.tensor([0.5, 1.0, 2.0]) * value),
    "parameter": lambda value: torch.nn.Parameter(torch.tensor(value)),
}


def test_no_member_is_forgotten():
    members = {
        name
        for name in surrogates.__all__
        if inspect.isclass(member := getattr(surrogates, name))
        and issubclass(member, Surrogate)
        and not inspect.isabstract(member)
    }
    assert members == {*SCALES, *WRAPPERS}


@pytest.mark.parametrize("base", [None, ATan(), Triangle(Learned(1.0)), Sigmoid(torch.tensor([2.0, 4.0, 8.0]))])
@pytest.mark.parametrize("name", sorted(WRAPPERS))
def test_around_any_surrogate_the_laws_are_kept(name, base):
    member = getattr(surrogates, name)(base)
    assert check_surrogate(member.at(0.7) if name == "Annealed" else member).exempt == ()
    assert member.learns == (base is not None and base.learns)


@pytest.mark.parametrize("name", [*SCALES, *sorted(WRAPPERS)])
def test_the_defaults_keep_every_law(name):
    assert check_surrogate(getattr(surrogates, name)()).exempt == ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SCALES)
def test_every_kind_of_scale_keeps_every_law(name, kind):
    argument, value = SCALES[name]
    member = getattr(surrogates, name)(**{argument: KINDS[kind](value)})
    assert check_surrogate(member).exempt == ()
    learned = "learned" in kind or kind == "parameter"
    assert member.is_learned(argument) == learned
    assert bool(list(member.parameters())) == learned


def test_builders_keep_every_law():
    assert isinstance(superspike(), Surrogate)
    check_surrogate(superspike())
    check_surrogate(double_gaussian(Learned(0.5)))
    check_surrogate(Triangle(Learned(1.0), gamma=0.3))
    check_surrogate(MSG(LSG(Learned(1.0))))
    check_surrogate(superspike(Learned(50.0)))


def test_settings_of_the_multi_gaussian():
    for height, spread, gamma in ((0.0, 6.0, 1.0), (0.3, 2.0, 0.5), (0.15, 6.0, 0.5)):
        check_surrogate(surrogates.MultiGaussian(0.4, height, spread, gamma))
