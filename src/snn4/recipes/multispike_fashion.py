"""Fashion-MNIST with neurons that fire several times at exact times: 784-400-400-10, as BATS has it.

Paper: [bacho2022, yamamoto2024]
Differs from the paper: BATS counts output spikes; here the potential of a readout decides. The options
were found by a search on the validation split (see the experiment log); half of the training images are mirrored.
"""

from __future__ import annotations

import dataclasses

from snn4.recipes.comparison import Experiment, runner
from snn4.recipes.options import TrainingOptions
from snn4.recipes.timed import TimingOptions, image_mlp

__all__ = ["EXPECTED", "TITLE", "Config", "experiment", "main"]

TITLE = "Exact spike times, several a neuron: 784-400-400-10 on Fashion-MNIST"
EXPECTED = {"snn.test_accuracy": 0.902}


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the recipe."""

    seed: int = 0
    """Of everything random: weights, splits, order, augmentation."""
    epochs: int = 30
    """Passes over the training split."""
    hidden: tuple[int, ...] = (400, 400)
    """Widths of the layers that fire."""
    limit: int | None = None
    """Use only so many training samples."""
    ann_learning_rate: float = 1e-3
    """Of the ANN and its quantised twin; all else is as for the SNN."""
    timing: TimingOptions = dataclasses.field(default_factory=lambda: TimingOptions(init_mean=1.5, max_spikes=16))
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(learning_rate=5e-3, weight_decay=0.0, flip=True, ema=0.999)
    )

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, hidden=(16, 16), limit=256)


def experiment(config: Config) -> Experiment:
    """What this recipe adds to the common course."""
    return image_mlp("multispike_fashion", TITLE, "fashion", config, EXPECTED)


main = runner(experiment)
