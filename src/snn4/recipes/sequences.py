"""What recipes over real sequences share: their options, and the way from stored frames to a loss.

The ANN of equal architecture is the same recurrent network with ReLUs in the neurons' place: it sees the same steps,
has the same weights, and the same integrators stand behind its output. Its only memory is its recurrent weights. The
activations of its quantised twin have the bits that tell T + 1 values apart, more than the one bit of a spike.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from snn4.core.errors import OptionError
from snn4.data import Augmentation, DataSet, Split, compose
from snn4.objectives import cross_entropy
from snn4.recipes.cells import Cell, Starts, network
from snn4.recipes.comparison import Experiment
from snn4.recipes.options import NeuronOptions, TrainingOptions
from snn4.training import Task

__all__ = ["SequenceConfig", "SequenceOptions", "averaged", "one_answer", "sequence_experiment", "step_answers"]


@dataclasses.dataclass(frozen=True)
class SequenceOptions:
    """What recipes and studies over sequences have in common; each has values of its own."""

    seed: int = 0
    """Of everything random: weights, splits, order."""
    epochs: int = 40
    """Passes over the training split."""
    steps: int = 100
    """Time steps; neighbouring frames are averaged until so many are left."""
    hidden: tuple[int, ...] = (128,)
    """Widths of the hidden layers."""
    recurrent: bool = True
    """Whether hidden layers feed back to themselves."""
    gain: float = 0.2
    """Of the recurrent weights at the start, an orthogonal matrix."""
    dropout: float = 0.2
    """Probability behind each hidden layer, one mask for all steps."""
    readout_tau: float = 20.0
    """Where the time constants of the integrators behind the output start, in steps; learned, one a class."""
    limit: int | None = None
    """Use only so many training samples."""
    starts: Starts = dataclasses.field(default_factory=Starts)
    neuron: NeuronOptions = dataclasses.field(
        default_factory=lambda: NeuronOptions(tau=20.0, learn_tau=True, surrogate="fastsigmoid")
    )
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(batch_size=64, learning_rate=1e-2)
    )


@dataclasses.dataclass(frozen=True)
class SequenceConfig(SequenceOptions):
    """Options of a recipe over sequences."""

    cell: Cell = "lif"
    """Hidden neurons: lif, with the options of `neuron`; alif, brf, se_adlif, tc_lif; and with --no-recurrent also
    dh_lif and psn. Each starts as its paper says."""


def sequence_experiment(
    recipe: str,
    title: str,
    config: SequenceOptions,
    cell: Cell,
    inputs: int,
    classes: int,
    validation: float,
    **more: Any,
) -> Experiment:
    """What such a recipe adds to the common course.

    Args:
        recipe: its name, which is that of its data set.
        title: one line.
        config: its options.
        cell: hidden neurons of the SNN.
        inputs: channels of the data.
        classes: outputs.
        validation: share of the training split that is set aside.
        more: further parts of the experiment.

    Raises:
        OptionError: an unknown cell, or one that cannot be recurrent.
    """
    build = network(
        inputs,
        config.hidden,
        classes,
        cell,
        recurrent=config.recurrent,
        gain=config.gain,
        dropout=config.dropout,
        readout_tau=config.readout_tau,
        starts=config.starts,
    )
    widths = "-".join(map(str, (inputs, *config.hidden, classes)))
    words = f"{'recurrent' if config.recurrent else 'feed-forward'} {widths}, leaky integrators behind the output"
    return Experiment(recipe, title, recipe, validation, words, build, **more)


def one_answer(
    steps: int, scale: float = 1.0, *, shares: bool = False, augment: Augmentation | None = None
) -> Callable[[DataSet, TrainingOptions], Task]:
    """The task of one class a sample: the mean of the integrators over time, cross-entropy.

    Args:
        steps: neighbouring frames are averaged until so many are left.
        scale: what stored values are multiplied by.
        shares: the mean is that of the softmax at each step, so that no step counts more than another.
        augment: of stored frames, as images of one channel (B, 1, T, C), before they are moved.

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

        changes = [] if augment is None else [_framed(augment)]
        changes += [_moved(training.shift)] if training.shift else []
        return Task(encode, _mean_share if shares else _mean, loss, compose(*changes) if changes else None)

    return task


def _mean(ys: Tensor) -> Tensor:
    return ys.mean(0)


def _mean_share(ys: Tensor) -> Tensor:
    # as logarithms, whose softmax they are again
    return ys.log_softmax(-1).logsumexp(0) - math.log(len(ys))


def averaged(steps: int) -> Callable[[DataSet], DataSet]:
    """Average neighbouring stored frames until so many are left, once and for all; the values are then float32."""

    def fewer(split: Split) -> Split:
        values = split.inputs.flatten(2).transpose(1, 2)
        pooled = [torch.nn.functional.adaptive_avg_pool1d(part.float(), steps) for part in values.split(1024)]
        return Split(torch.cat(pooled).transpose(1, 2).contiguous(), split.targets)

    return lambda data: dataclasses.replace(data, train=fewer(data.train), test=fewer(data.test))


def _framed(augment: Augmentation) -> Augmentation:
    """An augmentation of images, of stored frames."""
    return lambda batch, generator: augment(batch.flatten(2).unsqueeze(1), generator).squeeze(1)


def _moved(most: int) -> Callable[[Tensor, Generator], Tensor]:
    """Move each sample by up to so many stored frames, and by up to so many channels."""

    def augment(batch: Tensor, generator: Generator) -> Tensor:
        frames = batch.flatten(2)
        padded = torch.nn.functional.pad(frames, (most,) * 4)
        # every place that the window may take; one of them is copied for each sample
        places = padded.unfold(1, frames.shape[1], 1).unfold(2, frames.shape[2], 1)
        samples = torch.arange(len(frames), device=frames.device)
        rows, columns = (_draw(len(frames), 2 * most + 1, generator).to(frames.device) for _ in "tc")
        return places[samples, rows, columns]

    return augment


def _draw(count: int, end: int, generator: Generator) -> Tensor:
    return torch.randint(end, (count,), generator=generator, device=generator.device)


def step_answers(_data: DataSet, training: TrainingOptions) -> Task:
    """The task of one class a step: the integrators at that step, cross-entropy over steps that have a label."""

    def encode(batch: Tensor, _generator: Generator) -> Tensor:
        return batch.flatten(2).float().transpose(0, 1)

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(logits, targets, label_smoothing=training.label_smoothing)

    return Task(encode, lambda ys: ys, loss)
