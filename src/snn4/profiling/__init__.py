"""What a network costs: activity, operations, energy, memory, latency.

`profile(net, x)` measures one evaluation pass, `energy(profile)` turns operations into a range of picojoules by named
models, `latency(net, x)` times single samples, `compare({...})` lays networks side by side. `gradient_flow` and
`gradient_mismatch` look at the way back.
"""

from __future__ import annotations

from snn4.profiling.allocation import peak_bytes
from snn4.profiling.bits import Bits
from snn4.profiling.comparison import Comparison, compare
from snn4.profiling.energy_models import (
    FP16,
    FP32,
    INT8,
    INT32,
    Arithmetic,
    ComputeOnly,
    Energy,
    EnergyModel,
    Estimate,
    WithMemory,
    break_even_rate,
    energy,
    memory_cost,
    paper_energy,
)
from snn4.profiling.gradients import GradientFlow, gradient_flow, gradient_mismatch
from snn4.profiling.measure import profile
from snn4.profiling.records import Neurons, Other, Synapses
from snn4.profiling.representation import RepresentationError, representation_error
from snn4.profiling.result import Profile
from snn4.profiling.timing import Latency, latency

__all__ = [
    "FP16",
    "FP32",
    "INT8",
    "INT32",
    "Arithmetic",
    "Bits",
    "Comparison",
    "ComputeOnly",
    "Energy",
    "EnergyModel",
    "Estimate",
    "GradientFlow",
    "Latency",
    "Neurons",
    "Other",
    "Profile",
    "RepresentationError",
    "Synapses",
    "WithMemory",
    "break_even_rate",
    "compare",
    "energy",
    "gradient_flow",
    "gradient_mismatch",
    "latency",
    "memory_cost",
    "paper_energy",
    "peak_bytes",
    "profile",
    "representation_error",
]
