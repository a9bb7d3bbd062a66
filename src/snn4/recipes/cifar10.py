"""CIFAR-10: a spiking convolutional network on small colour photographs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from snn4.models import conv_net
from snn4.recipes.comparison import Experiment, runner
from snn4.recipes.options import NeuronOptions, TrainingOptions

__all__ = ["EXPECTED", "TITLE", "Config", "experiment", "main"]

TITLE = "A spiking convolutional network on CIFAR-10, T = 4"
# no figure is claimed: a CPU needs hours for a net that would be worth one
EXPECTED: dict[str, float] = {}


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the recipe."""

    seed: int = 0
    """Of everything random: weights, splits, order, augmentation."""
    epochs: int = 40
    """Passes over the training split."""
    steps: int = 4
    """Time steps of the SNN."""
    channels: tuple[int, ...] = (64, 128, 128, 256)
    """Channels of the stages of convolution."""
    pool: tuple[int, ...] = (2, 2, 1, 2)
    """Pooling factor of each stage; 1 for none."""
    hidden: tuple[int, ...] = (256,)
    """Widths of the hidden dense layers."""
    dropout: float = 0.2
    """Probability before each dense layer, one mask for all steps."""
    limit: int | None = None
    """Use only so many training samples."""
    neuron: NeuronOptions = dataclasses.field(default_factory=NeuronOptions)
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(autocast=True, weight_decay=0.05, shift=4, flip=True)
    )

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, steps=2, channels=(4, 8), pool=(2, 2), hidden=(16,), limit=512)


def experiment(config: Config) -> Experiment:
    """What this recipe adds to the common course."""

    def build(neuron: Callable[[], torch.nn.Module], steps: int) -> torch.nn.Module:
        return conv_net(
            (3, 32, 32),
            config.channels,
            10,
            neuron,
            steps=steps,
            pool=config.pool,
            dense=config.hidden,
            dropout=config.dropout,
        )

    widths = "-".join(map(str, (*config.channels, *config.hidden, 10)))
    words = f"3 x 3 convolutions and dense {widths}, batch norm"
    return Experiment("cifar10", TITLE, "cifar10", 0.1, words, build, EXPECTED)


main = runner(experiment)
