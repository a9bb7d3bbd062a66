"""Floor 2: what it means to run through time, and to differentiate through it."""

from __future__ import annotations

from snn4.through_time.checkpoint import checkpoint
from snn4.through_time.dsr import DSR, Representation
from snn4.through_time.eprop import EProp
from snn4.through_time.explain import explain
from snn4.through_time.loop import reference_loop
from snn4.through_time.neuron import Neuron
from snn4.through_time.ottt import OTTT
from snn4.through_time.registry import Kernel
from snn4.through_time.routes import BPTT, Route, use_route
from snn4.through_time.run import Stream, run
from snn4.through_time.sltt import SLTT
from snn4.through_time.stateful import Stateful
from snn4.through_time.synapse import Rule, Synapse

__all__ = [
    "BPTT",
    "DSR",
    "OTTT",
    "SLTT",
    "EProp",
    "Kernel",
    "Neuron",
    "Representation",
    "Route",
    "Rule",
    "Stateful",
    "Stream",
    "Synapse",
    "checkpoint",
    "explain",
    "reference_loop",
    "run",
    "use_route",
]
