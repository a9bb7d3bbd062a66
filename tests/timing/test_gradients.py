"""Gradients: finite differences judge them, and three methods that share no formula must agree."""

from __future__ import annotations

import pytest
import torch
from tests.timing.cases import CONSTANTS, INF, METHODS, close_to, layer

from snn4.timing import Constants, eventprop, events, integrated_potential, reference, spike_times
from snn4.timing.adjoint import adjoint

STEP = 1e-6


def tensors(seed, tau_v, tau_i, **shape):
    """Times, weights and the constants (an infinite one stands as 1 and is not used)."""
    times, weight = layer(seed, **shape)
    finite = [1.0 if one == INF else one for one in (tau_v, tau_i)]
    return times, weight, torch.tensor([*finite, 1.0], dtype=torch.float64)


def solve(parts, tau_v, tau_i, method="analytic", **options):
    times, weight, constants = parts
    options = {"max_spikes": 45, "window": 6.0} | options
    return spike_times(
        times,
        weight,
        tau_v=INF if tau_v == INF else constants[0],
        tau_i=INF if tau_i == INF else constants[1],
        v_threshold=constants[2],
        method=method,
        **options,
    )


def gradients(loss, parts):
    found = torch.autograd.grad(loss, parts, allow_unused=True)
    return [torch.zeros_like(part) if one is None else one for one, part in zip(found, parts, strict=True)]


def differences(losses_of, parts):
    """Central differences of one neuron's loss, or None where a perturbation makes a spike come or go.

    `losses_of` gives a loss, NaN in that case, for each pair (sample, neuron): perturbed times are samples of one call,
    perturbed weights are neurons of another.
    """
    times, weight, constants = (one.detach() for one in parts)

    def both_ways(one):
        moves = STEP * torch.eye(one.numel(), dtype=one.dtype)
        return torch.cat([one.flatten() + moves, one.flatten() - moves])

    by_time = losses_of((both_ways(times).view(-1, *times.shape[1:]), weight, constants))[:, 0]
    by_weight = losses_of((times, both_ways(weight), constants))[0]
    by_constants = torch.stack([losses_of((times, weight, one))[0, 0] for one in both_ways(constants)])
    found = []
    for part, sides in zip(parts, (by_time, by_weight, by_constants), strict=True):
        up, down = sides.detach().chunk(2)
        found.append(((up - down) / (2 * STEP)).view_as(part))
    return None if any(bool(one.isnan().any()) for one in found) else found


def weighted(fired, seed, count):
    """A random combination of each neuron's spike times; NaN where there are not `count` of them."""
    generator = torch.Generator().manual_seed(1000 + seed)
    share = torch.rand(fired.times.shape[-1], generator=generator, dtype=torch.float64)
    total = (torch.where(fired.exists, fired.times, 0.0) * share).sum(-1)
    return torch.where(fired.counts == count, total, float("nan"))


@pytest.mark.parametrize(("tau_v", "tau_i"), CONSTANTS)
def test_spike_times_against_finite_differences(tau_v, tau_i):
    judged, spikes = 0, 0
    for seed in range(11):
        parts = [one.requires_grad_() for one in tensors(seed, tau_v, tau_i)]
        fired = solve(parts, tau_v, tau_i)
        count = int(fired.counts.sum())
        # near a tangential crossing the difference quotient itself is off
        if not count or fired.truncated.any() or float(fired.slope[fired.exists].min()) < 0.15:
            continue

        def losses_of(moved, count=count, seed=seed):
            return weighted(solve(moved, tau_v, tau_i), seed, count)

        expected = differences(losses_of, parts)
        if expected is None:
            continue
        found = gradients(weighted(fired, seed, count).sum(), parts)
        for actual, wanted in zip(found, expected, strict=True):
            assert close_to(actual, wanted, 1e-6)
        judged, spikes = judged + 1, spikes + count
    assert judged >= 6
    assert spikes >= 2 * judged


@pytest.mark.parametrize(("tau_v", "tau_i"), CONSTANTS)
def test_three_methods_agree(tau_v, tau_i):
    compared, tangential = 0, 0
    for seed in range(2):
        parts = [one.requires_grad_() for one in tensors(seed, tau_v, tau_i, inputs=12, out=7, batch=5, spikes=2)]
        results = []
        for method in METHODS:
            fired = solve(parts, tau_v, tau_i, method, max_spikes=6)
            # the penalty for slow crossings is the same for all, but clipped or not is decided by rounding
            unit = 1e-3 * max(0.0 if one == INF else 1 / one for one in (tau_v, tau_i)) or 1e-3 / 6.0
            clear = fired.exists & (fired.slope >= unit)
            tangential += int((fired.exists & ~clear).sum())
            loss = (fired.times[clear] * torch.linspace(-1, 2, int(clear.sum()), dtype=torch.float64)).sum()
            results.append((fired, gradients(loss, parts)))
            compared += int(clear.sum())
        first, grads = results[0]
        assert first.truncated.any() or tau_v != INF
        for other, others in results[1:]:
            torch.testing.assert_close(other.times, first.times, rtol=0, atol=1e-10)
            assert torch.equal(other.truncated, first.truncated)
            for one, another in zip(grads, others, strict=True):
                assert close_to(another, one, 1e-10)
    assert compared > 60
    # what was left out is counted, and is next to nothing
    assert tangential <= 0.001 * compared


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("tau_v", "tau_i"), CONSTANTS)
def test_largest_potential_of_silent_neurons_against_finite_differences(tau_v, tau_i, method):
    judged, at_event, inside = 0, 0, 0
    for seed in range(10):
        times, weight, constants = tensors(seed, tau_v, tau_i, inputs=4, mean=0.2)
        parts = [
            one.requires_grad_() for one in (times, 0.4 * weight, constants * constants.new_tensor([1.0, 1.0, 3.0]))
        ]

        def largest(moved):
            return solve(moved, tau_v, tau_i, method, want_max=True)

        fired = largest(parts)
        if fired.exists.any() or fired.v_max.item() == 0.0:
            continue
        expected = differences(lambda moved: largest(moved).v_max, parts)
        found = gradients(fired.v_max.sum(), parts)
        for actual, wanted in zip(found, expected, strict=True):
            assert close_to(actual, wanted, 2e-6)
        judged += 1
        at_event += bool((times.flatten() == fired.t_max.item()).any())
        inside += fired.t_max.item() < 6.0
    assert judged >= 3
    assert inside >= at_event >= (0 if tau_v != INF else 1)


def test_a_maximum_at_an_inhibitory_spike_moves_with_it():
    # V = t until the second spike, so the largest potential is that spike's time
    times = torch.tensor([0.0, 0.75], dtype=torch.float64).view(1, 2, 1).requires_grad_()
    weight = torch.tensor([[1.0, -3.0]], dtype=torch.float64)
    fired = spike_times(times, weight, tau_v=INF, tau_i=INF, window=2.0, want_max=True)
    assert (fired.v_max.item(), fired.t_max.item()) == (0.75, 0.75)
    assert torch.autograd.grad(fired.v_max.sum(), times)[0].flatten().tolist() == [-1.0, 1.0]


def test_a_firing_neurons_largest_potential_is_its_threshold():
    threshold = torch.tensor(1.5, requires_grad=True)
    weight = torch.tensor([[4.0]], requires_grad=True)
    fired = spike_times(
        torch.zeros(1, 1, 1), weight, tau_v=INF, tau_i=INF, v_threshold=threshold, max_spikes=2, want_max=True
    )
    assert (fired.v_max.item(), fired.t_max.item()) == (1.5, 0.375)
    grads = torch.autograd.grad(fired.v_max.sum(), (threshold, weight))
    assert [one.item() for one in grads] == [1.0, 0.0]


@pytest.mark.parametrize(("tau_v", "tau_i"), CONSTANTS)
def test_eventprop_takes_losses_on_the_potential(tau_v, tau_i):
    """dl/dV inside EventProp, against the closed integral and the adjoint of its spike times."""
    for seed in range(3):
        times, weight, constants = tensors(seed, tau_v, tau_i, inputs=8, out=4, batch=3)
        parts = [one.requires_grad_() for one in (times, weight, constants)]
        held = Constants(INF if tau_v == INF else constants[0], INF if tau_i == INF else constants[1], constants[2])
        # after the last spike there is room for, the potential goes on without a reset, for both
        fired = solve(parts, tau_v, tau_i, max_spikes=5)
        generator = torch.Generator().manual_seed(seed)
        push = torch.randn(3, 4, generator=generator, dtype=torch.float64)
        area = integrated_potential(times, weight, held, 6.0, fired.times)
        expected = gradients((area * push).sum() + fired.times[fired.exists].square().sum(), parts)

        incoming = events(times.detach(), 6.0)
        plain = Constants(tau_v, tau_i, 1.0)
        exact = reference.solve(incoming.t, incoming.source, weight, plain, 5, 6.0)
        direct = torch.where(exact.exists, 2 * exact.times, 0.0)
        grad_t, grad_weight, grad_constants = eventprop.adjoint(
            incoming.t, incoming.source, weight.detach(), plain, exact, direct, grad_integral=push, window=6.0
        )
        grad_times = torch.zeros(3, 8, dtype=torch.float64).scatter(1, incoming.order, grad_t).view(3, 8, 1)
        for actual, wanted in zip((grad_times, grad_weight, grad_constants), expected, strict=True):
            assert close_to(actual, wanted, 1e-8)


def test_no_leak_means_that_spikes_are_independent():
    times, weight = layer(5)
    weight = weight.abs().requires_grad_()
    fired = spike_times(times, weight, tau_v=INF, tau_i=1.0, max_spikes=9, window=8.0)
    count = int(fired.counts)
    assert count >= 4
    for k in range(count):
        # t_k is when the sum of all answers reaches k thresholds: a neuron with k thresholds and no reset
        alone = spike_times(times, weight, tau_v=INF, tau_i=1.0, v_threshold=k + 1.0, max_spikes=1, window=8.0).times[
            0, 0, 0
        ]
        assert alone.item() == pytest.approx(fired.times[0, 0, k].item(), abs=1e-12)
        one, other = (torch.autograd.grad(t, weight, retain_graph=True)[0] for t in (fired.times[0, 0, k], alone))
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_gradients_of_spikes_that_never_happen_are_ignored():
    weight = torch.tensor([[4.0], [0.1]], requires_grad=True)
    fired = spike_times(torch.zeros(1, 1, 1), weight, tau_v=2.0, tau_i=1.0, max_spikes=3, window=4.0)
    fired.times.sum().backward()
    assert bool(weight.grad.isfinite().all())
    assert weight.grad[1].item() == 0.0
    incoming = events(torch.zeros(1, 1, 1))
    nan = torch.full((1, 2, 3), float("nan"))
    found = reference.solve(incoming.t, incoming.source, weight.detach(), Constants(2.0, 1.0, 1.0), 3, 4.0)
    nan[found.exists] = 1.0
    results = adjoint(incoming.t, incoming.source, weight.detach(), Constants(2.0, 1.0, 1.0), found, nan)
    assert all(bool(one.isfinite().all()) for one in results)


def test_a_slope_that_is_almost_zero_is_clipped():
    weight = torch.tensor([[2.0 + 1e-9]], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(1, 1, 1, dtype=torch.float64)

    def steepness(min_slope):
        found = spike_times(zero, weight, tau_v=2.0, tau_i=1.0, window=9.0, min_slope=min_slope)
        return torch.autograd.grad(found.times.sum(), weight)[0].item()

    # dV/dw = psp(2 ln 2) = 1/2 there, and a slope of 0.1 thresholds per tau_i is the least to divide by
    assert steepness(0.1) == pytest.approx(-0.5 / 0.1, rel=1e-4)
    assert steepness(0.0) < -1e3


def test_the_second_derivative_is_refused():
    weight = torch.tensor([[4.0]], requires_grad=True)
    times = spike_times(torch.zeros(1, 1, 1), weight, tau_v=2.0, tau_i=1.0).times
    (grad,) = torch.autograd.grad(times.square().sum(), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_the_graph_keeps_events_and_spikes_only():
    saved = []
    times, weight = torch.rand(8, 50, 1), torch.rand(30, 50, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda one: saved.append(one.numel()) or one, lambda one: one):
        spike_times(times, weight, tau_v=1.0, tau_i=0.5, max_spikes=2, window=1.0)
    events_and_spikes = 2 * 8 * 50 + 8 * 30 * (3 * 2 + 1) + 30 * 50
    assert 0 < sum(saved) <= 2 * events_and_spikes
