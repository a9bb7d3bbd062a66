"""SHD: spoken digits as spikes of a model cochlea, in 100 frames of 14 ms.

Speakers 4 and 5 are in the test split only: they are never used for choosing.

Paper: [cramer2022heidelberg]
"""

from __future__ import annotations

import dataclasses

from snn4.recipes.comparison import Experiment, runner
from snn4.recipes.options import NeuronOptions, TrainingOptions
from snn4.recipes.sequences import Cell, network, one_answer

__all__ = ["EXPECTED", "TITLE", "Config", "experiment", "main"]

TITLE = "Spoken digits as spikes (SHD, regenerated), a recurrent spiking network"
EXPECTED = {"snn.test_accuracy": 0.9}
_INPUTS, _CLASSES = 140, 20


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the recipe."""

    seed: int = 0
    """Of everything random: weights, splits, order."""
    epochs: int = 60
    """Passes over the training split."""
    steps: int = 100
    """Time steps; neighbouring frames are averaged until so many are left."""
    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers."""
    recurrent: bool = True
    """Whether hidden layers feed back to themselves."""
    dropout: float = 0.4
    """Probability behind each hidden layer, one mask for all steps."""
    limit: int | None = None
    """Use only so many training samples."""
    cell: Cell = "alif"
    """lif: neurons with the options of `neuron`; alif: adaptive ones with learned time constants."""
    neuron: NeuronOptions = dataclasses.field(
        default_factory=lambda: NeuronOptions(tau=20.0, learn_tau=True, surrogate="fastsigmoid")
    )
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(batch_size=128, learning_rate=5e-3)
    )

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, steps=10, hidden=(16,), limit=200)


def experiment(config: Config) -> Experiment:
    """What this recipe adds to the common course."""
    build = network(_INPUTS, config.hidden, _CLASSES, config.cell, recurrent=config.recurrent, dropout=config.dropout)
    widths = "-".join(map(str, (_INPUTS, *config.hidden, _CLASSES)))
    words = f"{'recurrent' if config.recurrent else 'feed-forward'} {widths}, leaky integrators behind the output"
    return Experiment("shd", TITLE, "shd", 0.1, words, build, EXPECTED, task=one_answer(config.steps))


main = runner(experiment)
