"""Digits: a spiking MLP on the 8 x 8 digits of scikit-learn, in a minute and without a download."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from snn4.models import mlp
from snn4.recipes.comparison import Experiment, runner
from snn4.recipes.options import NeuronOptions, TrainingOptions

__all__ = ["EXPECTED", "TITLE", "Config", "experiment", "main"]

TITLE = "A spiking MLP on 8 x 8 digits, in a minute, without a download"
EXPECTED = {"snn.test_accuracy": 0.97, "snn behind ann, at most": 0.01, "seconds, at most": 120}


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the recipe."""

    seed: int = 0
    """Of everything random: weights, splits, order, augmentation."""
    epochs: int = 40
    """Passes over the training split."""
    steps: int = 8
    """Time steps of the SNN."""
    hidden: tuple[int, ...] = (256, 128)
    """Widths of the hidden layers."""
    dropout: float = 0.2
    """Probability, one mask for all steps."""
    limit: int | None = None
    """Use only so many training samples."""
    neuron: NeuronOptions = dataclasses.field(default_factory=NeuronOptions)
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(
            batch_size=64, learning_rate=3e-3, weight_decay=0.05, ema=0.98, shift=1, threads=1
        )
    )

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, steps=2, hidden=(16,), limit=200)


def experiment(config: Config) -> Experiment:
    """What this recipe adds to the common course."""

    def build(neuron: Callable[[], torch.nn.Module], steps: int) -> torch.nn.Module:
        return mlp(64, config.hidden, 10, neuron, steps=steps, norm=True, dropout=config.dropout)

    widths = "-".join(map(str, (64, *config.hidden, 10)))
    return Experiment("digits", TITLE, "digits", 0.15, f"MLP {widths}, batch norm", build, EXPECTED)


main = runner(experiment)
