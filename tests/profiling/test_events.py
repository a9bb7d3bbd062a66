"""The cost of exact spike times: spikes and operations counted by hand."""

from __future__ import annotations

import torch

from snn4 import models, timing
from snn4.profiling import compare, energy, profile


def small():
    """Three inputs, two neurons, one output; neuron 0 fires at once and again, neuron 1 never."""
    body = torch.nn.Sequential(
        timing.Latency(0.5),
        timing.LIF(3, 2, tau_v=torch.inf, tau_i=torch.inf, max_spikes=4),
        timing.Readout(2, 1, tau_v=torch.inf, tau_i=torch.inf),
    )
    with torch.no_grad():
        # a ramp: neuron 0 reaches k thresholds of 1 at the times k / 2.5
        body[1].weight.copy_(torch.tensor([[2.5, 0.0, 0.0], [0.0, 0.5, -1.0]]))
        body[2].weight.fill_(1.0)
    return timing.Framed(body)


def test_operations_are_counted_at_events():
    # sample 0: inputs 0 and 2 fire, sample 1: input 1 only
    found = profile(small(), torch.tensor([[[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]]]))
    assert found.steps is None
    first, fires, last, out = found.rows
    # input 0 reaches neuron 0, input 1 neuron 1, input 2 neuron 1: zero weights cost nothing
    assert first.each.acs.tolist() == [2.0, 1.0]
    assert (first.macs, first.dense) == (0.0, 3.0)
    assert first.before_neurons
    # neuron 0 fires at 0.4 and 0.8 for sample 0
    assert fires.spikes.tolist() == [2.0, 0.0]
    assert last.each.acs.tolist() == [2.0, 0.0]
    assert not last.before_neurons
    # an event updates every neuron, whatever its weight
    assert fires.updates.tolist() == [4.0, 2.0]
    assert out.updates.tolist() == [2.0, 0.0]
    assert (fires.silent_share, fires.zeros) == (0.5, 0.75)
    assert found.mean_firing_rate == 0.5
    assert found.spikes == 1.0
    assert out.kind == "graded"
    assert any("no time steps" in note for note in found.notes)
    assert found.to_dict()["steps"] is None


def test_energy_goes_with_events_and_the_comparison_stands():
    net = models.timing_mlp(64, [32], 10)
    few, many = torch.zeros(1, 4, 64), torch.ones(1, 4, 64)
    few[..., :4] = 1.0
    low, high = profile(net, few), profile(net, many)
    assert low.acs < high.acs
    assert energy(low).with_memory[1] < energy(high).with_memory[1]
    text = str(compare({"snn": high, "ann": profile(models.mlp(64, [32], 10, torch.nn.ReLU), many)}))
    assert "none" in text
    assert "spike times" in str(high)


def test_a_convolution_counts_the_places_that_an_event_reaches():
    layer = timing.Conv2d(1, 2, 3, stride=1, init_mean=-1.0, init_std=0.0)
    net = timing.Framed(torch.nn.Sequential(timing.Latency(0.5, flatten=False), layer, torch.nn.Flatten(1)))
    x = torch.zeros(1, 2, 1, 4, 4)
    # the corner of a 4 x 4 map is seen by one place of 2 x 2, its middle by all four
    x[0, 0, 0, 0, 0] = 1.0
    x[0, 1, 0, 1, 1] = 1.0
    synapses, neurons = profile(net, x).rows[:2]
    assert synapses.each.acs.tolist() == [2.0, 8.0]
    # 9 taps for each of 2 x 2 places and 2 maps
    assert synapses.dense == 9 * 4 * 2
    assert neurons.neurons == 2 * 2 * 2
    assert neurons.silent_share == 1.0
