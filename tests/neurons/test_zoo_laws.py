"""The laws, over every neuron beyond the leaky family."""

from __future__ import annotations

import pickle

import pytest
import torch
from tests.neurons.zoo import MEMBERS, ZOO

import snn4
from snn4 import Learned, nn
from snn4.neurons import ALIF, DALIF, LIF, PSN, IntegerLIF, SlidingPSN, UnaryLIF
from snn4.surrogates import LSG, MSG, Annealed, Dspike
from snn4.testing import check_neuron
from snn4.through_time import Neuron

# what a neuron is excused from, beside torch.compile, which is not asked for
ALONE = {"step folds to forward", "step changes nothing", "cuts in time", "states", "state files", "sequences"}
EXCUSED = {
    "PSN": ALONE | {"silent at rest"},
    "MaskedPSN": ALONE | {"silent at rest"},
    "UnaryLIF": ALONE | {"gradients arrive"},
}


@pytest.mark.parametrize("name", ZOO)
def test_every_law_is_kept(name):
    make, options = ZOO[name]
    report = check_neuron(make(), **options)
    assert {law for law, _ in report.exempt} == EXCUSED.get(name, set()) | {"compiles"}


@pytest.mark.parametrize(
    "surrogate", [LSG(Learned(1.0)), MSG(LSG()), Annealed(), Dspike()], ids=lambda s: type(s).__name__
)
@pytest.mark.parametrize("member", [LIF, DALIF, ALIF])
def test_every_changing_surrogate_fits(member, surrogate):
    check_neuron(member(surrogate=surrogate), scale=2.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_torch_compiles_it(name):
    make, options = ZOO[name]
    check_neuron(make(), compiled=True, **options)


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.__name__)
def test_every_member_has_a_home_and_a_paper(member):
    from snn4.core.papers import bibtex, keys_of

    assert issubclass(member, Neuron)
    assert getattr(nn, member.__name__) is member
    assert [bibtex(key) for key in keys_of(member)]


def test_what_cannot_be_cut_says_so():
    for neuron in (PSN(4), UnaryLIF(IntegerLIF(2))):
        with pytest.raises(snn4.StateError, match=neuron.unchunkable_reason):
            snn4.Stream(torch.nn.Sequential(neuron))(torch.zeros(4, 1, 3))
        with pytest.raises(snn4.StateError, match="a whole sequence"):
            neuron.step(torch.zeros(1, 3), None)
    assert snn4.Stream(SlidingPSN(3))(torch.zeros(5, 1, 3)).shape == (5, 1, 3)


def test_explain_tells_why_a_sequence_is_its_own():
    net = torch.nn.Sequential(PSN(4), UnaryLIF(IntegerLIF(2)))
    first, second = snn4.explain(net, torch.zeros(4, 1, 3)).choices
    assert first.implementation == second.implementation == "its own sequence()"
    assert "T x T weights" in str(first.refused)
    assert "virtual steps" in str(second.refused)


@pytest.mark.parametrize("name", ZOO)
def test_a_neuron_goes_to_another_process(name):
    """As pickle sends it, and torch.save keeps it."""
    neuron = ZOO[name][0]()
    there = pickle.loads(pickle.dumps(neuron))
    assert repr(there) == repr(neuron)
    assert all(
        torch.equal(a, b) for a, b in zip(there.state_dict().values(), neuron.state_dict().values(), strict=True)
    )
    assert type(there.State) is type(neuron.State)
