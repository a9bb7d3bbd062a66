"""Layers with weights, over sequences."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.checks import check_sequence
from snn4.layers.folded import Folded
from snn4.layers.memory import Keeps, KeepsInput, Memory

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


class Linear(Keeps, torch.nn.Linear):
    """torch.nn.Linear at every step. Shape: (T, B, *, in_features) -> (T, B, *, out_features).

    Args:
        in_features: size of each input.
        out_features: size of each output.
        bias: whether a bias is learned.
        device: as in torch.
        dtype: as in torch.
        memory: `"bits"` keeps an input of spikes as bits for backward(), 32 times smaller, with the same gradient;
            `"dense"` as it is; `None` as `snn4.kernels.saved_as` around the call says.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        memory: Memory | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        self.keep(memory)

    def forward(self, input: Float[Tensor, "T B *other in"]) -> Float[Tensor, "T B *other out"]:  # noqa: A002  (torch's name)
        """The layer at every step."""
        check_sequence("Linear", input)
        with self.saving():
            return super().forward(input)


class Conv1d(KeepsInput, Folded, torch.nn.Conv1d):
    """torch.nn.Conv1d at every step. Shape: (T, B, C, L) -> (T, B, C', L')."""

    features = (2,)


class Conv2d(KeepsInput, Folded, torch.nn.Conv2d):
    """torch.nn.Conv2d at every step. Shape: (T, B, C, H, W) -> (T, B, C', H', W')."""

    features = (3,)


class Conv3d(KeepsInput, Folded, torch.nn.Conv3d):
    """torch.nn.Conv3d at every step. Shape: (T, B, C, D, H, W) -> (T, B, C', D', H', W')."""

    features = (4,)


class ConvTranspose1d(KeepsInput, Folded, torch.nn.ConvTranspose1d):
    """torch.nn.ConvTranspose1d at every step. Shape: (T, B, C, L) -> (T, B, C', L')."""

    features = (2,)


class ConvTranspose2d(KeepsInput, Folded, torch.nn.ConvTranspose2d):
    """torch.nn.ConvTranspose2d at every step. Shape: (T, B, C, H, W) -> (T, B, C', H', W')."""

    features = (3,)


class ConvTranspose3d(KeepsInput, Folded, torch.nn.ConvTranspose3d):
    """torch.nn.ConvTranspose3d at every step. Shape: (T, B, C, D, H, W) -> (T, B, C', D', H', W')."""

    features = (4,)


class PReLU(Folded, torch.nn.PReLU):
    """torch.nn.PReLU at every step; its slopes belong to the channels, axis 2. Shape: (T, B, C, *), kept."""
