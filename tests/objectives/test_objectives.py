from __future__ import annotations

import math

import pytest
import torch

from snn4.core.errors import OptionError, ShapeError
from snn4.objectives import FiringRate, TemporalDecay, count_mse, cross_entropy, rate, tet

# two steps, one sample, class 0
TWO = torch.tensor([[[2.0, 0.0]], [[0.0, 0.0]]], dtype=torch.float64)
THREE = torch.tensor([[[2.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]]], dtype=torch.float64)
ZERO = torch.tensor([0])


@pytest.mark.parametrize(
    ("outputs", "weight", "expected"),
    [
        # ce = ln(1 + e^-2) = .126928 and ln 2 = .693147; the squared distance from 1 is 1
        (TWO, 0.05, 0.95 * (0.126928 + 0.693147) / 2 + 0.05 * 1.0),
        (TWO, 0.05, 0.439536),
        (THREE, 0.0, 0.895495),
        (THREE, 0.05, 0.892387),
        (THREE, 1e-3, 0.895433),
    ],
)
def test_tet_on_hand_worked_numbers(outputs, weight, expected):
    assert tet(outputs, ZERO, weight).item() == pytest.approx(expected, abs=1e-6)


def test_rate_on_hand_worked_numbers():
    assert rate(TWO, ZERO).item() == pytest.approx(math.log(1 + math.exp(-1)), abs=1e-12)
    assert rate(THREE, ZERO).item() == pytest.approx(0.680270, abs=1e-6)


def test_rate_gives_each_step_the_same_gradient_and_tet_does_not():
    outputs = THREE.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(rate(outputs, ZERO), outputs)
    assert torch.equal(gradient[0], gradient[1])
    (gradient,) = torch.autograd.grad(tet(outputs, ZERO), outputs)
    assert not torch.allclose(gradient[0], gradient[1])


def test_tet_is_never_below_rate_by_convexity():
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        outputs = torch.randn(5, 4, 3, generator=generator, dtype=torch.float64) * 3
        targets = torch.randint(3, (4,), generator=generator)
        assert tet(outputs, targets, weight=0.0) >= rate(outputs, targets) - 1e-12


def test_label_smoothing_is_cross_entropy_with_soft_targets():
    logits = torch.tensor([[1.0, 2.0, 4.0], [0.0, -1.0, 0.5]], dtype=torch.float64)
    targets, smoothing = [2, 0], 0.3
    expected = 0.0
    for row, target in zip(logits.tolist(), targets, strict=True):
        normaliser = math.log(sum(math.exp(z) for z in row))
        for c, z in enumerate(row):
            share = 0.7 * (c == target) + 0.3 / 3
            expected -= share * (z - normaliser) / 2
    assert cross_entropy(logits, torch.tensor(targets), smoothing).item() == pytest.approx(expected, abs=1e-12)
    # all objectives take it alike: with one step they are the same loss
    for objective in (rate, lambda *args: tet(*args[:2], weight=0.0, label_smoothing=args[2])):
        assert objective(logits[None], torch.tensor(targets), smoothing).item() == pytest.approx(expected, abs=1e-12)


def test_count_mse_on_hand_worked_numbers():
    # neuron 0 fires in 3 of 4 steps, neuron 1 in 1 of 4
    spikes = torch.tensor([[[1.0, 0.0]], [[1.0, 1.0]], [[0.0, 0.0]], [[1.0, 0.0]]])
    assert count_mse(spikes, ZERO).item() == pytest.approx((0.25**2 + 0.25**2) / 2)
    assert count_mse(spikes, torch.tensor([1])).item() == pytest.approx((0.75**2 + 0.75**2) / 2)
    assert count_mse(spikes, ZERO, high=0.75, low=0.25).item() == 0


def test_firing_rate_on_hand_worked_numbers():
    # rates .5 and 0 in layer a, 1 in layer b
    spikes = {
        "a": torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]]),
        "b": torch.ones(2, 1, 1),
    }
    penalty = FiringRate(low=0.1, high=0.4, strength=2.0)
    assert penalty(spikes).item() == pytest.approx(2 * ((0.1**2 + 0.1**2) / 2 + 0.6**2))
    assert FiringRate(0.1, 0.4, 2.0, without=("b",))(spikes).item() == pytest.approx(2 * 0.01)


def test_firing_rate_does_not_depend_on_steps_batch_or_width():
    spikes = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]])
    penalty = FiringRate(low=0.2, high=0.3)
    once = penalty({"a": spikes})
    for bigger in (spikes.repeat(3, 1, 1), spikes.repeat(1, 5, 1), spikes.repeat(1, 1, 4)):
        assert torch.allclose(penalty({"a": bigger}), once)


def test_firing_rate_pulls_both_ways_and_is_flat_inside_the_band():
    spikes = torch.tensor([[[1.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]]], requires_grad=True)
    (gradient,) = torch.autograd.grad(FiringRate(low=0.4, high=0.6)({"a": spikes}), spikes)
    # T N / 2 = 3; the first neuron is .4 above, the second .4 below, the third inside
    assert torch.allclose(gradient, torch.tensor([0.4, -0.4, 0.0]).expand(2, 1, 3) / 3)


@pytest.mark.parametrize("objective", [rate, tet, count_mse])
@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64), r"expected \(T, B, C\).*time axis missing"),
        (torch.zeros(0, 2, 3), torch.zeros(2, dtype=torch.int64), r"\(0, 2, 3\)"),
        (torch.zeros(4, 2, 3), torch.zeros(3, dtype=torch.int64), r"targets of shape \(3,\)"),
        (torch.zeros(4, 2, 3), torch.zeros(2, 3), r"argmax"),
        (torch.zeros(4, 2, 3), torch.tensor([0, 3]), r"from 0 to 3: expected classes from 0 to 2"),
        (torch.zeros(4, 2, 3), torch.tensor([-1, 0]), r"from -1 to 0"),
    ],
)
def test_wrong_shapes_are_told(objective, outputs, targets, message):
    with pytest.raises(ShapeError, match=message):
        objective(outputs, targets)


def test_cross_entropy_says_that_time_must_go_first():
    with pytest.raises(ShapeError, match="Take the time away first"):
        cross_entropy(torch.zeros(4, 2, 3), torch.tensor([0, 1]))


def test_wrong_options_are_told():
    with pytest.raises(OptionError, match="label_smoothing=1"):
        cross_entropy(torch.zeros(1, 2), ZERO, 1.0)
    with pytest.raises(OptionError, match="weight=2"):
        tet(TWO, ZERO, 2.0)
    for smoothed in (rate, tet):
        with pytest.raises(OptionError, match=f"{smoothed.__name__} got label_smoothing=1.5"):
            smoothed(TWO, ZERO, label_smoothing=1.5)
    with pytest.raises(OptionError, match="phi=nan"):
        tet(TWO, ZERO, phi=float("nan"))
    with pytest.raises(OptionError, match="high=nan"):
        count_mse(TWO, ZERO, high=float("nan"))
    for strength in (-1.0, float("nan"), float("inf")):
        with pytest.raises(OptionError, match="strength="):
            FiringRate(strength=strength)
        with pytest.raises(OptionError, match="strength="):
            TemporalDecay(4, strength=strength)
    with pytest.raises(OptionError, match=r"steps=2\.5"):
        TemporalDecay(2.5)
    with pytest.raises(OptionError, match="low=0.5, high=0.2"):
        FiringRate(0.5, 0.2)
    with pytest.raises(OptionError, match=r"\['nope'\].*paths among \['a'\]"):
        FiringRate(without=("nope",))({"a": torch.ones(1, 1, 1)})
    with pytest.raises(OptionError, match="no spiking layer"):
        FiringRate()({})
