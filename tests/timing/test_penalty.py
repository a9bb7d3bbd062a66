"""Penalties on silent neurons: hand-worked numbers, and that they wake whom they should."""

from __future__ import annotations

import pytest
import torch

from snn4 import timing
from snn4.core.errors import OptionError, ShapeError
from snn4.timing import Constants, DeadNeurons, WeightBumping
from snn4.timing.penalty import dead_neurons, peak_hinge, potential_hinge, silent, weight_sum

INF = float("inf")
RAMP = Constants(INF, INF, 1.0)


def test_who_is_silent():
    times = torch.tensor([[[0.2, 0.4], [INF, INF]], [[INF, INF], [0.9, INF]]])
    assert silent(times).tolist() == [[False, True], [True, False]]


def test_the_peak_hinge_counts_silent_pairs_only():
    v_max = torch.tensor([[0.4, 1.0], [0.0, 0.7]], requires_grad=True)
    quiet = torch.tensor([[True, False], [True, True]])
    loss = peak_hinge(v_max, quiet, v_threshold=1.0, margin=0.2)
    assert loss.item() == pytest.approx((0.8 + 1.2 + 0.5) / 2)
    loss.backward()
    assert v_max.grad.tolist() == [[-0.5, 0.0], [-0.5, -0.5]]
    with pytest.raises(ShapeError):
        peak_hinge(v_max, quiet[0])


def test_the_potential_hinge_moves_neurons_that_are_silent_in_the_whole_batch():
    times = torch.tensor([[[0.0]], [[0.5]]])
    fired = torch.tensor([[[0.5], [INF], [INF]], [[INF], [INF], [INF]]])
    weight = torch.tensor([[9.0], [-1.0], [4.0]], requires_grad=True)
    # means over the batch: (1/2 + 1/8) / 2 = 5/16 a unit of weight; the third lies above 1/2
    loss = potential_hinge(times, fired, weight, RAMP, level=0.5)
    assert loss.item() == pytest.approx(0.5 + 5 / 16)
    loss.backward()
    assert weight.grad.flatten().tolist() == [0.0, -5 / 16, 0.0]


def test_the_weight_sum_by_hand():
    weight = torch.tensor([[0.2, 0.3], [3.0, -1.0], [-1.0, -1.0]])
    assert weight_sum(weight, v_threshold=2.0).item() == pytest.approx(1.5 + 0.0 + 4.0)


def test_bumping_doubles_while_it_persists_and_starts_again():
    bumping, weight = WeightBumping(2, share=0.4, size=0.25, most=0.6), torch.zeros(2, 3)
    dead, alive = torch.tensor([False, True]), torch.tensor([False, False])
    steps = []
    for now in (dead, dead, dead, alive, dead):
        before = weight[1, 0].item()
        bumping.bump(1, weight, now)
        steps.append(weight[1, 0].item() - before)
    assert steps == pytest.approx([0.25, 0.5, 0.6, 0.0, 0.25])
    assert (weight[0] == 0).all()
    assert bumping.count.tolist() == [0, 1]
    assert WeightBumping(1, share=0.5).bump(0, weight, dead) == 0


@pytest.mark.parametrize("options", [{"layers": 0}, {"layers": 1, "share": 1.0}, {"layers": 1, "size": 0.0}])
def test_bumping_refuses_options_out_of_range(options):
    with pytest.raises(OptionError):
        WeightBumping(**options)


@pytest.mark.parametrize("options", [{"form": "peek"}, {"strength": -1.0}, {"level": 0.0}, {"margin": -0.1}])
def test_penalties_refuse_options_out_of_range(options):
    with pytest.raises(OptionError):
        DeadNeurons(**options)


def dead_layer(generator):
    layer = timing.LIF(20, 30, tau_v=1.0, tau_i=0.5, init_mean=-1.5, init_std=1.0, generator=generator)
    times = torch.rand(16, 20, 1, generator=generator) * 0.6
    return layer, times


@pytest.mark.parametrize("penalty", [DeadNeurons("potential", 1.0), "bump"])
def test_a_layer_that_is_dead_wakes_up(penalty):
    layer, times = dead_layer(torch.Generator().manual_seed(0))
    assert silent(layer(times)).all(0).float().mean() > 0.8
    optimiser = torch.optim.SGD(layer.parameters(), lr=2.0)
    bumping = WeightBumping(1, share=0.0, size=0.05, most=0.2)
    watched = bumping.watched if penalty == "bump" else penalty
    for _ in range(40):
        with watched(layer) as cost:
            layer(times)
        loss = cost()
        if loss.requires_grad:
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        bumping.after_step(layer)
    assert not silent(layer(times)).all(0).any()


def test_the_weight_penalty_lifts_the_sum_of_weights_to_the_threshold():
    layer, times = dead_layer(torch.Generator().manual_seed(0))
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.02)
    for _ in range(100):
        with DeadNeurons("weights", 1.0)(layer) as cost:
            layer(times)
        optimiser.zero_grad()
        cost().backward()
        optimiser.step()
    assert layer.weight.sum(1).min() > 1.0 - 1e-5


def test_the_peak_penalty_wakes_every_pair_whose_potential_rises():
    layer, times = dead_layer(torch.Generator().manual_seed(0))
    with torch.no_grad():
        layer.weight.abs_().mul_(0.05)
    assert silent(layer(times)).all()
    optimiser = torch.optim.SGD(layer.parameters(), lr=2.0)
    for _ in range(40):
        with DeadNeurons("peak", 1.0)(layer) as cost:
            layer(times)
        optimiser.zero_grad()
        cost().backward()
        optimiser.step()
    assert not silent(layer(times)).any()


def test_without_a_penalty_a_dead_layer_has_no_gradient():
    layer, times = dead_layer(torch.Generator().manual_seed(0))
    out = timing.Readout(30, 2)
    dead = silent(layer(times)).all(0)
    out(layer(times)).square().sum().backward()
    assert (layer.weight.grad[dead] == 0).all()


def test_maps_that_are_silent_everywhere_wake_up():
    generator = torch.Generator().manual_seed(0)
    layer = timing.Conv2d(1, 6, 3, tau_v=1.0, tau_i=0.5, init_mean=-1.0, init_std=0.5, generator=generator)
    times = torch.rand(4, 1, 6, 6, 1, generator=generator) * 0.6
    assert dead_neurons(layer(times)).sum() > 3
    optimiser = torch.optim.SGD(layer.parameters(), lr=2.0)
    for _ in range(40):
        with DeadNeurons("potential", 1.0)(layer) as cost:
            layer(times)
        if (loss := cost()).requires_grad:
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    assert not dead_neurons(layer(times)).any()
