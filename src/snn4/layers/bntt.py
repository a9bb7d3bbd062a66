"""BNTT: batch norm through time, a norm of its own for each step.

    y[t] = gamma[t] (x[t] - mean[t]) / sqrt(var[t] + eps)        mean[t], var[t] over batch and space

There is no bias: it would make neurons fire without input. gamma, mean and var are (T, C). Where all gamma[t] of a
layer are near zero from some step on, later steps tell nothing, and inference may stop there.

A sequence may be cut, in training too: each step has its own statistics.

Paper: [kim2021bntt]
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.layers.timed_norm import TimedNorm

__all__ = ["BNTT1d", "BNTT2d"]


class _BNTT(TimedNorm):
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, steps: int, *, eps: float = 1e-4, momentum: float = 0.1) -> None:
        super().__init__(num_features, steps)
        if not (eps > 0 and 0 < momentum <= 1):
            raise OptionError(f"{type(self).__name__} got eps={eps}, momentum={momentum}", "eps > 0, 0 < momentum <= 1")
        self.eps, self.momentum = eps, momentum
        self.weight = torch.nn.Parameter(torch.ones(steps, num_features))
        self.register_buffer("running_mean", torch.zeros(steps, num_features))
        self.register_buffer("running_var", torch.ones(steps, num_features))

    def steps_from(self, xs: Float[Tensor, "T B C *sizes"], start: int) -> Float[Tensor, "T B C *sizes"]:
        """Each step by its own norm. Shape: (T, B, C, *), kept."""
        return torch.stack(
            [
                torch.nn.functional.batch_norm(
                    x,
                    self.running_mean[t],
                    self.running_var[t],
                    self.weight[t],
                    None,
                    self.training,
                    self.momentum,
                    self.eps,
                )
                for t, x in enumerate(xs, start=start)
            ]
        )


class BNTT1d(_BNTT):
    """Batch norm through time. Shape: (T, B, C) or (T, B, C, L), kept.

    Args:
        num_features: channels.
        steps: the longest sequence.
        eps: the paper's 1e-4.
        momentum: of the running statistics.

    Raises:
        OptionError: sizes below 1.
        ShapeError: other channels than these.
        StateError: a sequence that is longer.
    """

    features = (1, 2)


class BNTT2d(_BNTT):
    """Batch norm through time. Shape: (T, B, C, H, W), kept.

    Args:
        num_features: channels.
        steps: the longest sequence.
        eps: the paper's 1e-4.
        momentum: of the running statistics.

    Raises:
        OptionError: sizes below 1.
        ShapeError: other channels than these.
        StateError: a sequence that is longer.

    Example:
        >>> y = BNTT2d(3, steps=2)(torch.randn(2, 8, 3, 5, 5) * torch.tensor([1.0, 9.0]).view(2, 1, 1, 1, 1))
        >>> [round(s, 2) for s in y.std((1, 2, 3, 4), correction=0).tolist()]
        [1.0, 1.0]
    """

    features = (3,)
