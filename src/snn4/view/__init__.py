"""Pictures of spiking networks, and the report that compares a network with its ANN.

from snn4 import view
view.raster(spikes).figure.savefig("raster.svg")
view.write_report("runs/digits/latest", lang="ja")
"""

from __future__ import annotations

from snn4.view.pictures import (
    accuracy_by_step,
    confusion,
    energy_bars,
    events,
    firing_rates,
    heat,
    learning_curves,
    membrane,
    outputs,
    potential,
    potentials,
    ranking,
    raster,
    sample_input,
    study,
    surrogate,
    weights,
)
from snn4.view.report import write_report, write_study

__all__ = [
    "accuracy_by_step",
    "confusion",
    "energy_bars",
    "events",
    "firing_rates",
    "heat",
    "learning_curves",
    "membrane",
    "outputs",
    "potential",
    "potentials",
    "ranking",
    "raster",
    "sample_input",
    "study",
    "surrogate",
    "weights",
    "write_report",
    "write_study",
]
