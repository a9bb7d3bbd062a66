"""TEBN: batch norm over time with a learned weight for each step.

    y[t] = p[t] ( gamma (x[t] - mean) / sqrt(var + eps) + b )        mean, var over time, batch and space

Statistics are those of the whole sequence; p, one number a step, which starts at 1, lets their scale move with time.
In eval mode a sequence may be cut. In training, as for every batch norm, the statistics are those of the stretch that
it is given.

Paper: [duan2022tebn]
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.layers.norms import BatchNorm1d, BatchNorm2d
from snn4.layers.timed_norm import TimedNorm

__all__ = ["TEBN1d", "TEBN2d"]


class _TEBN(TimedNorm):
    norm: BatchNorm1d | BatchNorm2d

    def __init__(self, norm: BatchNorm1d | BatchNorm2d, steps: int) -> None:
        super().__init__(norm.num_features, steps)
        self.norm = norm
        self.p = torch.nn.Parameter(torch.ones(steps))

    @property
    def weight(self) -> Tensor:
        """gamma."""
        return self.norm.weight

    @property
    def bias(self) -> Tensor:
        """b."""
        return self.norm.bias

    def steps_from(self, xs: Float[Tensor, "T B C *sizes"], start: int) -> Float[Tensor, "T B C *sizes"]:
        """p[t] times the norm. Shape: (T, B, C, *), kept."""
        p = self.p[start : start + xs.shape[0]]
        ys: Tensor = self.norm(xs)
        # under autocast p has more bits than what the next layer takes
        return (ys * p.view(-1, *[1] * (xs.ndim - 1))).to(ys.dtype)


class TEBN1d(_TEBN):
    """Temporal effective batch norm. Shape: (T, B, C) or (T, B, C, L), kept.

    Args:
        num_features: channels.
        steps: the longest sequence.
        options: as in torch.nn.BatchNorm1d.

    Raises:
        OptionError: sizes below 1.
        ShapeError: other channels than these.
        StateError: a sequence that is longer.
    """

    features = (1, 2)

    def __init__(self, num_features: int, steps: int, **options: Any) -> None:
        super().__init__(BatchNorm1d(num_features, **options), steps)


class TEBN2d(_TEBN):
    """Temporal effective batch norm. Shape: (T, B, C, H, W), kept.

    Args:
        num_features: channels.
        steps: the longest sequence.
        options: as in torch.nn.BatchNorm2d.

    Raises:
        OptionError: sizes below 1.
        ShapeError: other channels than these.
        StateError: a sequence that is longer.

    Example:
        >>> norm = TEBN2d(3, steps=4)
        >>> _ = torch.nn.init.constant_(norm.p, 0.5)
        >>> round(norm(torch.randn(4, 8, 3, 5, 5)).std(correction=0).item(), 3)
        0.5
    """

    features = (3,)

    def __init__(self, num_features: int, steps: int, **options: Any) -> None:
        super().__init__(BatchNorm2d(num_features, **options), steps)
