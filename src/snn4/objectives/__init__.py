"""Floor 5: what training makes small.

A *loss* takes answers (B, C); an *objective* takes the outputs of all steps (T, B, C); a *penalty* takes the spikes of
each layer; a *regulariser* sees the network. `snn4.training.Task` has a place for each.
"""

from __future__ import annotations

from snn4.objectives.count import count_mse
from snn4.objectives.cross_entropy import cross_entropy
from snn4.objectives.firing_rate import FiringRate
from snn4.objectives.rate import rate
from snn4.objectives.tet import tet
from snn4.objectives.trt import TemporalDecay, trt

__all__ = ["FiringRate", "TemporalDecay", "count_mse", "cross_entropy", "rate", "tet", "trt"]
