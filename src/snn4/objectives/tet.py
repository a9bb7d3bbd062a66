r"""TET: every step answers for itself, so that the network is right early and its loss has flatter minima.

    L = (1 - w) (1/T) sum_t CE(z[t], y)  +  w mean_{t,b,c} (z[t,b,c] - phi)^2

The second term keeps the outputs of all steps near one constant, `phi`, the threshold. It is not a one-hot target.
Answers are read from the mean over time.

Paper: [deng2022tet].
Differs from the paper: nothing. Its weight is 0.05 on CIFAR and 0.001 on DVS-CIFAR10 and ImageNet.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.objectives.cross_entropy import check_smoothing, check_targets

__all__ = ["tet"]


def tet(
    outputs: Tensor, targets: Tensor, weight: float = 0.05, phi: float = 1.0, label_smoothing: float = 0.0
) -> Tensor:
    """Mean of the steps' cross-entropies, with a pull of all outputs towards a constant.

    Args:
        outputs: the outputs of all steps.
        targets: the classes, int64.
        weight: w above, of the pull.
        phi: where it pulls to.
        label_smoothing: see `cross_entropy`.

    Shape:
        (T, B, C), (B,) -> ().

    Raises:
        ShapeError: outputs or targets of the wrong shape.
        OptionError: a weight outside of [0, 1], a smoothing outside of [0, 1), or a phi that is no number.

    Example:
        >>> tet(torch.tensor([[[2.0, 0.0]], [[0.0, 0.0]]]), torch.tensor([0]))
        tensor(0.4395)
    """
    check_targets("tet", outputs, targets, "(T, B, C)")
    check_smoothing("tet", label_smoothing)
    if not 0 <= weight <= 1 or not math.isfinite(phi):
        raise OptionError(
            f"tet got weight={weight}, phi={phi}",
            "0 <= weight <= 1 and a finite phi",
            "The paper's weights are 0.05 and 0.001.",
        )
    each = torch.nn.functional.cross_entropy(
        outputs.flatten(0, 1), targets.repeat(len(outputs)), label_smoothing=label_smoothing
    )
    return (1 - weight) * each + weight * (outputs - phi).square().mean()
