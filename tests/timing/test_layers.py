"""The layers: what they compute, and what they refuse."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from tests.timing.cases import INF, METHODS, close_to, layer

import snn4
from snn4 import timing
from snn4.core.errors import NotFiniteError, OptionError, ShapeError

NAN = float("nan")


def double(module):
    return module.double()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1), ((1, 2), (2, 0))])
def test_convolution_is_a_dense_layer_on_every_patch(stride, padding, method):
    generator = torch.Generator().manual_seed(0)
    conv = double(timing.Conv2d(2, 3, (3, 2), stride, padding, max_spikes=3, method=method, generator=generator))
    times = torch.rand(2, 2, 6, 5, 2, generator=generator, dtype=torch.float64).sort(-1).values.requires_grad_()
    found = conv(times)
    (down, right), (top, left) = conv.stride, conv.padding
    high, wide = (6 + 2 * top - 3) // down + 1, (5 + 2 * left - 2) // right + 1
    assert found.shape == (2, 3, high, wide, 3)
    assert (found < INF).any()
    silent = torch.full((2, 2, 6 + 2 * top, 5 + 2 * left, 2), INF, dtype=torch.float64)
    silent[:, :, top : top + 6, left : left + 5] = times
    for y in range(high):
        for x in range(wide):
            patch = silent[:, :, y * down : y * down + 3, x * right : x * right + 2].reshape(2, -1, 2)
            alone = timing.spike_times(
                patch, conv.weight.flatten(1), tau_v=1.0, tau_i=0.2, max_spikes=3, window=1.0, method=method
            )
            torch.testing.assert_close(found[:, :, y, x], alone.times, rtol=0, atol=1e-12)


def test_convolution_gradients_against_finite_differences():
    generator = torch.Generator().manual_seed(1)
    conv = double(timing.Conv2d(1, 2, 2, max_spikes=2, min_slope=0.0, init_mean=6.0, generator=generator))
    times = torch.rand(1, 1, 3, 3, 1, generator=generator, dtype=torch.float64).requires_grad_()
    share = torch.rand(1, 2, 2, 2, 2, generator=generator, dtype=torch.float64)

    def loss():
        found = conv(times)
        return (torch.where(found < INF, found, 0.0) * share).sum(), int((found < INF).sum())

    value, count = loss()
    assert count >= 6
    grads = torch.autograd.grad(value, (times, conv.weight))
    for part, grad in zip((times, conv.weight), grads, strict=True):
        for n in range(part.numel()):
            sides = []
            for move in (1e-6, -2e-6):
                with torch.no_grad():
                    part.view(-1)[n] += move
                side, same = loss()
                assert same == count
                sides.append(side.item())
            with torch.no_grad():
                part.view(-1)[n] += 1e-6
            assert grad.flatten()[n].item() == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-6, rel=1e-5)


def test_merged_pooling_keeps_every_spike():
    times = torch.rand(2, 3, 4, 4, 2, generator=torch.Generator().manual_seed(0)).sort(-1).values
    merged = timing.MergePool2d(2)(times)
    assert merged.shape == (2, 3, 2, 2, 8)
    assert merged[1, 2, 0, 1].tolist() == sorted(times[1, 2, 0:2, 2:4].flatten().tolist())
    assert torch.equal(timing.MergePool2d(2, max_spikes=3)(times), merged[..., :3])


# ---------------------------------------------------------------------------------------------------------- delays


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(), (1, 6), (4, 1), (4, 6)])
def test_delayed_spikes_are_spikes_sent_later(shape, method):
    times, weight = layer(2, inputs=6, out=4, batch=3, spikes=2)
    delay = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    options = {"tau_v": 2.0, "tau_i": 1.0, "max_spikes": 5, "window": 6.0, "method": method, "want_max": True}
    found = timing.spike_times(times, weight, delay=delay, **options)
    assert found.times.shape == (3, 4, 5)
    spread = delay.expand(4, 6)
    for neuron in range(4):
        alone = timing.spike_times(times + spread[neuron, :, None], weight[neuron : neuron + 1], **options)
        torch.testing.assert_close(found.times[:, neuron], alone.times[:, 0], rtol=0, atol=1e-12)
        torch.testing.assert_close(found.v_max[:, neuron], alone.v_max[:, 0], rtol=0, atol=1e-12)
        assert torch.equal(found.truncated[:, neuron], alone.truncated[:, 0])


@pytest.mark.parametrize("shape", [(), (1, 4), (3, 1), (3, 4)])
def test_delays_are_learned_exactly(shape):
    times, weight = layer(3, inputs=4, out=3, batch=2)
    generator = torch.Generator().manual_seed(1)
    delay = (0.2 + torch.rand(shape, generator=generator, dtype=torch.float64)).requires_grad_()

    def loss(d):
        found = timing.spike_times(times, weight, delay=d, tau_v=2.0, tau_i=1.0, max_spikes=3, window=7.0)
        return found, torch.where(found.exists, found.times, 0.0).square().sum()

    found, value = loss(delay)
    assert found.exists.sum() >= 4
    (grad,) = torch.autograd.grad(value, delay)
    expected = torch.zeros_like(delay)
    for n in range(delay.numel()):
        sides = []
        for sign in (1, -1):
            moved = delay.detach().clone()
            moved.view(-1)[n] += sign * 1e-6
            other, side = loss(moved)
            assert torch.equal(other.counts, found.counts)
            sides.append(side.item())
        expected.view(-1)[n] = (sides[0] - sides[1]) / 2e-6
    assert close_to(grad, expected, 1e-6)


def test_a_layer_learns_delays_weights_and_constants():
    one = timing.LIF(
        5, 3, snn4.Learned(1.0), snn4.Learned(0.5), snn4.Learned(1.0), delay=snn4.Learned(0.1, (3, 5)), init_mean=6.0
    )
    assert "delay=tensor(3, 5) learned" in repr(one)
    assert {name for name, _ in one.named_parameters()} == {
        "weight",
        "learned_tau_v.raw",
        "learned_tau_i.raw",
        "learned_v_threshold.raw",
        "learned_delay.raw",
    }
    times = one(torch.rand(4, 5, 1, generator=torch.Generator().manual_seed(0)))
    times[times < INF].sum().backward()
    for name, parameter in one.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


# -------------------------------------------------------------------------------------------------------- readouts


def test_readouts_by_hand():
    times = torch.tensor([[[0.0, 0.5], [0.25, INF]]], dtype=torch.float64)
    ramp = double(timing.Readout(2, 1, INF, INF))
    highest = double(timing.MaxOverTime(2, 1, INF, INF))
    for one in (ramp, highest):
        one.weight.data = torch.tensor([[1.0, -4.0]], dtype=torch.float64)
    # 1 + 0.5 - 4 * 0.75; and the ramp's top, just before the inhibition
    assert ramp(times).item() == pytest.approx(-1.5)
    assert highest(times).item() == pytest.approx(0.25)
    assert timing.FirstSpike()(times).tolist() == [[1.0, 0.75]]
    assert timing.SpikeCount()(times).tolist() == [[2.0, 1.0]]


@pytest.mark.parametrize(("tau_v", "tau_i"), [(1.0, 0.2), (0.3, 0.3), (INF, 0.5), (0.4, INF)])
@pytest.mark.parametrize("kind", [timing.Readout, timing.MaxOverTime])
def test_readout_gradients_against_finite_differences(kind, tau_v, tau_i):
    generator = torch.Generator().manual_seed(0)
    taus = [one if one == INF else snn4.Learned(torch.tensor(one, dtype=torch.float64)) for one in (tau_v, tau_i)]
    readout = double(kind(3, 2, *taus, init_mean=1.0, generator=generator))
    times = torch.rand(2, 3, 2, generator=generator, dtype=torch.float64).sort(-1).values.requires_grad_()
    parts = (times, *readout.parameters())
    grads = torch.autograd.grad(readout(times).square().sum(), parts)
    for part, grad in zip(parts, grads, strict=True):
        for n in range(part.numel()):
            sides = []
            for move in (1e-6, -2e-6):
                with torch.no_grad():
                    part.view(-1)[n] += move
                    sides.append(readout(times).square().sum().item())
            with torch.no_grad():
                part.view(-1)[n] += 1e-6
            assert grad.flatten()[n].item() == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=2e-6, rel=2e-5)


def test_counts_take_earlier_spikes_for_more():
    times = torch.tensor([[[0.25, 0.5, INF]]], requires_grad=True)
    timing.SpikeCount(window=2.0)(times).sum().backward()
    assert times.grad.tolist() == [[[-0.5, -0.5, 0.0]]]


# ---------------------------------------------------------------------------------------------------- being a module


def test_layers_are_pure_and_can_be_watched():
    net = torch.nn.Sequential(timing.LIF(6, 5), timing.LIF(5, 4, max_spikes=2), timing.Readout(4, 3))
    times = torch.rand(2, 6, 1, generator=torch.Generator().manual_seed(0))
    plain = net(times)
    elsewhere = []

    def other_thread():
        elsewhere.append(net(times))

    with timing.watch(net, want_max=True) as seen:
        inside = net(times)
        thread = threading.Thread(target=other_thread)
        thread.start()
        thread.join()
    assert torch.equal(plain, inside)
    assert [one.path for one in seen] == ["0", "1"]
    assert seen[1].incoming is seen[0].fired.times
    assert seen[1].fired.v_max.shape == (2, 4)
    net(times)
    assert len(seen) == 2
    assert torch.equal(copy.deepcopy(net)(times), plain)
    assert not [name for module in net.modules() for name, one in vars(module).items() if isinstance(one, torch.Tensor)]
    with pytest.raises(ZeroDivisionError), timing.watch(net) as seen:
        _ = 1 / 0
    net(times)
    assert seen == []


def test_first_weights_mean_the_same_for_every_size_and_constant():
    for inputs, tau_v, tau_i, window in ((2000, 1.0, 0.2, 1.0), (500, INF, 3.0, 4.0), (500, 0.2, INF, 0.5)):
        readout = timing.Readout(
            inputs, 300, tau_v, tau_i, window, init_mean=2.0, init_std=0.7, generator=torch.Generator().manual_seed(0)
        )
        times = torch.rand(40, inputs, 1, generator=torch.Generator().manual_seed(1)) * window
        potential = readout(times)
        assert potential.mean().item() == pytest.approx(2.0, rel=0.1)
        # the spread over neurons is 0.7 times the root mean square of the answers over their mean
        assert 0.6 < potential.std(1).mean().item() < 1.6


def test_the_room_for_spikes_is_a_limit_that_is_told():
    weight = torch.tensor([[1.0], [40.0]])
    found = timing.spike_times(torch.zeros(1, 1, 1), weight, tau_v=INF, tau_i=INF, max_spikes=3, window=2.5)
    assert found.times[0].tolist() == [[1.0, 2.0, INF], pytest.approx([0.025, 0.05, 0.075])]
    assert found.truncated.tolist() == [[False, True]]


@pytest.mark.parametrize("method", METHODS)
def test_silence_stays_silence(method):
    times = torch.full((2, 3, 2), INF, requires_grad=True)
    weight = torch.ones(4, 3, requires_grad=True)
    found = timing.spike_times(times, weight, tau_v=1.0, tau_i=0.5, max_spikes=2, method=method, want_max=True)
    assert bool((found.times == INF).all())
    assert bool((found.v_max == 0).all())
    grads = torch.autograd.grad(found.v_max.sum(), (times, weight), retain_graph=True)
    assert all(bool((one == 0).all()) for one in grads)
    grads = torch.autograd.grad(torch.where(found.exists, found.times, 0.0).sum(), (times, weight))
    assert all(bool((one == 0).all()) for one in grads)
    assert timing.Readout(3, 2)(times).abs().max() == 0


def test_an_empty_batch_is_an_empty_batch():
    assert timing.LIF(3, 2)(torch.zeros(0, 3, 1)).shape == (0, 2, 8)
    assert timing.Readout(3, 2)(torch.zeros(0, 3, 1)).shape == (0, 2)


# ------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("net", [timing.LIF(3, 2), timing.Readout(3, 2), timing.MaxOverTime(3, 2)])
@pytest.mark.parametrize(
    ("times", "error", "told"),
    [
        (torch.tensor([[[0.2, 0.1]] * 3]), OptionError, "do not ascend along K, first at sample 0, neuron (0,)"),
        (torch.tensor([[[INF, 0.1]] * 3]), OptionError, "do not ascend"),
        (torch.tensor([[[-0.1]] * 3]), OptionError, "negative spike time, first at (0, 0, 0)"),
        (torch.tensor([[[-INF]] * 3]), OptionError, "negative"),
        (torch.tensor([[[0.1], [NAN], [0.2]]]), NotFiniteError, "NaN, first at (0, 1, 0)"),
        (torch.zeros(1, 4, 1), ShapeError, "expected (B, 3, K)"),
        (torch.zeros(4, 3), ShapeError, "times.unsqueeze(-1)"),
        (torch.zeros(1, 3, 1, dtype=torch.int64), ShapeError, "floating-point"),
        (torch.zeros(1, 3, 0), ShapeError, "at least 1"),
    ],
)
def test_bad_times_are_refused(net, times, error, told):
    with pytest.raises(error) as caught:
        net(times)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tau_v": 0.0}, "tau_v"),
        ({"tau_i": -1.0}, "tau_i"),
        ({"tau_v": NAN}, "tau_v"),
        ({"tau_v": torch.ones(2)}, "one number for the layer"),
        ({"v_threshold": 0.0}, "v_threshold"),
        ({"v_threshold": -1.0}, "v_threshold"),
        ({"max_spikes": 0}, "max_spikes"),
        ({"max_spikes": 2.5}, "max_spikes"),
        ({"window": 0.0}, "window"),
        ({"window": INF}, "window"),
        ({"method": "analitic"}, "Did you mean analytic?"),
        ({"min_slope": -1.0}, "min_slope"),
        ({"init_std": -1.0}, "init_std"),
        ({"delay": -0.1}, "delay"),
    ],
)
def test_bad_options_are_refused(options, told):
    with pytest.raises(OptionError) as caught:
        timing.LIF(3, 2, **options)
    assert told in str(caught.value)


@pytest.mark.parametrize("name", ["tau_v", "tau_i", "v_threshold"])
@pytest.mark.parametrize("value", [0.0, -1.0, NAN, torch.tensor(-1.0)])
def test_bad_constants_are_refused_by_the_function_too(name, value):
    options = {"tau_v": 1.0, "tau_i": 1.0} | {name: value}
    with pytest.raises(OptionError, match=name):
        timing.spike_times(torch.zeros(1, 1, 1), torch.ones(1, 1), **options)


def test_other_bad_arguments_are_refused():
    times, weight = torch.zeros(1, 2, 1), torch.ones(3, 2)
    options = {"tau_v": 1.0, "tau_i": 1.0}
    with pytest.raises(NotFiniteError, match="Did training diverge"):
        timing.spike_times(times, weight * NAN, **options)
    with pytest.raises(ShapeError, match="same dtype"):
        timing.spike_times(times.double(), weight, **options)
    with pytest.raises(ShapeError, match="0-dimensional"):
        timing.spike_times(times, weight, tau_v=torch.ones(1), tau_i=1.0)
    with pytest.raises(ShapeError, match=r"\(1, 2\) axonal"):
        timing.spike_times(times, weight, delay=torch.ones(2), **options)
    with pytest.raises(OptionError, match="negative delay"):
        timing.spike_times(times, weight, delay=torch.tensor(-0.5), **options)
    with pytest.raises(NotFiniteError, match="delay"):
        timing.spike_times(times, weight, delay=torch.tensor(INF), **options)
    with pytest.raises(ShapeError, match="a kernel that fits"):
        timing.Conv2d(1, 1, 5)(torch.zeros(1, 1, 3, 3, 1))
    with pytest.raises(OptionError, match="kernel_size"):
        timing.Conv2d(1, 1, 0)


def test_duplicate_times_of_one_neuron_count_twice():
    double_spike = torch.tensor([[[0.2, 0.2]]])
    once = timing.spike_times(torch.tensor([[[0.2]]]), torch.tensor([[4.0]]), tau_v=2.0, tau_i=1.0, window=4.0)
    twice = timing.spike_times(double_spike, torch.tensor([[2.0]]), tau_v=2.0, tau_i=1.0, window=4.0)
    assert twice.times.item() == pytest.approx(once.times.item(), abs=1e-6)


def test_a_potential_never_stands_above_its_threshold():
    # a weight of 1e6 crosses at once: the spike comes just after its input, not before, and the neuron goes on
    weight = torch.tensor([[1e6]], dtype=torch.float64, requires_grad=True)
    times = torch.tensor([[[0.5]]], dtype=torch.float64, requires_grad=True)
    found = timing.spike_times(times, weight, tau_v=1.0, tau_i=0.5, max_spikes=3, window=1.0)
    assert (found.times[0, 0].detach() - 0.5).tolist() == pytest.approx([1e-6, 2e-6, 3e-6], rel=1e-4)
    assert torch.autograd.grad(found.times.sum(), times)[0].item() == pytest.approx(3.0)


# -------------------------------------------------------------------------------------------------- the grid of steps


def test_grids_and_times_agree():
    generator = torch.Generator().manual_seed(0)
    grid = torch.randint(0, 3, (7, 2, 5), generator=generator).float()
    times = timing.from_grid(grid, window=1.4)
    timing.check_times("test", times)
    assert torch.equal(timing.render(times, steps=7, window=1.4), grid)
    # the spikes of one neuron, by hand
    centres = [(n + 0.5) * 0.2 for n in range(7) for _ in range(int(grid[n, 1, 3]))]
    assert times[1, 3][times[1, 3] < INF].tolist() == pytest.approx(centres)
    assert timing.from_grid(torch.zeros(4, 1, 2), window=1.0).tolist() == [[[INF], [INF]]]
    assert timing.render(torch.tensor([[[0.999999, 1.0, 1.5]]]), 4, 1.0).flatten().tolist() == [0, 0, 0, 1]
    with pytest.raises(OptionError, match="whole numbers"):
        timing.from_grid(torch.full((1, 1, 1), 0.5), 1.0)
    with pytest.raises(ShapeError, match="T, B, N"):
        timing.from_grid(torch.zeros(1, 1), 1.0)
    with pytest.raises(OptionError, match="steps >= 1"):
        timing.render(torch.zeros(1, 1, 1), 0, 1.0)
