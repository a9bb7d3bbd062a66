r"""Cross-entropy of an answer, with label smoothing.

    q = (1 - e) onehot(y) + e / C;    L = mean_b( -sum_c q[b,c] log softmax(z[b])[c] )

Paper: [szegedy2016inception], section 7, for the smoothing; without it, the cross-entropy as everybody knows it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snn4.core.errors import OptionError, ShapeError

__all__ = ["cross_entropy"]


def cross_entropy(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of one answer a sample, averaged over the batch.

    Args:
        logits: the answers, before softmax.
        targets: the classes, int64.
        label_smoothing: the share of the target that is spread over all classes.

    Shape:
        (B, C), (B,) -> ().

    Raises:
        ShapeError: answers or targets of the wrong shape, or a class beyond C.
        OptionError: a smoothing outside of [0, 1).

    Example:
        >>> cross_entropy(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
        tensor(0.1269)
    """
    check_targets("cross_entropy", logits, targets, "(B, C)")
    check_smoothing("cross_entropy", label_smoothing)
    return torch.nn.functional.cross_entropy(logits, targets, label_smoothing=label_smoothing)


def check_smoothing(owner: str, label_smoothing: float) -> None:
    """Refuse a share that leaves nothing for the class itself."""
    if not 0 <= label_smoothing < 1:
        raise OptionError(f"{owner} got label_smoothing={label_smoothing}", "0 <= label_smoothing < 1", "Try 0.1.")


def check_targets(owner: str, outputs: Tensor, targets: Tensor, shape: str) -> None:
    """Refuse outputs that are not of `shape`, "(B, C)" or "(T, B, C)", and targets that are not their classes."""
    axes = shape.count(",") + 1
    if outputs.ndim != axes or 0 in outputs.shape:
        more = "Take the time away first: outputs.mean(0)." if outputs.ndim > axes else "Is the time axis missing?"
        raise ShapeError(f"{owner} got outputs of shape {tuple(outputs.shape)}", f"{shape}, none of them 0", more)
    batch, classes = outputs.shape[-2:]
    if targets.shape != (batch,) or targets.dtype != torch.int64:
        raise ShapeError(
            f"{owner} got targets of shape {tuple(targets.shape)} and dtype {targets.dtype}",
            f"({batch},) of int64, the classes",
            "One-hot targets become classes with targets.argmax(1).",
        )
    # on a GPU this would wait for it; there, the loss itself reports a class out of range
    if targets.is_cuda:
        return
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= classes:
        raise ShapeError(
            f"{owner} got targets from {low} to {high}",
            f"classes from 0 to {classes - 1}",
            "Give the last layer as many outputs as there are classes.",
        )
