"""Losses on spike times: hand-worked numbers and finite differences."""

from __future__ import annotations

import math

import pytest
import torch

from snn4.core.errors import OptionError, ShapeError
from snn4.timing.losses import (
    first_spike_cross_entropy,
    potential_cross_entropy,
    spike_count,
    spread,
    time_shift,
)

INF = float("inf")
ONE = torch.tensor([1])


def test_potentials():
    y = torch.tensor([[0.0, math.log(3.0)]], dtype=torch.float64)
    assert potential_cross_entropy(y, ONE).item() == pytest.approx(math.log(4 / 3), abs=1e-12)


def test_first_spikes_by_hand():
    # -t / 0.5 = -0.4, -0.8, and the silent one -2
    times = torch.tensor([[[0.2, 0.9], [0.4, INF], [INF, INF]]], dtype=torch.float64)
    z = math.exp(-0.4) + math.exp(-0.8) + math.exp(-2.0)
    assert first_spike_cross_entropy(times, ONE, 0.5).item() == pytest.approx(0.8 + math.log(z), abs=1e-12)


def test_a_common_delay_changes_the_cross_entropy_of_times_by_nothing_and_the_shift_by_its_share():
    times = torch.tensor([[[0.2], [0.4]]], dtype=torch.float64)
    one, other = (first_spike_cross_entropy(t, ONE, 0.1) for t in (times, times + 0.3))
    assert one.item() == pytest.approx(other.item(), abs=1e-12)
    assert time_shift(times, ONE, 0.2).item() == pytest.approx(math.exp(2.0) - 1, abs=1e-12)
    assert time_shift(times + 0.2, ONE, 0.2).item() == pytest.approx(math.exp(3.0) - 1, abs=1e-12)


def test_the_count_gives_its_error_to_every_spike():
    times = torch.tensor([[[0.1, 0.2, 0.3], [0.5, INF, INF]], [[INF] * 3, [0.1, 0.2, INF]]], requires_grad=True)
    # wanted 1 and 3 of class 1, 3 and 1 of class 0: errors -2, 2 and 3, -1
    loss = spike_count(times, torch.tensor([1, 0]), high=3, low=1)
    assert loss.item() == pytest.approx((4 + 4 + 9 + 1) / 2 / 2)
    loss.backward()
    assert times.grad.tolist() == [[[-1.0, -1.0, -1.0], [1.0, 0.0, 0.0]], [[0.0] * 3, [-0.5, -0.5, 0.0]]]


def test_spread_is_a_hinge_on_the_standard_deviation():
    times = torch.tensor([[[0.1], [0.3]], [[0.0], [INF]]], dtype=torch.float64)
    # standard deviations 0.1 and 0.5
    assert spread(times, 0.3).item() == pytest.approx(0.2**2 / 2, abs=1e-12)
    same = torch.full((1, 3, 1), 0.5, requires_grad=True)
    spread(same, 0.1).backward()
    assert torch.isfinite(same.grad).all()


@pytest.mark.parametrize(
    "loss",
    [
        lambda t: first_spike_cross_entropy(t, torch.tensor([0, 2]), 0.2),
        lambda t: time_shift(t, torch.tensor([0, 2]), 0.3),
        lambda t: spread(t, 0.6),
    ],
)
def test_gradients_are_those_of_finite_differences_and_silence_has_none(loss):
    times = torch.rand(2, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).sort(2).values
    times[0, 1] = INF
    times.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(times), times)
    assert (gradient[0, 1] == 0).all()
    assert (gradient[:, :, 1] == 0).all()
    step = 1e-6
    for place in [(0, 0, 0), (0, 2, 0), (1, 0, 0), (1, 1, 0), (1, 2, 0)]:
        up, down = times.detach().clone(), times.detach().clone()
        up[place] += step
        down[place] -= step
        slope = (loss(up) - loss(down)).item() / (2 * step)
        assert gradient[place].item() == pytest.approx(slope, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda t: first_spike_cross_entropy(t, ONE, 0.0), OptionError),
        (lambda t: first_spike_cross_entropy(t[..., 0], ONE, 0.1), ShapeError),
        (lambda t: first_spike_cross_entropy(t, torch.tensor([0, 1]), 0.1), ShapeError),
        (lambda t: spike_count(t, ONE, high=9, low=1), OptionError),
        (lambda t: time_shift(t, ONE, -1.0), OptionError),
        (lambda t: spread(t[:, :1], 0.1), ShapeError),
        (lambda t: spread(t, -0.1), OptionError),
        (lambda t: potential_cross_entropy(t, ONE), ShapeError),
    ],
)
def test_wrong_calls_are_refused(call, error):
    with pytest.raises(error):
        call(torch.tensor([[[0.2, 0.3], [0.4, INF]]]))
