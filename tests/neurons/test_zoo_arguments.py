"""What makes no sense is refused where it is written; what is learned stays in its range."""

from __future__ import annotations

import pytest
import torch
from tests.neurons.zoo import ZOO

from snn4 import Learned, OptionError, ShapeError
from snn4.neurons import (
    ALIF,
    BRF,
    CLIF,
    DALIF,
    DHLIF,
    GLIF,
    IBRALIF,
    IF,
    KLIF,
    LIF,
    PSN,
    RPLIF,
    TCLIF,
    AdEx,
    AdLIF,
    CubaLIF,
    IntegerLIF,
    Izhikevich,
    MaskedPSN,
    SEAdLIF,
    SlidingPSN,
    SpikingNeuron,
    TernaryLIF,
    UnaryLIF,
    branch_mask,
    dh_lif,
    heterogeneous,
)
from snn4.surrogates import LSG, MSG

LEARNING = [name for name, (make, _) in ZOO.items() if any("raw" in key for key, _ in make().named_parameters())]
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: DALIF(1.5), "alpha=1.5: expected a finite number from -1 to 1"),
        (lambda: DALIF(beta=-1.01), "beta=-1.01"),
        (lambda: DALIF(Learned(1.0)), "a number between -1 and 1 to start from"),
        (lambda: DALIF(-0.5, activation="sigmoid"), "alpha=-0.5: expected a finite number from 0 to 1"),
        (lambda: DALIF(activation="tan"), "activation='tan'.*'tanh'"),
        (lambda: DALIF(NAN), "alpha=nan"),
        (lambda: TCLIF(0.5), "beta1=0.5: expected a finite number from -1 to 0"),
        (lambda: TCLIF(beta2=Learned(1.0)), "beta2"),
        (lambda: TCLIF(gamma=-0.1), "gamma=-0.1"),
        (lambda: ALIF(tau=0.0), "tau=0.0: expected a finite number > 0"),
        (lambda: ALIF(tau_a=-1.0), "tau_a"),
        (lambda: ALIF(beta=-1.0), "beta=-1.0: expected a finite number >= 0"),
        (lambda: ALIF(v_reset=0.5), "v_reset < v_threshold"),
        (lambda: AdLIF(4.0), "tau=4.0: expected a finite number from 5 to 25"),
        (lambda: AdLIF(k=2.0), "k=2.0"),
        (lambda: SEAdLIF(tau_a=50.0), "tau_a=50.0: expected a finite number from 60 to 300"),
        (lambda: SEAdLIF(k=Learned(1.1)), "k="),
        (lambda: SEAdLIF(q=INF), "q=inf"),
        (lambda: GLIF(alpha=1.1), "alpha=1.1"),
        (lambda: GLIF(tau=Learned(0.0)), "tau"),
        (lambda: GLIF(leak=-0.1), "leak=-0.1"),
        (lambda: KLIF(0.0), "k=0.0"),
        (lambda: KLIF(tau=0.9), "tau=0.9: expected a finite number >= 1"),
        (lambda: CLIF(0.5), "CLIF got tau=0.5"),
        (lambda: RPLIF(rise=0.9), "rise=0.9: expected a finite number >= 1"),
        (lambda: RPLIF(cap=0.5), "cap=0.5"),
        (lambda: RPLIF(cap=INF), "cap=inf"),
        (lambda: TernaryLIF(v_negative=0.0), "v_negative=0.0"),
        (lambda: TernaryLIF(v_reset=-1.0), "v_reset=-1.0 and v_negative=1: expected v_reset > -v_negative"),
        (lambda: TernaryLIF(v_reset=-0.6, v_negative=Learned(0.5)), "v_reset > -v_negative"),
        (lambda: TernaryLIF(amplitude=-1.0), "amplitude=-1.0"),
        (lambda: IntegerLIF(0), "levels=0: expected a whole number >= 1"),
        (lambda: IntegerLIF(2.5), "levels=2.5"),
        (lambda: IntegerLIF(rounding="down"), "rounding='down'"),
        (lambda: UnaryLIF(LIF()), "a trained IntegerLIF"),
        (lambda: IBRALIF(0), "bits=0"),
        (lambda: IBRALIF(v_max=0.0), "v_max=0.0"),
        (lambda: AdEx(v_reset=30.0), "v_reset=30.0 and v_threshold=20"),
        (lambda: AdEx(c=0.0), "c=0.0"),
        (lambda: AdEx(dt=0.0), "dt=0.0"),
        (lambda: Izhikevich(a=1.5), "a=1.5: expected a finite number from 0 to 1"),
        (lambda: Izhikevich(c=40.0), "v_reset=40.0 and v_threshold=30"),
        (lambda: Izhikevich(v_floor=-60.0), "v_floor=-60.0"),
        (lambda: BRF(100.0), "omega=100.0: expected a finite number from 0 to 99.9"),
        (lambda: BRF(refractory=1.0), "refractory=1.0"),
        (lambda: BRF(drive=0.0), "drive=0.0: expected a finite factor above 0"),
        (lambda: DHLIF(1.2), "alpha=1.2"),
        (lambda: dh_lif(0), "features=0"),
        (lambda: branch_mask(3, 2, 4), "at least one input a branch"),
        (lambda: PSN(0), "steps=0"),
        (lambda: MaskedPSN(4, 0), "k=0"),
        (lambda: SlidingPSN(2.0), "k=2.0"),
        (lambda: heterogeneous(20.0, 0.0, (3,)), "std=0.0"),
        (lambda: heterogeneous(0.5, 1.0, (3,)), "low < mean"),
        (lambda: heterogeneous(20.0, 5.0, (3,), "cauchy"), "'normal', 'uniform', 'gamma', 'lognormal'"),
    ],
)
def test_what_makes_no_sense_is_refused(make, told):
    with pytest.raises(OptionError, match=told):
        make()


@pytest.mark.parametrize("surrogate", [LSG(), MSG(LSG())], ids=["LSG", "masked LSG"])
def test_a_surrogate_that_follows_wants_a_decay(surrogate):
    follows = (IF, LIF, CubaLIF, DALIF, ALIF, AdLIF, SEAdLIF, GLIF, KLIF, CLIF, RPLIF, TernaryLIF, DHLIF)
    for member in follows:
        neuron = member(surrogate=surrogate)
        assert isinstance(neuron.surrogate, type(surrogate))
        assert 0 <= torch.as_tensor(neuron.decay_of_v).item() <= 1
    for member in (TCLIF, AdEx, Izhikevich, BRF):
        with pytest.raises(OptionError, match=rf"(?s){member.__name__} got surrogate=.*follows the decay"):
            member(surrogate=surrogate)
        with pytest.raises(NotImplementedError, match=member.__name__):
            _ = member().decay_of_v


@pytest.mark.parametrize("wild", [-1e6, 1e6])
@pytest.mark.parametrize("name", LEARNING)
def test_no_step_of_an_optimiser_leads_out_of_the_range(name, wild):
    make, options = ZOO[name]
    neuron = make()
    with torch.no_grad():
        for parameter in neuron.parameters():
            parameter.fill_(wild)
    xs = torch.randn(12, 2, *options.get("features", (3,)), generator=torch.Generator().manual_seed(0))
    xs = (options.get("scale", 1.0) * xs).requires_grad_()
    ys = neuron(xs)
    ys.sum().backward()
    assert ys.isfinite().all()
    for parameter in neuron.parameters():
        assert parameter.grad is None or not parameter.grad.isnan().any()
    for quantity in neuron.quantities:
        value = getattr(neuron, quantity)
        assert not isinstance(value, torch.Tensor) or value.isfinite().all()


def test_dendrites_want_an_axis_of_branches():
    with pytest.raises(ShapeError, match="K branches"):
        DHLIF()(torch.zeros(4, 2, 3))
    neuron = DHLIF(torch.full((4, 3), 0.5), torch.full((3,), 0.5))
    assert neuron(torch.zeros(2, 1, 4, 3)).shape == (2, 1, 3)
    with pytest.raises(ShapeError, match=r"alpha of shape \(4, 3\) on features \(5, 3\)"):
        neuron(torch.zeros(2, 1, 5, 3))
    with pytest.raises(ShapeError, match=r"beta of shape \(3,\) on features \(2,\)"):
        DHLIF(0.5, torch.full((3,), 0.5))(torch.zeros(2, 1, 4, 2))


def test_they_show_what_they_are():
    for make, _ in ZOO.values():
        neuron = make()
        shown = repr(neuron)
        assert type(neuron).__name__ in shown
        if isinstance(neuron, SpikingNeuron):
            assert "v_threshold=" in shown
