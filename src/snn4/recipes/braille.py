"""Braille: letters felt by a finger tip of twelve taxels, 76 steps.

Paper: [mullercleve2022braille]
"""

from __future__ import annotations

import dataclasses

from snn4.recipes.comparison import Experiment, runner
from snn4.recipes.sequences import SequenceConfig, one_answer, sequence_experiment

__all__ = ["EXPECTED", "TITLE", "Config", "experiment", "main"]

TITLE = "Tactile Braille letters, a recurrent spiking network"
EXPECTED: dict[str, float] = {}
_INPUTS, _CLASSES = 12, 27


@dataclasses.dataclass(frozen=True)
class Config(SequenceConfig):
    """Options of the recipe."""

    steps: int = 76
    """Time steps; neighbouring frames are averaged until so many are left."""

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, steps=19, hidden=(16,), limit=200)


def experiment(config: Config) -> Experiment:
    """What this recipe adds to the common course."""
    return sequence_experiment(
        "braille",
        TITLE,
        config,
        config.cell,
        _INPUTS,
        _CLASSES,
        0.15,
        expected=EXPECTED,
        task=one_answer(config.steps, 1 / 32),
    )


main = runner(experiment)
