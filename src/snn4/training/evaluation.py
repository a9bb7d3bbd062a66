"""How good a network is on a split, measured once and reported in full."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from snn4.core.errors import NotFiniteError, OptionError
from snn4.data import Split
from snn4.training import randomness
from snn4.training.answers import answered, check_shapes
from snn4.training.batches import batch_of, device_of
from snn4.training.task import Task

__all__ = ["Evaluation", "evaluate"]


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` found.

    Where each step has a class, every labelled step counts like a sample.

    Args:
        loss: mean of the task's loss over the samples.
        accuracy: share of samples whose class was found.
        confusion: how often class i (row) was taken for class j (column). Shape (C, C), int64.
        accuracy_by_step: accuracy of the answer after the first t steps, t = 1 ... T; where each step has a class, of
            the answers at the first t steps, and 0 before the first label. The last alone where nobody asked for it.
        predictions: the class found, in the order of the split, also where there is no label. Shape (N,) or (N, T),
            int64.
    """

    loss: float
    accuracy: float
    confusion: Tensor
    accuracy_by_step: list[float]
    predictions: Tensor

    def __str__(self) -> str:
        steps = len(self.accuracy_by_step)
        return f"accuracy {self.accuracy:.2%}, loss {self.loss:.4f}, {len(self.predictions)} samples, T = {steps}"


def evaluate(
    net: torch.nn.Module,
    task: Task,
    split: Split,
    batch_size: int = 256,
    *,
    seed: int = 0,
    after_batch: Callable[[], None] | None = None,
    over_time: bool = True,
) -> Evaluation:
    """Measure a network on a split, in eval mode and without gradients; nothing is changed by it.

    Args:
        net: maps (T, B, *features) to (T, B, C).
        task: its `encode`, `readout` and `loss` are used.
        split: what to measure on.
        batch_size: samples a forward pass; in eval mode it changes speed and memory only, but for an encoder that
            draws random numbers, which draws others.
        seed: of the random numbers that the encoder and the network may draw; torch's global ones are left alone.
        after_batch: is called after each batch, and may raise to stop.
        over_time: also ask for the answer after each step; for long sequences that takes as long as the network.

    Raises:
        OptionError: an empty split, or a batch size below 1.
        ShapeError: outputs or answers of the wrong shape, or a class that the network does not have.
        NotFiniteError: the loss is NaN or infinite.

    Example:
        >>> task = Task(lambda x, _: x[None], lambda ys: ys.mean(0), torch.nn.functional.cross_entropy)
        >>> split = Split(torch.eye(2), torch.tensor([0, 1]))
        >>> print(evaluate(torch.nn.Identity(), task, split))
        accuracy 100.00%, loss 0.3133, 2 samples, T = 1
    """
    if len(split) == 0:
        raise OptionError("evaluate got an empty split", "at least one sample", "Look at how the data was divided.")
    if batch_size < 1:
        raise OptionError(f"evaluate got batch_size={batch_size}", "batch_size >= 1", "256 is a good start.")
    place = device_of(net)
    numbers = randomness.generator(place, seed)
    loss, classes = 0.0, 0
    tallies: list[_Tally] = []
    with torch.no_grad(), _eval_mode(net), randomness.scope(net, seed):
        for chosen in torch.arange(len(split)).split(batch_size):
            inputs, targets = batch_of(split, chosen, place)
            ys = net(task.encode(inputs, numbers))
            logits = task.readout(ys)
            if not tallies:
                check_shapes(ys, logits, split)
                classes = logits.shape[-1]
            answers, wanted = answered(logits, targets)
            if len(wanted):
                loss += task.loss(answers, wanted).item() * len(wanted)
            if targets.ndim == 2:
                tallies.append(_by_step(logits, targets))
            else:
                earlier = [task.readout(ys[:t]) for t in range(1, len(ys))] if over_time else []
                tallies.append(_by_sample([*earlier, logits], targets))
            if after_batch is not None:
                after_batch()
    right = torch.stack([tally.right for tally in tallies]).sum(0)
    asked = torch.stack([tally.asked for tally in tallies]).sum(0)
    loss /= int(asked[-1])
    if loss != loss or abs(loss) == float("inf"):
        raise NotFiniteError(
            f"the loss over {len(split)} samples is {loss}",
            "a finite number",
            "Is a weight or an input not finite? snn4.training.find_non_finite(net, xs, forward) names the layer.",
        )
    predictions = torch.cat([tally.found for tally in tallies])
    wanted = split.targets.cpu()
    known = wanted >= 0
    pairs = wanted[known] * classes + predictions[known]
    accuracies: list[float] = (right / asked.clamp(min=1)).tolist()
    return Evaluation(
        loss=loss,
        accuracy=int(right[-1]) / int(asked[-1]),
        confusion=torch.bincount(pairs, minlength=classes * classes).reshape(classes, classes),
        accuracy_by_step=accuracies,
        predictions=predictions,
    )


class _Tally(NamedTuple):
    """The answers to one batch, as if it had ended after the first step, the second, ...: how many were right."""

    right: Tensor
    asked: Tensor
    found: Tensor


def _by_sample(logits: list[Tensor], targets: Tensor) -> _Tally:
    """Each sample has a class: the answers after so many steps, the last after all. Shape of each: (B, C)."""
    answers = torch.stack([each.argmax(1) for each in logits])
    right = (answers == targets).sum(1).cpu()
    return _Tally(right, torch.full_like(right, len(targets)), answers[-1].cpu())


def _by_step(logits: Tensor, targets: Tensor) -> _Tally:
    """Each step has a class, or -1. Shapes: (T, B, C), (B, T)."""
    answers, known = logits.argmax(2).T, targets >= 0
    right = ((answers == targets) & known).sum(0).cumsum(0)
    return _Tally(right.cpu(), known.sum(0).cumsum(0).cpu(), answers.cpu())


@contextlib.contextmanager
def _eval_mode(net: torch.nn.Module) -> Iterator[None]:
    """Inside, the network is in eval mode; outside, each module is in the mode that it was in."""
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
