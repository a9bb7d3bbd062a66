"""MS-ResNet-18 with integer LIF on CIFAR-10: trained with counts up to D in T steps, run with spikes in T D of them.

With T = 1 a training step costs what the ANN's does. What is tested, counted and timed in the end is the spiking twin,
whose T D steps are those of the result; the quantised ANN beside it has as many values as that many steps.
`--neuron.settings levels=2 --steps 2` divides the same four steps otherwise.

Paper: [luo2024spikeyolo, hu2024msresnet]
Differs from the papers: classification of small images, and our optimiser's settings; nothing is expected of the large
network, which nobody has run on a GPU yet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Self

import torch

from snn4.models import ms_resnet18
from snn4.recipes.comparison import Experiment, runner
from snn4.recipes.options import NeuronOptions
from snn4.recipes.photographs import SMALL, Photographs, photographs

__all__ = ["EXPECTED", "TITLE", "Config", "experiment", "main"]

TITLE = "MS-ResNet-18 with integer LIF on CIFAR-10, for one GPU"
EXPECTED = SMALL


@dataclasses.dataclass(frozen=True)
class Config(Photographs):
    """Options of the recipe."""

    steps: int = 1
    """Time steps of the training, T."""
    neuron: NeuronOptions = dataclasses.field(
        default_factory=lambda: NeuronOptions(kind="integer_lif", settings=("levels=4",))
    )

    @classmethod
    def small(cls) -> Self:
        """The same experiment for a CPU: less than 0.3 million parameters, and two hours on two cores."""
        return dataclasses.replace(super().small(), steps=1, first_epochs=0)

    @classmethod
    def smoke(cls) -> Self:
        """A run of seconds."""
        return dataclasses.replace(super().smoke(), steps=1)


def experiment(config: Config) -> Experiment:
    """What this recipe adds to the common course."""

    def build(neuron: Callable[[], torch.nn.Module], steps: int) -> torch.nn.Module:
        return ms_resnet18(classes=10, neuron=neuron, steps=steps, small=True)

    return photographs("cifar10_msresnet18_integer", TITLE, config, build, "MS-ResNet-18, batch norm", EXPECTED)


main = runner(experiment)
