"""Neurons side by side on spoken digits (SHD, regenerated): the recipe `shd` with each kind of them.

Paper: [cramer2022heidelberg]
"""

from __future__ import annotations

import dataclasses

from snn4.recipes import side_by_side as study
from snn4.recipes.shd import ShdOptions, experiment_of

__all__ = ["EXPECTED", "TITLE", "Config", "draw", "main", "tables"]

TITLE = "Neurons side by side on spoken digits (SHD, regenerated)"
EXPECTED: dict[str, float] = {}

tables, draw = study.tables, study.draw


@dataclasses.dataclass(frozen=True)
class Config(ShdOptions):
    """Options of the study."""

    seeds: int = 3
    """How many, counted up from the first."""
    cells: tuple[study.Member, ...] = ("lif", "alif", "se_adlif", "tc_lif", "dh_lif", "psn", "relu")
    """Hidden neurons, with each seed in this order: lif (with the options of `neuron`), alif, brf, se_adlif, tc_lif;
    dh_lif and psn, feed-forward; and relu, the ANN."""
    rates: tuple[str, ...] = ("lif=0.003", "tc_lif=0.01", "psn=0.01", "relu=0.01")
    """Learning rates of single cells, as CELL=RATE; the others have that of `train`. Three were tried for each, with
    speakers 3 and 9 held out."""

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, seeds=1, steps=10, hidden=(16,), limit=200, cells=("lif", "psn", "relu"))


main = study.side_by_side("shd_neurons", TITLE, experiment_of)
