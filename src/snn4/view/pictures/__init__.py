"""Pictures: each takes plain arrays or tensors and an optional `ax`, and returns the `Axes` it drew on.

Save one with `raster(spikes).figure.savefig("raster.svg")`; set several side by side by handing in the axes of your own
figure.
"""

from __future__ import annotations

from snn4.view.pictures.accuracy_by_step import accuracy_by_step
from snn4.view.pictures.confusion import confusion
from snn4.view.pictures.energy_bars import energy_bars
from snn4.view.pictures.firing_rates import firing_rates
from snn4.view.pictures.heat import heat
from snn4.view.pictures.learning_curves import learning_curves
from snn4.view.pictures.membrane import membrane
from snn4.view.pictures.ranking import ranking
from snn4.view.pictures.raster import raster
from snn4.view.pictures.sample import outputs, sample_input
from snn4.view.pictures.spike_times import events, potential, potentials
from snn4.view.pictures.study import study
from snn4.view.pictures.surrogate import surrogate
from snn4.view.pictures.weights import weights

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
]
