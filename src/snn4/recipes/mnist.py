"""MNIST: a spiking MLP 784-400-10, or a small convolutional network, on handwritten digits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import torch

from snn4.models import conv_net, mlp
from snn4.recipes.comparison import Experiment, runner
from snn4.recipes.options import NeuronOptions, TrainingOptions

__all__ = ["EXPECTED", "TITLE", "Config", "experiment", "main"]

TITLE = "A spiking MLP 784-400-10 (or --model conv) on MNIST"
EXPECTED = {"snn.test_accuracy, mlp": 0.983, "snn.test_accuracy, conv": 0.993}


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the recipe."""

    seed: int = 0
    """Of everything random: weights, splits, order, augmentation."""
    epochs: int = 40
    """Passes over the training split."""
    steps: int = 8
    """Time steps of the SNN."""
    model: Literal["mlp", "conv"] = "mlp"
    """A multi-layer perceptron, or two stages of convolution."""
    hidden: tuple[int, ...] = (400,)
    """Widths of the hidden dense layers."""
    channels: tuple[int, ...] = (32, 64)
    """Channels of the stages of convolution."""
    dropout: float = 0.0
    """Probability, one mask for all steps."""
    limit: int | None = None
    """Use only so many training samples."""
    neuron: NeuronOptions = dataclasses.field(default_factory=NeuronOptions)
    train: TrainingOptions = dataclasses.field(default_factory=lambda: TrainingOptions(shift=2))

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, steps=2, hidden=(32,), channels=(4, 8), limit=512)


def experiment(config: Config) -> Experiment:
    """What this recipe adds to the common course."""

    def build(neuron: Callable[[], torch.nn.Module], steps: int) -> torch.nn.Module:
        if config.model == "mlp":
            return mlp(784, config.hidden, 10, neuron, steps=steps, norm=True, dropout=config.dropout)
        return conv_net(
            (1, 28, 28), config.channels, 10, neuron, steps=steps, dense=config.hidden, dropout=config.dropout
        )

    widths = "-".join(map(str, ((784,) if config.model == "mlp" else config.channels) + (*config.hidden, 10)))
    words = (
        f"MLP {widths}, batch norm" if config.model == "mlp" else f"3 x 3 convolutions and dense {widths}, batch norm"
    )
    return Experiment("mnist", TITLE, "mnist", 1 / 12, words, build, EXPECTED)


main = runner(experiment)
