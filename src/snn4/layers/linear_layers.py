"""Layers with weights, over sequences."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.checks import check_sequence
from snn4.layers.convolution import Convolution
from snn4.layers.folded import Folded
from snn4.through_time.synapse import Synapse, linear_traced

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Linear",
    "PReLU",
]


class Linear(Synapse, torch.nn.Linear):
    """torch.nn.Linear at every step. Shape: (T, B, *, in_features) -> (T, B, *, out_features)."""

    def forward(self, input: Float[Tensor, "T B *other in"]) -> Float[Tensor, "T B *other out"]:  # noqa: A002  (torch's name)
        """The layer at every step."""
        check_sequence("Linear", input)
        return super().forward(input) if self.rule is None else self.rule.through(self, input)

    def apply_weight(self, xs: Tensor, trace: Tensor | None, *, weight: Tensor, bias: Tensor | None) -> Tensor:
        """x W^T + b, with the weight's gradient from the trace. Shape: (T, B, *, in) -> (T, B, *, out)."""
        if trace is None:
            return torch.nn.functional.linear(xs, weight, bias)
        return linear_traced(xs, trace, weight, bias)


class Conv1d(Convolution, torch.nn.Conv1d):
    """torch.nn.Conv1d at every step. Shape: (T, B, C, L) -> (T, B, C', L')."""

    features = (2,)


class Conv2d(Convolution, torch.nn.Conv2d):
    """torch.nn.Conv2d at every step. Shape: (T, B, C, H, W) -> (T, B, C', H', W')."""

    features = (3,)


class Conv3d(Convolution, torch.nn.Conv3d):
    """torch.nn.Conv3d at every step. Shape: (T, B, C, D, H, W) -> (T, B, C', D', H', W')."""

    features = (4,)


class ConvTranspose1d(Convolution, torch.nn.ConvTranspose1d):
    """torch.nn.ConvTranspose1d at every step. Shape: (T, B, C, L) -> (T, B, C', L')."""

    features = (2,)


class ConvTranspose2d(Convolution, torch.nn.ConvTranspose2d):
    """torch.nn.ConvTranspose2d at every step. Shape: (T, B, C, H, W) -> (T, B, C', H', W')."""

    features = (3,)


class ConvTranspose3d(Convolution, torch.nn.ConvTranspose3d):
    """torch.nn.ConvTranspose3d at every step. Shape: (T, B, C, D, H, W) -> (T, B, C', D', H', W')."""

    features = (4,)


class PReLU(Folded, torch.nn.PReLU):
    """torch.nn.PReLU at every step; its slopes belong to the channels, axis 2. Shape: (T, B, C, *), kept."""
