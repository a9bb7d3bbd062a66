"""What the recipes on CIFAR-10 share that are written for a GPU: options, a second net for a CPU, the experiment.

As they stand they train the network of a paper, in bfloat16, with the data set as bytes in the GPU's memory and
augmentation there. `--small` is the same experiment for a CPU: `ms_resnet_small`, AdamW, and most epochs with one step.
`--minutes 9` cuts a run into calls; `--networks snn` leaves the ANN and its twin for another time: all three have
one and a half times the operations of the SNN with T = 4.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

import torch

from snn4.data import DataSet
from snn4.models import ms_resnet_small
from snn4.recipes.beginning import First
from snn4.recipes.comparison import FILES, Experiment
from snn4.recipes.options import NeuronOptions, TrainingOptions
from snn4.training import Task

__all__ = ["SMALL", "Photographs", "photographs", "sgd"]

SMALL = {"snn.test_accuracy, --small": 0.87, "snn behind ann, --small, at most": 0.03}
"""What the small net must reach."""


def sgd(**changes: Any) -> TrainingOptions:
    """The usual training of residual networks on CIFAR, on a GPU.

    Args:
        changes: what differs.
    """
    usual = TrainingOptions(
        optimiser="sgd",
        learning_rate=0.1,
        weight_decay=5e-4,
        warmup_epochs=1.0,
        clip_norm=None,
        autocast=True,
        shift=4,
        flip=True,
        device="cuda",
    )
    return dataclasses.replace(usual, **changes)


@dataclasses.dataclass(frozen=True)
class Photographs:
    """Options of the recipe."""

    seed: int = 0
    """Of everything random: weights, splits, order, augmentation."""
    epochs: int = 200
    """Passes over the training split, for each network."""
    steps: int = 4
    """Time steps of the SNN."""
    network: Literal["paper", "small"] = "paper"
    """paper: the network of the paper. small: an MS-ResNet for a CPU."""
    channels: tuple[int, ...] = (48, 80)
    """Channels of the stages of the small network."""
    blocks: tuple[int, ...] = (2, 2)
    """Blocks of the stages of the small network."""
    networks: Literal["all", "snn"] = "all"
    """all: the SNN, its ANN and the ANN's quantised twin; snn: the SNN alone, without a comparison."""
    first_epochs: int = 0
    """Of the SNN's epochs, so many with fewer time steps, at the beginning; the others start from their weights."""
    first_steps: int = 1
    """Time steps meanwhile."""
    later: float = 0.5
    """Factor of the learning rate in the epochs after them."""
    limit: int | None = None
    """Use only so many training samples."""
    neuron: NeuronOptions = dataclasses.field(default_factory=NeuronOptions)
    train: TrainingOptions = dataclasses.field(default_factory=sgd)

    @classmethod
    def small(cls) -> Self:
        """The same experiment for a CPU: less than 0.3 million parameters, and a budget of hours on two cores."""
        usual = cls()
        train = dataclasses.replace(
            usual.train,
            optimiser="adamw",
            learning_rate=2e-3,
            weight_decay=0.05,
            clip_norm=1.0,
            device="cpu",
        )
        # a spike representation needs its steps; a surrogate can begin with one
        first = 0 if train.route == "dsr" else 60
        return dataclasses.replace(usual, network="small", epochs=90, steps=4, first_epochs=first, train=train)

    @classmethod
    def smoke(cls) -> Self:
        """A run of seconds."""
        small = cls.small()
        tiny = {"channels": (4, 8), "blocks": (1, 1), "limit": 256}
        train = dataclasses.replace(small.train, warmup_epochs=0.0)
        return dataclasses.replace(small, epochs=1, steps=2, first_epochs=0, train=train, **tiny)


def photographs(
    recipe: str,
    title: str,
    config: Photographs,
    build: Callable[[Callable[[], torch.nn.Module], int], torch.nn.Module],
    about: str,
    expected: Mapping[str, Any],
    task: Callable[[DataSet, TrainingOptions], Task] | None = None,
) -> Experiment:
    """The common part of these recipes.

    Args:
        recipe: its name.
        title: one line.
        config: its options.
        build: makes the network of the paper.
        about: that network, in words.
        expected: figures that the results must reach.
        task: how all are trained, where their answer is not the mean of the outputs over time.
    """

    def make(neuron: Callable[[], torch.nn.Module], steps: int) -> torch.nn.Module:
        if config.network == "paper":
            return build(neuron, steps)
        scale = config.neuron.v_threshold or 1.0
        return ms_resnet_small(
            neuron=neuron, steps=steps, widths=config.channels, depths=config.blocks, v_threshold=scale
        )

    widths = "-".join(f"{width} x {depth}" for width, depth in zip(config.channels, config.blocks, strict=False))
    return Experiment(
        recipe,
        title,
        "cifar10",
        0.1,
        about if config.network == "paper" else f"small MS-ResNet {widths}",
        make,
        expected,
        task=task,
        networks=tuple(FILES) if config.networks == "all" else ("snn",),
        first=First(config.first_epochs, config.first_steps, config.later),
    )
