"""ECG: which wave of the heart beat each of 1301 steps belongs to; steps without a label are left out.

The published networks have unlabelled steps as class 0, so that their figures are of other steps;
`--unlabelled class_0` does as they do.

Paper: [yin2021accurate, higuchi2024brf]
Differs from the papers: time constants and frequencies start further apart, readouts are faster, resonators get ten
times the input, and the learning rate is higher, all chosen on a validation split; a few dozen epochs, not hundreds.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from snn4.core.errors import OptionError
from snn4.data import DataSet, Split
from snn4.recipes.cells import Cell, Starts
from snn4.recipes.comparison import Experiment, runner
from snn4.recipes.options import TrainingOptions
from snn4.recipes.sequences import SequenceOptions, sequence_experiment, step_answers

__all__ = ["EXPECTED", "TITLE", "Config", "EcgOptions", "experiment", "experiment_of", "main"]

TITLE = "Waves of the heart beat at every step of an ECG, 36 recurrent neurons"
EXPECTED = {"snn.test_accuracy": 0.859}
_INPUTS, _CLASSES, _STEPS = 4, 6, 1301


@dataclasses.dataclass(frozen=True)
class EcgOptions(SequenceOptions):
    """Options of networks on this data set."""

    epochs: int = 60
    """Passes over the training split."""
    steps: int = 1301
    """Time steps, those of the recordings."""
    hidden: tuple[int, ...] = (36,)
    """Widths of the hidden layers."""
    gain: float = 1.0
    """Of the recurrent weights at the start, an orthogonal matrix."""
    dropout: float = 0.0
    """Probability behind each hidden layer, one mask for all steps."""
    readout_tau: float = 4.0
    """Where the time constants of the integrators behind the output start, in steps; learned, one a class."""
    starts: Starts = dataclasses.field(
        default_factory=lambda: Starts(
            tau=(20.0, 18.0), tau_a=(200.0, 100.0), omega=(1.0, 25.0), damping=(0.1, 1.0), drive=10.0
        )
    )
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(batch_size=16, learning_rate=0.15, threads=1)
    )
    unlabelled: Literal["left_out", "class_0"] = "left_out"
    """Steps without a label: neither learned nor counted, or of class 0, as in the published figures."""


@dataclasses.dataclass(frozen=True)
class Config(EcgOptions):
    """Options of the recipe."""

    cell: Cell = "alif"
    """Hidden neurons: lif, with the options of `neuron`; alif, brf, se_adlif, tc_lif; and with --no-recurrent also
    dh_lif and psn. Each starts as its paper says."""

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, hidden=(8,), limit=16, train=TrainingOptions(batch_size=8))


def experiment_of(config: EcgOptions, cell: Cell) -> Experiment:
    """The networks with one kind of hidden neurons."""
    if config.steps != _STEPS:
        raise OptionError(f"--steps got {config.steps}", f"{_STEPS}, since each step of the recordings has a class")
    more = {"prepare": _of_class_0} if config.unlabelled == "class_0" else {}
    return sequence_experiment(
        "ecg", TITLE, config, cell, _INPUTS, _CLASSES, 0.1, expected=EXPECTED, task=step_answers, **more
    )


def _of_class_0(data: DataSet) -> DataSet:
    """The data with a class for every step."""

    def filled(split: Split) -> Split:
        return Split(split.inputs, split.targets.clamp(min=0))

    return dataclasses.replace(data, train=filled(data.train), test=filled(data.test))


def experiment(config: Config) -> Experiment:
    """What this recipe adds to the common course."""
    return experiment_of(config, config.cell)


main = runner(experiment)
