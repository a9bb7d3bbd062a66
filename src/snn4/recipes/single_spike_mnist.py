"""MNIST with neurons that fire at most once, at exact times: 784-400-10, the opponent of `multispike_mnist`.

Network, code, penalty and epochs are as there; time constants, learning rate and augmentation were chosen on the
validation split by a search of the same size and the same kind, eight settings each (see the experiment log).

Paper: [mostafa2017, yamamoto2024]
Differs from the paper: the penalty on dead neurons is a form of our own (its equations are not known to us), and so are
the options, which a search on the validation split found; training images are moved by up to a pixel.
"""

from __future__ import annotations

import dataclasses

from snn4.recipes.comparison import Experiment, runner
from snn4.recipes.options import TrainingOptions
from snn4.recipes.timed import TimingOptions, image_mlp

__all__ = ["EXPECTED", "TITLE", "Config", "experiment", "main"]

TITLE = "Exact spike times, at most one a neuron: 784-400-10 on MNIST"
EXPECTED = {"snn.test_accuracy": 0.979}


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the recipe."""

    seed: int = 0
    """Of everything random: weights, splits, order, augmentation."""
    epochs: int = 40
    """Passes over the training split."""
    hidden: tuple[int, ...] = (400,)
    """Widths of the layers that fire."""
    limit: int | None = None
    """Use only so many training samples."""
    ann_learning_rate: float = 1e-3
    """Of the ANN and its quantised twin; all else is as for the SNN."""
    timing: TimingOptions = dataclasses.field(
        default_factory=lambda: TimingOptions(max_spikes=1, tau_v=None, tau_i=None)
    )
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(learning_rate=2.5e-3, weight_decay=0.0, shift=1, ema=0.999)
    )

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, hidden=(16,), limit=256)


def experiment(config: Config) -> Experiment:
    """What this recipe adds to the common course."""
    return image_mlp("single_spike_mnist", TITLE, "mnist", config, EXPECTED)


main = runner(experiment)
