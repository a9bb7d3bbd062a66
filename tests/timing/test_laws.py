"""What holds for any network of exact spike times, tried on random ones."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.timing.cases import CONSTANTS, INF, METHODS, close_to, layer

from snn4.timing import Constants, events, spike_times, trajectory

networks = given(
    seed=st.integers(0, 10_000),
    taus=st.sampled_from(CONSTANTS),
    inputs=st.integers(1, 9),
    spikes=st.integers(1, 3),
    method=st.sampled_from(METHODS),
)
few = settings(max_examples=20, deadline=None, derandomize=True)


def solve(times, weight, taus, **options):
    options = {"max_spikes": 8, "window": 6.0} | options
    return spike_times(times, weight, tau_v=taus[0], tau_i=taus[1], **options)


@few
@networks
def test_a_common_shift_of_all_inputs_shifts_every_spike(seed, taus, inputs, spikes, method):
    times, weight = layer(seed, inputs, out=3, batch=2, spikes=spikes)
    times.requires_grad_()
    found = solve(times, weight, taus, method=method)
    clear = found.exists & (found.slope > 1e-3)
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand(found.times.shape, generator=generator, dtype=torch.float64)[clear]
    (grad,) = torch.autograd.grad((found.times[clear] * share).sum(), times)
    scale = max(1.0, float(grad.abs().max()))
    assert grad.sum().item() == pytest.approx(share.sum().item(), abs=1e-9 * scale)
    later = solve(times.detach() + 0.5, weight, taus, window=6.5)
    torch.testing.assert_close(later.times, found.times.detach() + 0.5, rtol=0, atol=1e-8)


@few
@networks
def test_scaling_weights_and_threshold_changes_no_time(seed, taus, inputs, spikes, method):
    times, weight = layer(seed, inputs, out=3, batch=2, spikes=spikes)
    found = solve(times, weight, taus, method=method)
    # a power of two scales exactly
    scaled = solve(times, 4.0 * weight, taus, v_threshold=4.0, method=method)
    assert torch.equal(scaled.times, found.times)
    assert torch.equal(scaled.slope[found.exists], 4.0 * found.slope[found.exists])


@few
@networks
def test_the_order_of_inputs_neurons_and_samples_changes_nothing(seed, taus, inputs, spikes, method):
    times, weight = layer(seed, inputs, out=4, batch=3, spikes=spikes)
    times[0, 0] = times[0, -1]
    generator = torch.Generator().manual_seed(seed)
    batch, out, into = (torch.randperm(n, generator=generator) for n in (3, 4, inputs))
    found = solve(times, weight, taus, method=method, want_max=True)
    other = solve(times[batch][:, into], weight[out][:, into], taus, method=method, want_max=True)
    # simultaneous inputs are added in another order
    torch.testing.assert_close(other.times, found.times[batch][:, out], rtol=0, atol=1e-8)
    torch.testing.assert_close(other.v_max, found.v_max[batch][:, out], rtol=0, atol=1e-12)
    # neurons and samples do not meet at all
    alone = solve(times[1:2], weight[2:3], taus, method=method)
    torch.testing.assert_close(alone.times[0, 0], found.times[1, 2], rtol=0, atol=1e-12)


@few
@networks
def test_the_potential_is_on_the_threshold_at_spikes_and_below_it_elsewhere(seed, taus, inputs, spikes, method):
    times, weight = layer(seed, inputs, out=2, batch=1, spikes=spikes)
    found = solve(times, weight, taus, max_spikes=60, method=method, want_max=True)
    if found.truncated.any():
        return
    constants = Constants(*taus, 1.0)
    for neuron in range(2):
        own = found.times[:, neuron : neuron + 1]
        mine = found.times[0, neuron][found.exists[0, neuron]]
        at = trajectory(times, weight[neuron : neuron + 1], constants, mine, own)
        torch.testing.assert_close(at.v[0, 0], torch.ones_like(mine), rtol=0, atol=1e-9)
        torch.testing.assert_close(at.i[0, 0], found.current[0, neuron, : len(mine)], rtol=1e-9, atol=1e-9)
    grid = torch.linspace(0, 6, 1500, dtype=torch.float64)
    everywhere = trajectory(times, weight, constants, grid, found.times).v
    assert float(everywhere.max()) <= 1 + 1e-9
    # the maximum of the potential is no smaller than anything on the grid, and not much larger
    highest = everywhere.amax(-1).clamp(min=0.0)
    assert bool((found.v_max >= highest - 1e-9).all())
    silent = ~found.exists[..., 0]
    assert bool((found.v_max - highest <= 0.03 * weight.abs().sum())[silent].all())


@few
@networks
def test_simultaneous_inputs_are_one_input(seed, taus, inputs, spikes, method):
    times, weight = layer(seed, inputs, spikes=spikes)
    twice = torch.cat([times, times], 1)
    halves = torch.cat([0.25 * weight, 0.75 * weight], 1)
    one, two = (solve(t, w, taus, method=method) for t, w in ((times, weight), (twice, halves)))
    torch.testing.assert_close(one.times, two.times, rtol=0, atol=1e-8)


@few
@networks
def test_what_comes_after_a_spike_does_not_change_it(seed, taus, inputs, spikes, method):
    times, weight = layer(seed, inputs, spikes=spikes)
    found = solve(times, weight, taus, method=method)
    first = found.times[0, 0, 0]
    if first == INF:
        return
    past = torch.where(times < first, times, INF).sort(-1).values
    assert solve(past, weight, taus, method=method).times[0, 0, 0].item() == pytest.approx(first.item(), abs=1e-12)
    # and the window only cuts
    short = solve(times, weight, taus, window=3.0, method=method)
    expected = torch.where(found.times <= 3.0, found.times, INF)
    torch.testing.assert_close(short.times, expected, rtol=0, atol=1e-10)


@few
@networks
def test_single_precision_finds_the_same_spikes_and_finite_gradients(seed, taus, inputs, spikes, method):
    times, weight = layer(seed, inputs, out=5, batch=2, spikes=spikes)
    exact = solve(times, weight, taus, method=method)
    single, light = times.float().requires_grad_(), weight.float().requires_grad_()
    found = solve(single, light, taus, method=method)
    grads = torch.autograd.grad(found.times[found.exists].sum(), (single, light))
    assert all(bool(one.isfinite().all()) for one in grads)
    # where no crossing is close to tangential, for that neuron and in that sample
    clear = (exact.slope > 0.1).all(-1) & (found.counts == exact.counts)
    steep = exact.exists & clear.unsqueeze(-1)
    assert close_to(found.times[steep].double(), exact.times[steep], 1e-3) if steep.any() else True
    assert not exact.exists.any() or clear.sum() >= 0.5 * clear.numel()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tau", [0.01, 1e-3])
def test_a_window_of_many_time_constants_overflows_nothing(method, tau):
    times, weight = layer(1, inputs=30, out=4, batch=2)
    times, weight = (times / 4).float().requires_grad_(), (weight * 3 / tau).float().requires_grad_()
    found = spike_times(times, weight, tau_v=tau, tau_i=2 * tau, max_spikes=4, window=1.0, method=method)
    assert found.exists.any()
    grads = torch.autograd.grad(found.times[found.exists].sum(), (times, weight))
    assert all(bool(one.isfinite().all()) for one in grads)


@pytest.mark.parametrize("gap", [0.0, 1e-12, 1e-9, 1e-6, 1e-3])
def test_nearly_equal_time_constants_join_smoothly(gap):
    times, weight = layer(4, inputs=8, out=6)
    tau_v, tau_i = (torch.tensor(one, dtype=torch.float64, requires_grad=True) for one in (1.0, 1.0 + gap))

    def both(second):
        found = spike_times(times, weight, tau_v=tau_v, tau_i=second, max_spikes=5, window=6.0)
        steep = found.exists & (found.slope > 0.2)
        return found.times[steep], torch.autograd.grad(found.times[steep].sum(), tau_v)[0]

    near, equal = both(tau_i), both(torch.tensor(1.0, dtype=torch.float64))
    for one, other in zip(near, equal, strict=True):
        assert close_to(one, other, 1e-12 + 100 * gap)


def test_events_are_sorted_stably_and_cut_at_the_window():
    times = torch.tensor([[[0.3, 0.9], [0.3, INF], [0.1, 5.0]], [[INF, INF], [0.2, INF], [INF, INF]]])
    found = events(times, window=1.0)
    assert found.t[0].tolist() == pytest.approx([0.1, 0.3, 0.3, 0.9])
    assert found.source[0].tolist() == [2, 0, 1, 0]
    assert found.t[1].tolist() == pytest.approx([0.2, INF, INF, INF])
