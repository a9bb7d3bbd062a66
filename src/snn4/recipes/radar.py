"""Radar: hand gestures in front of a neuromorphic radar of six channels.

Paper: [zheng2023neuroradar]
"""

from __future__ import annotations

import dataclasses

from snn4.recipes.comparison import Experiment, runner
from snn4.recipes.sequences import SequenceConfig, one_answer, sequence_experiment

__all__ = ["EXPECTED", "TITLE", "Config", "experiment", "main"]

TITLE = "Radar gestures, a recurrent spiking network"
EXPECTED: dict[str, float] = {}
_INPUTS, _CLASSES = 6, 12


@dataclasses.dataclass(frozen=True)
class Config(SequenceConfig):
    """Options of the recipe."""

    epochs: int = 30
    """Passes over the training split."""
    steps: int = 64
    """Time steps; neighbouring frames are averaged until so many are left."""
    hidden: tuple[int, ...] = (64,)
    """Widths of the hidden layers."""

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, steps=10, hidden=(16,), limit=200)


def experiment(config: Config) -> Experiment:
    """What this recipe adds to the common course."""
    return sequence_experiment(
        "radar", TITLE, config, config.cell, _INPUTS, _CLASSES, 0.15, expected=EXPECTED, task=one_answer(config.steps)
    )


main = runner(experiment)
