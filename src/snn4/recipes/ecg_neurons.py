"""Neurons side by side on the ECG, 36 of each: the recipe `ecg` with each kind of them.

Paper: [yin2021accurate]
"""

from __future__ import annotations

import dataclasses

from snn4.recipes import side_by_side as study
from snn4.recipes.ecg import EcgOptions, experiment_of
from snn4.recipes.options import TrainingOptions

__all__ = ["EXPECTED", "TITLE", "Config", "draw", "main", "tables"]

TITLE = "Neurons side by side on the ECG, 36 of each"
# those of a comparison stand in `ecg`
EXPECTED: dict[str, float] = {}

tables, draw = study.tables, study.draw


@dataclasses.dataclass(frozen=True)
class Config(EcgOptions):
    """Options of the study."""

    seeds: int = 3
    """How many, counted up from the first."""
    cells: tuple[study.Member, ...] = ("alif", "brf")
    """Hidden neurons, with each seed in this order: lif (with the options of `neuron`), alif, brf, se_adlif, tc_lif;
    dh_lif and psn, feed-forward; and relu, the ANN."""
    rates: tuple[str, ...] = ()
    """Learning rates of single cells, as CELL=RATE; the others have that of `train`."""

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, seeds=1, hidden=(8,), limit=16, cells=("lif", "relu"), train=TrainingOptions(batch_size=8))


main = study.side_by_side("ecg_neurons", TITLE, experiment_of)
