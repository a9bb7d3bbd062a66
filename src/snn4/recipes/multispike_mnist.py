"""MNIST with neurons that fire several times at exact times: 784-400-10, no surrogate gradient.

The network and the question of the source: does a neuron that may fire again do better than one that may not? The same
network with one spike a neuron is the recipe `single_spike_mnist`.

Paper: [yamamoto2024]
Differs from the paper: the penalty on dead neurons is a form of our own (its equations are not known to us), and so are
the options, which a search on the validation split found; training images are moved by up to a pixel.
"""

from __future__ import annotations

import dataclasses

from snn4.recipes.comparison import Experiment, runner
from snn4.recipes.options import TrainingOptions
from snn4.recipes.timed import TimingOptions, image_mlp

__all__ = ["EXPECTED", "TITLE", "Config", "experiment", "main"]

TITLE = "Exact spike times, several a neuron: 784-400-10 on MNIST"
EXPECTED = {"snn.test_accuracy": 0.981}


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
    timing: TimingOptions = dataclasses.field(default_factory=lambda: TimingOptions(tau_v=None, tau_i=None))
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(learning_rate=5e-3, weight_decay=0.0, shift=1, ema=0.999)
    )

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, hidden=(16,), limit=256)


def experiment(config: Config) -> Experiment:
    """What this recipe adds to the common course."""
    return image_mlp("multispike_mnist", TITLE, "mnist", config, EXPECTED)


main = runner(experiment)
