"""ECG: which wave of the heart beat each of 1301 steps belongs to; steps without a label are left out.

The published networks have unlabelled steps as class 0, so that their figures are of other steps.

Paper: [yin2021accurate]
"""

from __future__ import annotations

import dataclasses

from snn4.core.errors import OptionError
from snn4.recipes.comparison import Experiment, runner
from snn4.recipes.options import NeuronOptions, TrainingOptions
from snn4.recipes.sequences import Cell, network, step_answers

__all__ = ["EXPECTED", "TITLE", "Config", "experiment", "main"]

TITLE = "Waves of the heart beat at every step of an ECG, 36 recurrent neurons"
EXPECTED = {"snn.test_accuracy": 0.859}
_INPUTS, _CLASSES, _STEPS = 4, 6, 1301


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the recipe."""

    seed: int = 0
    """Of everything random: weights, splits, order."""
    epochs: int = 100
    """Passes over the training split."""
    steps: int = 1301
    """Time steps, those of the recordings."""
    hidden: tuple[int, ...] = (36,)
    """Widths of the hidden layers."""
    recurrent: bool = True
    """Whether hidden layers feed back to themselves."""
    dropout: float = 0.0
    """Probability behind each hidden layer, one mask for all steps."""
    limit: int | None = None
    """Use only so many training samples."""
    cell: Cell = "alif"
    """lif: neurons with the options of `neuron`; alif: adaptive ones with learned time constants."""
    neuron: NeuronOptions = dataclasses.field(
        default_factory=lambda: NeuronOptions(tau=20.0, learn_tau=True, surrogate="fastsigmoid")
    )
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(batch_size=64, learning_rate=1e-2)
    )

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, hidden=(8,), limit=16, train=TrainingOptions(batch_size=8))


def experiment(config: Config) -> Experiment:
    """What this recipe adds to the common course."""
    if config.steps != _STEPS:
        raise OptionError(f"--steps got {config.steps}", f"{_STEPS}, since each step of the recordings has a class")
    build = network(_INPUTS, config.hidden, _CLASSES, config.cell, recurrent=config.recurrent, dropout=config.dropout)
    widths = "-".join(map(str, (_INPUTS, *config.hidden, _CLASSES)))
    words = f"{'recurrent' if config.recurrent else 'feed-forward'} {widths}, leaky integrators behind the output"
    return Experiment("ecg", TITLE, "ecg", 0.1, words, build, EXPECTED, task=step_answers)


main = runner(experiment)
