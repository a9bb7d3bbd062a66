"""SHD: spoken digits as spikes of a model cochlea, in 100 frames of 14 ms.

Speakers 4 and 5 are in the test split only: they are never used for choosing.

Paper: [cramer2022heidelberg]
"""

from __future__ import annotations

import dataclasses

from snn4.recipes.cells import Cell
from snn4.recipes.comparison import Experiment, runner
from snn4.recipes.options import TrainingOptions
from snn4.recipes.sequences import SequenceOptions, one_answer, sequence_experiment

__all__ = ["EXPECTED", "TITLE", "Config", "ShdOptions", "experiment", "experiment_of", "main"]

TITLE = "Spoken digits as spikes (SHD, regenerated), a recurrent spiking network"
EXPECTED = {"snn.test_accuracy": 0.9}
_INPUTS, _CLASSES = 140, 20


@dataclasses.dataclass(frozen=True)
class ShdOptions(SequenceOptions):
    """Options of networks on this data set."""

    epochs: int = 60
    """Passes over the training split."""
    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers."""
    dropout: float = 0.4
    """Probability behind each hidden layer, one mask for all steps."""
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(batch_size=128, learning_rate=5e-3)
    )


@dataclasses.dataclass(frozen=True)
class Config(ShdOptions):
    """Options of the recipe."""

    cell: Cell = "alif"
    """Hidden neurons: lif, with the options of `neuron`; alif, brf, se_adlif, tc_lif; and with --no-recurrent also
    dh_lif and psn. Each starts as its paper says."""

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, steps=10, hidden=(16,), limit=200)


def experiment_of(config: ShdOptions, cell: Cell) -> Experiment:
    """The networks with one kind of hidden neurons."""
    return sequence_experiment(
        "shd", TITLE, config, cell, _INPUTS, _CLASSES, 0.1, expected=EXPECTED, task=one_answer(config.steps)
    )


def experiment(config: Config) -> Experiment:
    """What this recipe adds to the common course."""
    return experiment_of(config, config.cell)


main = runner(experiment)
