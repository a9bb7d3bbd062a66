r"""Squared error of the output neurons' firing rates: the right one fires, the others are silent.

    r[b,c] = (1/T) sum_t s[t,b,c];    L = mean_{b,c} (r[b,c] - r*[b,c])^2
    r*[b,c] = high where c is the class, low elsewhere

For networks whose last layer spikes; their answer is the neuron that fired most.

Paper: [wu2018stbp].
Differs from the paper: the mean over batch and classes, where the paper has half the sum over classes; the two rates
can be chosen, the paper's are 1 and 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.objectives.cross_entropy import check_targets

__all__ = ["count_mse"]


def count_mse(spikes: Tensor, targets: Tensor, high: float = 1.0, low: float = 0.0) -> Tensor:
    """Squared distance of firing rates from a code of the class.

    Args:
        spikes: what the output neurons fired.
        targets: the classes, int64.
        high: the rate, in spikes a step, that the neuron of the class is to have.
        low: the rate of the others; a little above 0 keeps their gradient alive.

    Shape:
        (T, B, C), (B,) -> ().

    Raises:
        ShapeError: spikes or targets of the wrong shape.
        OptionError: a rate that is no finite number.

    Example:
        >>> spikes = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]], [[1.0, 1.0]], [[1.0, 0.0]]])
        >>> count_mse(spikes, torch.tensor([0]))
        tensor(0.0625)
    """
    check_targets("count_mse", spikes, targets, "(T, B, C)")
    if not (math.isfinite(high) and math.isfinite(low)):
        raise OptionError(f"count_mse got high={high}, low={low}", "two finite rates", "Write high=1.0, low=0.05.")
    rates = spikes.mean(0)
    wanted = torch.full_like(rates, low).scatter(1, targets[:, None], high)
    return (rates - wanted).square().mean()
