"""Arguments that make no sense are refused; those that do are shown."""

from __future__ import annotations

import copy

import pytest
import torch

from snn4 import Learned, OptionError, ShapeError
from snn4.neurons import (
    DALIF,
    DSRIF,
    DSRLIF,
    IF,
    LI,
    LIF,
    PSN,
    CubaLIF,
    MaskedPSN,
    SlidingPSN,
    euler,
    exponential,
    plif,
)
from snn4.surrogates import LSG, Annealed, ATan, Triangle

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: LIF(tau=0.5), "tau=0.5: expected a finite number >= 1"),
        (lambda: LIF(tau=0.0, decay=exponential), "tau=0.0: expected a finite number > 0"),
        (lambda: LIF(tau=1.5, dt=2.0), "a finite number >= 2"),
        (lambda: LIF(tau=NAN), "tau=nan"),
        (lambda: LIF(tau=INF), "tau=inf"),
        (lambda: LIF(tau="2"), "snn4.Learned"),
        (lambda: LIF(tau=True), "tau=True"),
        (lambda: LIF(tau=torch.tensor([2.0, 0.5])), "LIF got tau"),
        (lambda: LIF(tau=Learned(0.5)), "LIF got tau"),
        (lambda: LIF(tau=torch.ones(0)), "LIF got tau"),
        (lambda: LIF(v_threshold=0.0), "v_threshold=0.0: expected a finite number > 0"),
        (lambda: LIF(v_threshold=-1.0), "v_threshold"),
        (lambda: LIF(v_reset="hard"), "v_reset='hard'"),
        (lambda: LIF(v_reset=NAN), "v_reset=nan"),
        (lambda: LIF(v_reset=1.0), "v_reset < v_threshold"),
        (lambda: IF(v_threshold=0.5, v_reset=0.75), "v_reset < v_threshold"),
        (lambda: IF(v_threshold=torch.tensor([1.0, 0.5]), v_reset=0.75), "v_threshold=0.5: expected v_reset <"),
        (lambda: LIF(v_threshold=Learned(0.5), v_reset=0.75), "v_reset < v_threshold"),
        (lambda: LIF(surrogate=torch.sigmoid), "a Surrogate"),
        (lambda: LIF(surrogate=ATan), "a Surrogate"),
        (lambda: LIF(dt=0.0), "dt=0.0"),
        (lambda: LI(dt=-1.0), "dt=-1.0"),
        (lambda: LI(tau=0.9), "LI got tau=0.9"),
        (lambda: CubaLIF(tau_syn=0.0), "CubaLIF got tau_syn=0.0"),
        (lambda: CubaLIF(dt=NAN), "dt=nan"),
        (lambda: plif(1.0), "tau"),
    ],
)
def test_what_makes_no_sense_is_refused(make, told):
    with pytest.raises(OptionError, match=told.replace("(", r"\(")):
        make()


@pytest.mark.parametrize("neuron", [IF(), LIF(), CubaLIF(), LI()], ids=lambda n: type(n).__name__)
@pytest.mark.parametrize(
    ("x", "told"),
    [
        (torch.zeros(32, 10), "Is the time axis missing?"),
        (torch.zeros(10), "Is the time axis missing?"),
        (torch.zeros(0, 2, 3), "T >= 1"),
        (torch.zeros(4, 2, 3, dtype=torch.int64), "a floating-point dtype"),
        (torch.zeros(4, 2, 3, dtype=torch.bool), "a floating-point dtype"),
    ],
)
def test_what_is_not_a_sequence_is_refused(neuron, x, told):
    with pytest.raises(ShapeError, match=type(neuron).__name__) as caught:
        neuron(x)
    assert told in str(caught.value)


def test_the_reset_can_lie_below_zero_and_above():
    assert LIF(v_reset=-3.0).v_reset == -3.0
    assert LIF(v_reset=0).v_reset == 0.0
    assert LIF(v_reset=0.99).v_reset == 0.99


def test_a_neuron_shows_what_it_is():
    assert repr(LIF(tau=3.0, v_reset=0.5, decay_input=True, surrogate=Triangle(0.5))).split() == (
        "LIF( v_threshold=1, tau=3, v_reset=0.5, decay=euler, decay_input (surrogate): Triangle(width=0.5) )".split()
    )
    assert "tau=tensor(3,) learned" in repr(LIF(tau=Learned(2.0, shape=(3,))))
    assert "tau_syn=4" in repr(CubaLIF(tau_syn=4.0, detach_reset=True))
    assert "detach_reset" in repr(CubaLIF(detach_reset=True))
    assert repr(LI(decay=exponential)) == "LI(tau=2, decay=exponential)"
    assert repr(euler) == "euler"


def test_a_copy_shares_nothing():
    neuron = plif(2.0)
    twin = copy.deepcopy(neuron)
    with torch.no_grad():
        twin.learned_tau.raw.add_(1.0)
    assert neuron.tau.item() == 2.0
    assert twin.tau.item() == pytest.approx(1 + 2.718281828)


def test_a_learned_threshold_stays_above_a_hard_reset():
    neuron = LIF(v_threshold=Learned(1.0), v_reset=0.5)
    assert neuron.v_threshold.item() == pytest.approx(1.0)
    for raw in (-1e9, -5.0, 5.0):
        with torch.no_grad():
            neuron.learned_v_threshold.raw.fill_(raw)
        assert neuron.v_threshold.item() >= 0.5
    x = torch.zeros(9, 1, 1)
    x[0] = 1.0
    with torch.no_grad():
        neuron.learned_v_threshold.raw.fill_(-5.0)
    assert neuron(x).sum() == 1


def test_a_learned_number_that_would_be_kept_on_an_end_is_refused():
    with pytest.raises(OptionError, match="start a little above it"):
        LIF(Learned(1 + 1e-9))
    assert LIF(Learned(torch.tensor(1 + 1e-9, dtype=torch.float64))).tau.item() > 1


@pytest.mark.parametrize("make", [DALIF, PSN, MaskedPSN, DSRIF, SlidingPSN, lambda *_: LIF(surrogate=Annealed())])
def test_it_prints_without_numbers(make):
    with torch.device("meta"):
        neuron = make(4, 2) if make is MaskedPSN else make(4) if make is PSN else make()
    assert type(neuron).__name__ in repr(neuron)


@pytest.mark.parametrize("make", [DSRIF, DSRLIF, lambda **kw: PSN(4, **kw), lambda **kw: SlidingPSN(2, **kw)])
def test_a_surrogate_has_a_width_of_its_own_that_fits(make):
    for wrong in (LSG(), "atan"):
        with pytest.raises(OptionError, match="a Surrogate with a width of its own"):
            make(surrogate=wrong)
    neuron = make(surrogate=ATan(torch.tensor([1.0, 2.0, 3.0])))
    neuron(torch.zeros(4, 2, 3))
    with pytest.raises(ShapeError, match="alpha of shape"):
        neuron(torch.zeros(4, 2, 3, 3, 3))
