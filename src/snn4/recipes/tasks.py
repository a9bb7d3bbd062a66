"""What networks learn from stored images: from bytes to the loss."""

from __future__ import annotations

import dataclasses

import torch
from torch import Generator, Tensor

from snn4.data import Augmentation, Cutout, DataSet, Flip, Shift, compose, normalise
from snn4.layers import MeanOverTime
from snn4.objectives import cross_entropy
from snn4.recipes.options import TrainingOptions
from snn4.training import Task

__all__ = ["make_task", "shown"]


def make_task(data: DataSet, training: TrainingOptions) -> Task:
    """From stored images to the loss: normalised, one frame, mean of the outputs over time, cross-entropy."""

    def encode(batch: Tensor, _generator: Generator) -> Tensor:
        return normalise(batch, data.mean, data.std)[None]

    def readout(ys: Tensor) -> Tensor:
        return MeanOverTime()(ys)

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(logits, targets, label_smoothing=training.label_smoothing)

    changes: list[Augmentation] = []
    if training.shift:
        changes.append(Shift(training.shift))
    if training.flip:
        changes.append(Flip())
    if training.cutout:
        mean = sum(data.mean) / len(data.mean)
        changes.append(Cutout(training.cutout, round(255 * mean) if data.train.inputs.dtype == torch.uint8 else mean))
    return Task(encode, readout, loss, compose(*changes) if changes else None)


def shown(task: Task, steps: int) -> Task:
    """The same task, its frame shown so many times.

    Args:
        task: encodes a sample as one frame.
        steps: how often it is shown.
    """

    def encode(batch: Tensor, generator: Generator) -> Tensor:
        xs = task.encode(batch, generator)
        return xs.expand(steps, *xs.shape[1:])

    return dataclasses.replace(task, encode=encode)
