"""ResNet-19 with LSG on CIFAR-10, T = 2, 4 or 6: each layer learns its decay, and the surrogate's width follows.

The neurons, tdBN and the threshold of 0.5 are the paper's. Its optimiser's settings and epochs are not published in
what could be read; those here are the usual ones for residual networks on CIFAR. `--train.cutout 16` adds Cutout, which
is to be reported apart; `--steps 2` and `--steps 6` are the paper's other rows.

Nobody has run the paper's network on a GPU with this recipe yet: EXPECTED is what is asked of it, not what was found.

Paper: [lian2023lsg]
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from snn4.models import resnet19
from snn4.recipes.comparison import Experiment, runner
from snn4.recipes.options import NeuronOptions
from snn4.recipes.photographs import SMALL, Photographs, photographs

__all__ = ["EXPECTED", "TITLE", "Config", "experiment", "main"]

TITLE = "ResNet-19 with LSG on CIFAR-10, for one GPU"
EXPECTED = {"snn.test_accuracy, on a GPU, T = 4": 0.952} | SMALL


@dataclasses.dataclass(frozen=True)
class Config(Photographs):
    """Options of the recipe."""

    neuron: NeuronOptions = dataclasses.field(
        # tau of 1.25 is a decay of 0.2
        default_factory=lambda: NeuronOptions(tau=1.25, learn_tau=True, v_threshold=0.5, v_reset=0.0, surrogate="lsg")
    )


def experiment(config: Config) -> Experiment:
    """What this recipe adds to the common course."""

    def build(neuron: Callable[[], torch.nn.Module], steps: int) -> torch.nn.Module:
        return resnet19(neuron=neuron, steps=steps, v_threshold=config.neuron.v_threshold or 1.0)

    return photographs("cifar10_resnet19_lsg", TITLE, config, build, "ResNet-19, tdBN", EXPECTED)


main = runner(experiment)
