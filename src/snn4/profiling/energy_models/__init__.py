"""Energy a sample, as a range over named models. Nothing here measures a chip.

One model a file: `compute_only` (the field's 4.6 and 0.9 pJ) and `with_memory` (Lemaire's). The first flatters spiking
networks, the published form of the second flatters dense ones; both are quoted, as brackets.
"""

from __future__ import annotations

from snn4.profiling.energy_models.arithmetic import FP16, FP32, INT8, INT32, Arithmetic, arithmetics
from snn4.profiling.energy_models.compute_only import ComputeOnly, break_even_rate, paper_energy
from snn4.profiling.energy_models.estimate import Energy, EnergyModel, Estimate, energy
from snn4.profiling.energy_models.with_memory import WithMemory, memory_cost

__all__ = [
    "FP16",
    "FP32",
    "INT8",
    "INT32",
    "Arithmetic",
    "ComputeOnly",
    "Energy",
    "EnergyModel",
    "Estimate",
    "WithMemory",
    "arithmetics",
    "break_even_rate",
    "energy",
    "memory_cost",
    "paper_energy",
]
