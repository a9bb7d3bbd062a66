"""Floor 5: exact spike times, one and several a neuron, and their exact gradients."""

from __future__ import annotations

from snn4.timing.conv import Conv2d, MergePool2d
from snn4.timing.encode import DropSpikes, Framed, Latency, from_events
from snn4.timing.functional import spike_times
from snn4.timing.layer import FiringLayer, Seen, TimingLayer, watch
from snn4.timing.lif import LIF
from snn4.timing.losses import first_spike_cross_entropy, potential_cross_entropy, spike_count, spread, time_shift
from snn4.timing.observe import observe
from snn4.timing.penalty import DeadNeurons, WeightBumping, dead_neurons
from snn4.timing.readout import FirstSpike, MaxOverTime, Readout, SpikeCount
from snn4.timing.statistics import LayerActivity, activity, activity_table, advice
from snn4.timing.times import check_times, events, from_grid, render
from snn4.timing.trajectory import integrated_potential, trajectory
from snn4.timing.types import Constants, Events, Fired

__all__ = [
    "LIF",
    "Constants",
    "Conv2d",
    "DeadNeurons",
    "DropSpikes",
    "Events",
    "Fired",
    "FiringLayer",
    "FirstSpike",
    "Framed",
    "Latency",
    "LayerActivity",
    "MaxOverTime",
    "MergePool2d",
    "Readout",
    "Seen",
    "SpikeCount",
    "TimingLayer",
    "WeightBumping",
    "activity",
    "activity_table",
    "advice",
    "check_times",
    "dead_neurons",
    "events",
    "first_spike_cross_entropy",
    "from_events",
    "from_grid",
    "integrated_potential",
    "observe",
    "potential_cross_entropy",
    "render",
    "spike_count",
    "spike_times",
    "spread",
    "time_shift",
    "trajectory",
    "watch",
]
