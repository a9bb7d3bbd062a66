"""The formulas, against numbers that are worked out here from the published ones."""

from __future__ import annotations

import math

import pytest
import torch

from snn4 import Learned, OptionError, ShapeError, nn
from snn4.surrogates import ATan, FastSigmoid, Gaussian, MultiGaussian, Rectangle, Sigmoid, Triangle, superspike

POINTS = (-1.7, -0.6, -0.2, 0.0, 0.1, 0.45, 0.9, 2.5)


def normal(x, mean, deviation):
    return math.exp(-((x - mean) ** 2) / (2 * deviation**2)) / math.sqrt(2 * math.pi * deviation**2)


def logistic(x):
    return 1 / (1 + math.exp(-x))


FORMULAS = [
    (Sigmoid(4.0), lambda x: 4 * logistic(4 * x) * (1 - logistic(4 * x))),
    (ATan(2.0), lambda x: 1 / (1 + (math.pi * x) ** 2)),
    (ATan(5.0), lambda x: 2.5 / (1 + (2.5 * math.pi * x) ** 2)),
    (Triangle(1.0), lambda x: max(0.0, 1 - abs(x))),
    (Triangle(0.5), lambda x: 4 * max(0.0, 0.5 - abs(x))),
    (Rectangle(1.0), lambda x: float(abs(x) < 0.5)),
    (Rectangle(4.0), lambda x: 0.25 * (abs(x) < 2)),
    (FastSigmoid(10.0), lambda x: 1 / (1 + 10 * abs(x)) ** 2),
    (superspike(), lambda x: 1 / (1 + 100 * abs(x)) ** 2),
    (Gaussian(0.4), lambda x: normal(x, 0, 0.4)),
    (
        MultiGaussian(),
        lambda x: 0.5 * (1.15 * normal(x, 0, 0.5) - 0.15 * normal(x, 0.5, 3) - 0.15 * normal(x, -0.5, 3)),
    ),
]


@pytest.mark.parametrize(("surrogate", "formula"), FORMULAS, ids=lambda value: str(value)[:24])
def test_the_derivative_is_the_published_one(surrogate, formula):
    found = surrogate.derivative(torch.tensor(POINTS, dtype=torch.float64)).tolist()
    assert found == pytest.approx([formula(x) for x in POINTS], rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    ("surrogate", "peak"),
    # the last is .5 (1.15 .797885 - .3 .132981 e^(-1/72))
    [
        (Sigmoid(4.0), 1.0),
        (ATan(2.0), 1.0),
        (Triangle(2.0), 0.5),
        (Rectangle(0.5), 2.0),
        (FastSigmoid(25.0), 1.0),
        (Gaussian(0.5), 0.797884560802865),
        (MultiGaussian(), 0.4391116),
    ],
    ids=lambda value: str(value)[:24],
)
def test_the_peak_lies_at_the_threshold(surrogate, peak):
    x = torch.linspace(-1, 1, 201, dtype=torch.float64)
    assert surrogate.derivative(x).max().item() == pytest.approx(peak, rel=1e-5)
    assert surrogate.derivative(torch.zeros(1, dtype=torch.float64)).item() == pytest.approx(peak, rel=1e-5)


def test_the_flanks_of_the_multi_gaussian_are_negative():
    psi = MultiGaussian().derivative(torch.tensor([-2.0, 2.0]))
    assert (psi < 0).all()


def test_a_learned_scale_gets_a_hand_worked_gradient():
    # Psi(x) = sigmoid(alpha x), so dPsi/dalpha = x y (1 - y); alpha = e^raw, so dalpha/draw = alpha
    surrogate = Sigmoid(Learned(3.0)).double()
    x = torch.tensor([-0.3, 0.2, 1.0], dtype=torch.float64)
    surrogate(x).sum().backward()
    expected = sum(3 * v * logistic(3 * v) * (1 - logistic(3 * v)) for v in x.tolist())
    assert surrogate.learned_alpha.raw.grad.item() == pytest.approx(expected, rel=1e-6)


def test_a_learned_scale_does_not_change_a_spike():
    x = torch.linspace(-2, 2, 1001)
    for surrogate in (ATan(Learned(2.0)), Triangle(Learned(1.0)), MultiGaussian(Learned(0.5))):
        assert torch.equal(surrogate(x), (x >= 0).float())


def test_second_derivatives_follow_the_derivative():
    # d/dx 1 / (1 + (pi x)^2) = -2 pi^2 x / (1 + (pi x)^2)^2
    x = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(ATan()(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert second.item() == pytest.approx(-2 * math.pi**2 * 0.3 / (1 + (math.pi * 0.3) ** 2) ** 2)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), True, "2", torch.tensor([1.0, -1.0])])
@pytest.mark.parametrize("member", [ATan, FastSigmoid, Gaussian, MultiGaussian, Rectangle, Sigmoid, Triangle])
def test_a_scale_out_of_range_is_refused(member, value):
    with pytest.raises(OptionError, match=member.__name__):
        member(value)


@pytest.mark.parametrize(
    "options",
    [{"height": 1.0}, {"height": -0.1}, {"spread": 0.0}, {"gamma": 0.0}]
    + [{name: value} for name in ("spread", "gamma", "shift") for value in (float("inf"), float("nan"))],
)
def test_settings_of_the_multi_gaussian_out_of_range_are_refused(options):
    with pytest.raises(OptionError, match="MultiGaussian"):
        MultiGaussian(**options)


def test_a_scale_that_does_not_fit_the_features_is_refused_by_the_neuron():
    neuron = nn.LIF(surrogate=ATan(torch.tensor([1.0, 2.0])))
    with pytest.raises(ShapeError, match=r"ATan has alpha of shape \(2,\) on features \(3,\)"):
        neuron(torch.zeros(4, 1, 3))


def test_every_neuron_owns_a_copy():
    surrogate = ATan(Learned(2.0))
    one, other = nn.LIF(surrogate=surrogate), nn.LIF(surrogate=surrogate)
    parameters = {id(s.learned_alpha.raw) for s in (surrogate, one.surrogate, other.surrogate)}
    assert len(parameters) == 3
