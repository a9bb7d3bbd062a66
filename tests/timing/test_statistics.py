"""Who is silent, cut off or grazing: counted by hand, and said by the training loop."""

from __future__ import annotations

import torch

from snn4 import timing
from snn4.timing import Constants, Fired
from snn4.timing.observe import observe
from snn4.timing.statistics import activity, activity_table, advice

INF = float("inf")


def fired(times, slope=None, truncated=None):
    times = torch.tensor(times)
    slope = torch.ones_like(times) if slope is None else torch.tensor(slope)
    cut = torch.zeros(times.shape[:2], dtype=torch.bool) if truncated is None else torch.tensor(truncated)
    none = times.new_zeros(len(times), 0)
    return Fired(times, torch.zeros_like(times), slope, cut, none, none)


def test_shares_by_hand():
    # 2 samples, 3 neurons: neuron 2 never fires, neuron 0 fires twice for sample 0
    found = activity(
        fired(
            [[[0.1, 0.2], [0.3, INF], [INF, INF]], [[0.4, INF], [INF, INF], [INF, INF]]],
            slope=[[[1.0, 0.0015], [0.5, 1.0], [1.0, 1.0]], [[2.5e-3, 1.0], [1.0, 1.0], [1.0, 1.0]]],
            truncated=[[True, False, False], [False, False, False]],
        ),
        Constants(2.0, 0.5, 1.0),
    )
    assert (found.neurons, found.samples, found.max_spikes) == (3, 2, 2)
    assert found.spikes == 4 / 6
    assert (found.active, found.several, found.silent) == (3 / 6, 1 / 6, 1 / 3)
    # below 1e-3 / 0.5 = 2e-3: one of four spikes
    assert (found.truncated, found.tangential) == (1 / 6, 1 / 4)
    assert "tangential" in advice(found)
    assert "truncated" in advice(found)


def test_a_net_tells_each_of_its_layers_and_stays_in_its_mode():
    net = torch.nn.Sequential(
        timing.LIF(4, 5, init_mean=30.0, init_std=0.0), timing.LIF(5, 3, init_mean=-1.0, init_std=0.0)
    ).train()
    found = observe(net, torch.zeros(2, 4, 1))
    assert net.training
    assert list(found) == ["0", "1"]
    assert found["0"].active == 1.0
    assert found["1"].silent == 1.0
    assert list(advice(found["1"])) == ["silent"]
    assert "100%" in activity_table(found)


def test_one_spike_a_neuron_is_no_truncation_to_warn_of():
    net = torch.nn.Sequential(timing.LIF(4, 5, init_mean=30.0, init_std=0.0, max_spikes=1))
    found = observe(net, torch.zeros(2, 4, 1))["0"]
    assert found.truncated == 1.0
    assert advice(found) == {}
