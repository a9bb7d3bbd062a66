"""Floor 5: exact spike times, one and several a neuron, and their exact gradients."""

from __future__ import annotations

from snn4.timing.functional import spike_times
from snn4.timing.layer import Seen, TimingLayer, watch
from snn4.timing.lif import LIF
from snn4.timing.readout import FirstSpike, MaxOverTime, Readout, SpikeCount
from snn4.timing.times import check_times, events, from_grid, render
from snn4.timing.types import Constants, Events, Fired

__all__ = [
    "LIF",
    "Constants",
    "Events",
    "Fired",
    "FirstSpike",
    "MaxOverTime",
    "Readout",
    "Seen",
    "SpikeCount",
    "TimingLayer",
    "check_times",
    "events",
    "from_grid",
    "render",
    "spike_times",
    "watch",
]
