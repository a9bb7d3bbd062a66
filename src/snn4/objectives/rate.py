r"""Cross-entropy of the mean output: what is learned is the rate, in whichever steps it comes about.

    L = CE( (1/T) sum_t z[t], y )

Every step gets the same gradient. It is the standard direct training that TET is measured against.

Paper: [deng2022tet], where it is called SDT.
"""

from __future__ import annotations

from torch import Tensor

from snn4.objectives.cross_entropy import check_smoothing, check_targets, cross_entropy

__all__ = ["rate"]


def rate(outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of the outputs' mean over time.

    Args:
        outputs: the outputs of all steps.
        targets: the classes, int64.
        label_smoothing: see `cross_entropy`.

    Shape:
        (T, B, C), (B,) -> ().

    Raises:
        ShapeError: outputs or targets of the wrong shape.
        OptionError: a smoothing outside of [0, 1).

    Example:
        >>> import torch
        >>> rate(torch.tensor([[[2.0, 0.0]], [[0.0, 0.0]]]), torch.tensor([0]))
        tensor(0.3133)
    """
    check_targets("rate", outputs, targets, "(T, B, C)")
    check_smoothing("rate", label_smoothing)
    return cross_entropy(outputs.mean(0), targets, label_smoothing)
