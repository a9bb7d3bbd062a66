"""Spike times and derivatives that were worked out by hand, in closed form or with another program."""

from __future__ import annotations

import math

import pytest
import torch
from tests.timing.cases import CONSTANTS, INF, METHODS, layer, simulate

from snn4.timing import spike_times

# one input at t = 0: tau_v, tau_i, weight, spike times, dt/dw
ONE_INPUT = [
    (2.0, 1.0, 4.0, [0.316694, 0.813493], [-0.103553, -0.381236]),
    (1.0, 1.0, 4.0, [0.357403, 1.135885], [-0.139046, -1.506274]),
    (INF, 1.0, 4.0, [-math.log(1 - k / 4) for k in (1, 2, 3)], [-1 / 12, -1 / 4, -3 / 4]),
    (4.0, 1.0, 4.0, [0.301130, 0.744918, 1.659495], [-0.092253, -0.299794, -1.375839]),
    (20.0, 5.0, 0.8, [1.505651, 3.724591, 8.297477], [-2.306336, -7.494849, -34.395965]),
    (INF, INF, 4.0, [0.25, 0.5, 0.75, 1.0], [-k / 16 for k in (1, 2, 3, 4)]),
    (1.0, INF, 4.0, [-k * math.log(0.75) for k in (1, 2, 3)], [-k / 12 for k in (1, 2, 3)]),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("tau_v", "tau_i", "w", "times", "slopes"), ONE_INPUT)
def test_one_input(tau_v, tau_i, w, times, slopes, method):
    weight = torch.tensor([[w]], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(1, 1, 1, dtype=torch.float64)
    room = len(times)
    found = spike_times(zero, weight, tau_v=tau_v, tau_i=tau_i, max_spikes=room, window=12.0, method=method).times[0, 0]
    torch.testing.assert_close(found.detach(), torch.tensor(times, dtype=torch.float64), rtol=0, atol=1e-6)
    for time, slope in zip(found, slopes, strict=True):
        (got,) = torch.autograd.grad(time, weight, retain_graph=True)
        # the last digit of the table
        assert got.item() == pytest.approx(slope, abs=1e-6, rel=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_three_inputs_without_leak(method):
    times = torch.tensor([0.0, 0.4, 0.9], dtype=torch.float64).view(1, 3, 1).requires_grad_()
    weight = torch.tensor([[1.5, 2.0, -0.7]], dtype=torch.float64, requires_grad=True)
    found = spike_times(times, weight, tau_v=INF, tau_i=1.0, max_spikes=4, window=30.0, method=method)
    first, second, *never = found.times[0, 0]
    assert all(one.item() == INF for one in never)
    assert [first.item(), second.item()] == pytest.approx([0.58414658, 1.23907225], abs=1e-8)
    by_weight = [[-0.176967, -0.067274, 0.0], [-0.887934, -0.709861, -0.359461]]
    by_time = [[0.334549, 0.665451, 0.0], [0.543099, 1.080278, -0.623377]]
    for one, want_weight, want_time in zip((first, second), by_weight, by_time, strict=True):
        got_weight, got_time = torch.autograd.grad(one, (weight, times), retain_graph=True)
        assert got_weight.flatten().tolist() == pytest.approx(want_weight, abs=1e-6)
        assert got_time.flatten().tolist() == pytest.approx(want_time, abs=1e-6)


def test_three_inputs_with_a_leak():
    times = torch.tensor([0.0, 0.4, 0.9], dtype=torch.float64).view(1, 3, 1)
    weight = torch.tensor([[1.5, 2.0, -0.7]], dtype=torch.float64, requires_grad=True)
    found = spike_times(times, weight, tau_v=2.0, tau_i=1.0, max_spikes=4, window=30.0)
    assert found.counts.item() == 1
    assert found.times[0, 0, 0].item() == pytest.approx(0.64121281, abs=1e-8)
    found.times[0, 0, 0].backward()
    assert weight.grad.flatten().tolist() == pytest.approx([-0.213885, -0.108211, 0.0], abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_neuron_fires_just_when_its_peak_reaches_the_threshold(dtype):
    # tau_v = 2, tau_i = 1: V peaks at w / 2, at 2 ln 2
    near = 1e-5 if dtype == torch.float32 else 1e-12
    weight = torch.tensor([[2.0 - 2 * near], [2.0 + 2 * near]], dtype=dtype)
    zero = torch.zeros(1, 1, 1, dtype=dtype)
    found = spike_times(zero, weight, tau_v=2.0, tau_i=1.0, max_spikes=2, window=9.0, want_max=True)
    assert found.counts.tolist() == [[0, 1]]
    assert found.t_max[0, 0].item() == pytest.approx(2 * math.log(2), rel=1e-6)
    assert found.v_max[0].tolist() == pytest.approx([1 - near, 1.0], rel=2 * torch.finfo(dtype).eps)
    # near its peak V = (1 + near) - s^2 / 16 ... so the crossing comes sqrt(near) earlier
    assert found.times[0, 1, 0].item() == pytest.approx(2 * math.log(2), abs=10 * math.sqrt(near))
    assert found.slope[0, 1, 0].item() <= 2 * math.sqrt(near)


@pytest.mark.parametrize(("tau_v", "tau_i"), CONSTANTS)
@pytest.mark.parametrize("seed", [1])
def test_a_fine_simulation_finds_the_same_spikes(tau_v, tau_i, seed):
    times, weight = layer(seed, spikes=2)
    found = spike_times(times, weight, tau_v=tau_v, tau_i=tau_i, max_spikes=60, window=6.0)
    assert not found.truncated.any()
    exact = found.times[found.exists].numpy()
    stepped = simulate(times[0], weight[0], tau_v, tau_i, 1.0, 6.0, 4000)
    assert len(stepped) == len(exact) > 0
    # the midpoint rule and the straight line inside a step are off by the square of the step
    slope = found.slope[found.exists].numpy()
    assert (abs(stepped - exact) * slope.clip(max=1.0)).max() < 2e-5
