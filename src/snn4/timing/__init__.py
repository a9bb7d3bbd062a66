"""Floor 5: exact spike times, one and several a neuron, and their exact gradients."""

from __future__ import annotations

from snn4.timing.conv import Conv2d, MergePool2d
from snn4.timing.functional import spike_times
from snn4.timing.layer import FiringLayer, Seen, TimingLayer, watch
from snn4.timing.lif import LIF
from snn4.timing.readout import FirstSpike, MaxOverTime, Readout, SpikeCount
from snn4.timing.times import check_times, events, from_grid, render
from snn4.timing.trajectory import integrated_potential, trajectory
from snn4.timing.types import Constants, Events, Fired

__all__ = [
    "LIF",
    "Constants",
    "Conv2d",
    "Events",
    "Fired",
    "FiringLayer",
    "FirstSpike",
    "MaxOverTime",
    "MergePool2d",
    "Readout",
    "Seen",
    "SpikeCount",
    "TimingLayer",
    "check_times",
    "events",
    "from_grid",
    "integrated_potential",
    "render",
    "spike_times",
    "trajectory",
    "watch",
]
