"""SHD: spoken digits as spikes of a model cochlea, in 50 frames of 28 ms.

Speakers 4 and 5 are in the test split only: they are never used for choosing. In training, recordings are stretched and
moved in time and along the channels, as if another voice had spoken. The answer is the mean over time of the softmax.

SE-adLIF has 90.95 +- 1.02 % on the test split over three seeds, with 94.4 % on recordings of the training speakers that
were held out; the ReLU network of the same widths has 90.05 +- 0.53 %. `shd_neurons` makes the whole table.

Paper: [cramer2022heidelberg]
"""

from __future__ import annotations

import dataclasses

from snn4.data import Stretch
from snn4.recipes.cells import Cell, Starts
from snn4.recipes.comparison import Experiment, runner
from snn4.recipes.options import NeuronOptions, TrainingOptions
from snn4.recipes.sequences import SequenceOptions, averaged, one_answer, sequence_experiment

__all__ = ["EXPECTED", "TITLE", "Config", "ShdOptions", "experiment", "experiment_of", "main"]

TITLE = "Spoken digits as spikes (SHD, regenerated), a recurrent spiking network"
EXPECTED: dict[str, float] = {}
_INPUTS, _CLASSES = 140, 20


@dataclasses.dataclass(frozen=True)
class ShdOptions(SequenceOptions):
    """Options of networks on this data set."""

    epochs: int = 35
    """Passes over the training split."""
    steps: int = 50
    """Time steps; neighbouring frames are averaged until so many are left."""
    hidden: tuple[int, ...] = (256,)
    """Widths of the hidden layers."""
    gain: float = 0.5
    """Of the recurrent weights at the start, an orthogonal matrix."""
    dropout: float = 0.25
    """Probability behind each hidden layer, one mask for all steps."""
    readout_tau: float = 10.0
    """Where the time constants of the integrators behind the output start, in steps; learned, one a class."""
    stretched: tuple[float, float] = (0.3, 0.2)
    """In training, recordings are longer or shorter by up to these factors, as logarithms, in time and channels."""
    moved: tuple[float, float] = (3.0, 8.0)
    """In training, recordings are moved by up to so many steps and channels."""
    starts: Starts = dataclasses.field(default_factory=lambda: Starts(tau=(10.0, 5.0), tau_a=(100.0, 50.0)))
    neuron: NeuronOptions = dataclasses.field(
        default_factory=lambda: NeuronOptions(tau=10.0, learn_tau=True, surrogate="fastsigmoid")
    )
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(batch_size=128, learning_rate=3e-2, threads=1)
    )


@dataclasses.dataclass(frozen=True)
class Config(ShdOptions):
    """Options of the recipe."""

    cell: Cell = "se_adlif"
    """Hidden neurons: lif, with the options of `neuron`; alif, brf, se_adlif, tc_lif; and with --no-recurrent also
    dh_lif and psn. Each starts as its paper says."""

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, steps=10, hidden=(16,), limit=200)


def experiment_of(config: ShdOptions, cell: Cell) -> Experiment:
    """The networks with one kind of hidden neurons."""
    return sequence_experiment(
        "shd",
        TITLE,
        config,
        cell,
        _INPUTS,
        _CLASSES,
        0.1,
        expected=EXPECTED,
        task=one_answer(config.steps, shares=True, augment=Stretch(*config.stretched, by=config.moved)),
        prepare=averaged(config.steps),
    )


def experiment(config: Config) -> Experiment:
    """What this recipe adds to the common course."""
    return experiment_of(config, config.cell)


main = runner(experiment)
