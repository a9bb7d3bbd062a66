"""PreAct-ResNet-18 with DSR on CIFAR-10: differentiated through the spike representation, with learned thresholds.

Network, neurons, optimiser, warm-up and augmentation are the paper's for few steps, T = 5. Its other row for LIF is
    --steps 20 --train.learning-rate 0.1
    --neuron.settings v_threshold=learned:0.3 alpha=0.3 dt=0.05 lowest=0.0005
and `--neuron.kind dsr_if --neuron.settings v_threshold=learned:6.0` has IF, with any T. The answer of leaky neurons is
their output's mean with the weights of the representation, which count late steps more.

Nobody has run the paper's network on a GPU with this recipe yet: EXPECTED is what is asked of it, not what was found.

Paper: [meng2022dsr]
Differs from the paper: thresholds have no weight decay; a tenth of the training images is held out to choose by.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from snn4.data import DataSet
from snn4.models import preact_resnet18
from snn4.neurons import DSRLIF
from snn4.recipes.comparison import Experiment, runner
from snn4.recipes.options import NeuronOptions, TrainingOptions
from snn4.recipes.photographs import Photographs, photographs, sgd
from snn4.recipes.tasks import make_task
from snn4.training import Task

__all__ = ["EXPECTED", "TITLE", "Config", "experiment", "main"]

TITLE = "PreAct-ResNet-18 with DSR on CIFAR-10, for one GPU"
EXPECTED = {"snn.test_accuracy, on a GPU, T = 5": 0.945}


@dataclasses.dataclass(frozen=True)
class Config(Photographs):
    """Options of the recipe."""

    steps: int = 5
    """Time steps of the SNN."""
    neuron: NeuronOptions = dataclasses.field(
        default_factory=lambda: NeuronOptions(
            kind="dsr_lif", settings=("v_threshold=learned:0.6", "alpha=0.5", "dt=0.1", "lowest=0.001")
        )
    )
    train: TrainingOptions = dataclasses.field(
        # 400 batches of warm-up
        default_factory=lambda: sgd(learning_rate=0.05, warmup_epochs=1.14, route="dsr")
    )


def experiment(config: Config) -> Experiment:
    """What this recipe adds to the common course."""

    def build(neuron: Callable[[], torch.nn.Module], steps: int) -> torch.nn.Module:
        return preact_resnet18(neuron=neuron, steps=steps)

    def task(data: DataSet, training: TrainingOptions) -> Task:
        usual, neuron = make_task(data, training), config.neuron.factory(config.steps)()
        if not isinstance(neuron, DSRLIF):
            return usual

        def readout(ys: Tensor) -> Tensor:
            return (neuron.representation(ys).weights * ys).sum(0)

        return dataclasses.replace(usual, readout=readout)

    words = "PreAct-ResNet-18, norm and neuron as the output"
    return photographs("cifar10_preact_dsr", TITLE, config, build, words, EXPECTED, task)


main = runner(experiment)
