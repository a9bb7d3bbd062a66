"""Which answers are asked for: one a sample, or one at each step that has a label."""

from __future__ import annotations

from torch import Tensor

from snn4.core.errors import ShapeError
from snn4.data import Split
from snn4.training.task import Task

__all__ = ["UNLABELLED", "answered", "check_shapes", "loss_of"]

UNLABELLED = -1
"""The class of a step that has none."""


def answered(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The answers that a loss is taken over, and their classes; steps without a label are left out.

    Args:
        logits: one answer a sample, or a step.
        targets: the classes; a step that has none has -1.

    Shape:
        (B, C), (B,), kept; or (T, B, C), (B, T) -> (M, C), (M,) for M steps with a label.

    Example:
        >>> import torch
        >>> answers, classes = answered(torch.zeros(3, 1, 2), torch.tensor([[1, -1, 0]]))
        >>> answers.shape, classes
        (torch.Size([2, 2]), tensor([1, 0]))
    """
    if targets.ndim == 1:
        return logits, targets
    classes = targets.T
    known = classes != UNLABELLED
    return logits[known], classes[known]


def loss_of(task: Task, ys: Tensor, targets: Tensor, answers: Tensor, wanted: Tensor) -> Tensor:
    """What training makes small, from the outputs of the whole sequence; `answers` and `wanted` are of `answered`."""
    if task.objective is not None:
        return task.objective(ys, targets)
    # a batch without any label teaches nothing
    return task.loss(answers, wanted) if len(wanted) else answers.sum()


def check_shapes(ys: Tensor, logits: Tensor, split: Split) -> None:
    """Refuse outputs that no loss can be had from, with the reason.

    Raises:
        ShapeError: see `evaluate`.
    """
    shape, answer = tuple(ys.shape), tuple(logits.shape)
    if ys.ndim < 2 or ys.shape[0] == 0:
        raise ShapeError(
            f"the network gave outputs of shape {shape}",
            "(T, B, classes) with T >= 1",
            "Does task.encode put time first? snn4.data.repeat(x, steps=8) does.",
        )
    by_step = split.targets.ndim == 2
    if by_step and (logits.ndim != 3 or logits.shape[:2] != (split.targets.shape[1], ys.shape[1])):
        steps = split.targets.shape[1]
        raise ShapeError(
            f"task.readout made answers of shape {answer} from outputs of shape {shape}",
            f"({steps}, {ys.shape[1]}, classes), since each of {steps} steps has a class",
            "It keeps the time, as `lambda ys: ys` does; steps that are to have no answer have the class -1.",
        )
    if not by_step and (logits.ndim != 2 or logits.shape[0] != ys.shape[1]):
        raise ShapeError(
            f"task.readout made answers of shape {answer} from outputs of shape {shape}",
            f"({ys.shape[1]}, classes)",
            "It takes the time away and leaves the rest, as `lambda ys: ys.mean(0)` does.",
        )
    low, high = int(split.targets.min()), int(split.targets.max())
    if low < (UNLABELLED if by_step else 0) or high < 0 or high >= answer[-1]:
        unlabelled = ", or -1 for a step without a label; at least one has one" if by_step else ""
        raise ShapeError(
            f"the targets run from {low} to {high}",
            f"classes from 0 to {answer[-1] - 1}, as the network has {answer[-1]} outputs{unlabelled}",
            "Give the last layer as many outputs as there are classes.",
        )
