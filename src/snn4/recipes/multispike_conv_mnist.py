"""MNIST with convolutions of neurons that fire several times at exact times: 15C5-40C5-300-10, strides for pooling.

Paper: [bacho2022, yamamoto2024]
Differs from the paper: BATS pools by adding up spikes and counts output spikes; here convolutions have stride 2 and the
potential of a readout decides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from snn4.layers import Conv2d, Flatten, Hold, Linear
from snn4.models import timing_conv_net
from snn4.recipes.comparison import Experiment, runner
from snn4.recipes.options import TrainingOptions
from snn4.recipes.timed import TimingOptions, timed

__all__ = ["EXPECTED", "TITLE", "Config", "experiment", "main"]

TITLE = "Exact spike times, several a neuron: a convolutional network on MNIST"
# no figure is claimed before it was measured
EXPECTED: dict[str, float] = {}


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the recipe."""

    seed: int = 0
    """Of everything random: weights, splits, order, augmentation."""
    epochs: int = 20
    """Passes over the training split."""
    channels: tuple[int, ...] = (15, 40)
    """Maps of each convolution, 5 x 5 with stride 2."""
    hidden: tuple[int, ...] = (300,)
    """Widths of the dense layers that fire."""
    limit: int | None = None
    """Use only so many training samples."""
    ann_learning_rate: float = 1e-3
    """Of the ANN and its quantised twin; all else is as for the SNN."""
    timing: TimingOptions = dataclasses.field(default_factory=lambda: TimingOptions(max_spikes=4, init_mean=1.0))
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(learning_rate=1e-2, weight_decay=0.0, shift=2, ema=0.999)
    )

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, channels=(2, 3), hidden=(8,), limit=128)


def experiment(config: Config) -> Experiment:
    """What this recipe adds to the common course."""
    timing = config.timing

    def snn() -> torch.nn.Module:
        return timing_conv_net(
            (1, 28, 28),
            config.channels,
            10,
            timing.firing(),
            dense=config.hidden,
            encoder=lambda: timing.latency(flatten=False),
            drop=timing.drop,
        )

    def ann(neuron: Callable[[], torch.nn.Module], steps: int) -> torch.nn.Module:
        layers: list[torch.nn.Module] = [Hold(steps)] if steps > 1 else []
        before, side = 1, 28
        for width in config.channels:
            layers += [Conv2d(before, width, 5, stride=2), neuron()]
            before, side = width, (side - 5) // 2 + 1
        layers.append(Flatten())
        size = before * side * side
        for width in config.hidden:
            layers += [Linear(size, width), neuron()]
            size = width
        return torch.nn.Sequential(*layers, Linear(size, 10))

    convolutions = "-".join(f"{width}C5" for width in config.channels)
    dense = "-".join(map(str, (*config.hidden, 10)))
    words = f"{convolutions}-{dense}, stride 2, exact spike times (the ANN with biases)"
    method = timed(snn, timing, config.train, config.ann_learning_rate)
    return Experiment("multispike_conv_mnist", TITLE, "mnist", 1 / 12, words, ann, EXPECTED, method)


main = runner(experiment)
