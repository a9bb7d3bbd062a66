"""ResNet-18 with DA-LIF on CIFAR-10, T = 4: every layer learns the weight of its input and its decay, apart.

The paper's settings for this network and all of its figures are unknown; everything here but the neuron is ours, and
nothing is expected. Arms beside it under the same recipe, with the same reset:
    --neuron.kind plif --neuron.settings
    --neuron.kind lif --neuron.settings --neuron.v-reset 0
Nobody has run it on a GPU yet.

Paper: [zhang2025dalif]
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from snn4.models import spiking_resnet18
from snn4.recipes.comparison import Experiment, runner
from snn4.recipes.options import NeuronOptions, TrainingOptions
from snn4.recipes.photographs import Photographs, photographs, sgd

__all__ = ["EXPECTED", "TITLE", "Config", "experiment", "main"]

TITLE = "ResNet-18 with DA-LIF on CIFAR-10, for one GPU"
# no figure of the paper could be checked
EXPECTED: dict[str, float] = {}


@dataclasses.dataclass(frozen=True)
class Config(Photographs):
    """Options of the recipe."""

    neuron: NeuronOptions = dataclasses.field(
        # with norms of standard deviation 1, a first weight of 0.5 would leave most neurons silent
        default_factory=lambda: NeuronOptions(kind="da_lif", settings=("alpha=learned:0.75", "beta=learned:0.5"))
    )
    train: TrainingOptions = dataclasses.field(default_factory=lambda: sgd(weight_decay=5e-5))


def experiment(config: Config) -> Experiment:
    """What this recipe adds to the common course."""

    def build(neuron: Callable[[], torch.nn.Module], steps: int) -> torch.nn.Module:
        return spiking_resnet18(classes=10, neuron=neuron, steps=steps, small=True)

    return photographs("cifar10_resnet18_dalif", TITLE, config, build, "ResNet-18, batch norm", EXPECTED)


main = runner(experiment)
