"""What recipes over real sequences share: neurons with a memory, the way from stored frames to a loss, the networks.

The ANN of equal architecture is the same recurrent network with ReLUs in the neurons' place: it sees the same steps,
has the same weights, and the same integrators stand behind its output. Its only memory is its recurrent weights. The
activations of its quantised twin have the bits that tell T + 1 values apart, more than the one bit of a spike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Generator, Tensor

from snn4.core.errors import OptionError
from snn4.core.quantity import Learned
from snn4.data import DataSet
from snn4.models import srnn
from snn4.neurons import ALIF, LI, LIF
from snn4.objectives import cross_entropy
from snn4.recipes.comparison import Build
from snn4.recipes.options import TrainingOptions
from snn4.training import Task

__all__ = ["Cell", "network", "one_answer", "step_answers"]

Cell = Literal["lif", "alif"]
"""The kind of the hidden neurons: LIF with the options of `neuron`, or ALIF with learned time constants."""


def network(
    inputs: int, hidden: tuple[int, ...], classes: int, cell: Cell, *, recurrent: bool, dropout: float
) -> Build:
    """Makes the recurrent networks of one architecture.

    Args:
        inputs: channels of the data.
        hidden: widths of the hidden layers.
        classes: outputs.
        cell: of the SNN.
        recurrent: whether hidden layers feed back to themselves.
        dropout: probability behind each hidden layer, one mask for all steps.

    Raises:
        OptionError: an unknown cell.
    """
    if cell not in ("lif", "alif"):
        raise OptionError(f"--cell got {cell!r}", "'lif' or 'alif'")

    def build(neuron: Callable[[], torch.nn.Module], steps: int) -> torch.nn.Module:  # noqa: ARG001  (data has the time)
        if cell == "alif" and neuron is not torch.nn.ReLU and not isinstance(neuron(), LIF):
            raise OptionError(
                "--neuron.kind is set where --cell alif stands in its place", "one of both", "Write --cell lif."
            )
        chosen = _alif if cell == "alif" and neuron is not torch.nn.ReLU else neuron
        return srnn(inputs, hidden, classes, chosen, recurrent=recurrent, dropout=dropout, readout=_integrator)

    return build


def _alif() -> ALIF:
    return ALIF(Learned(20.0), Learned(150.0))


def _integrator() -> LI:
    return LI(20.0, decay_input=True)


def one_answer(steps: int, scale: float = 1.0) -> Callable[[DataSet, TrainingOptions], Task]:
    """The task of one class a sample: the mean of the integrators over time, cross-entropy.

    Args:
        steps: neighbouring frames are averaged until so many are left.
        scale: what stored values are multiplied by.

    Raises:
        OptionError: no step.
    """
    if steps < 1:
        raise OptionError(f"--steps got {steps}", "a whole number >= 1")

    def task(_data: DataSet, training: TrainingOptions) -> Task:
        def encode(batch: Tensor, _generator: Generator) -> Tensor:
            values = batch.flatten(2).float() * scale
            if values.shape[1] != steps:
                values = torch.nn.functional.adaptive_avg_pool1d(values.transpose(1, 2), steps).transpose(1, 2)
            return values.transpose(0, 1)

        def loss(logits: Tensor, targets: Tensor) -> Tensor:
            return cross_entropy(logits, targets, label_smoothing=training.label_smoothing)

        return Task(encode, lambda ys: ys.mean(0), loss)

    return task


def step_answers(_data: DataSet, training: TrainingOptions) -> Task:
    """The task of one class a step: the integrators at that step, cross-entropy over steps that have a label."""

    def encode(batch: Tensor, _generator: Generator) -> Tensor:
        return batch.flatten(2).float().transpose(0, 1)

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(logits, targets, label_smoothing=training.label_smoothing)

    return Task(encode, lambda ys: ys, loss)
