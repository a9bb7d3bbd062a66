"""Pooling and reshaping, over sequences."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from snn4.kernels.spikes import pool_spikes
from snn4.layers.folded import Folded, fold, unfold

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "Flatten",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "PixelShuffle",
    "PixelUnshuffle",
    "Unflatten",
    "Upsample",
    "ZeroPad2d",
]


class _PoolsSpikes(Folded):
    """With `memory="bits"`, spikes in windows that lie side by side are pooled by a kernel that keeps bits."""

    kind: ClassVar[Literal["max", "mean"]]

    def window(self) -> tuple[int, int] | None:
        """Height and width of windows that lie side by side and cover each element at most once; None for others."""
        options: Any = self
        size, stride, padding = (_pair(value) for value in (options.kernel_size, options.stride, options.padding))
        plain = size == stride and padding == (0, 0) and not options.ceil_mode
        if self.kind == "max":
            plain = plain and _pair(options.dilation) == (1, 1) and not options.return_indices
        else:
            plain = plain and options.divisor_override is None
        return size if plain else None

    def of_spikes(self, x: Tensor) -> Tensor | None:
        """The layer at every step, keeping bits; None where `x` is not made of spikes, or the kernel refuses."""
        window = self.window()
        if window is None:
            return None
        self.check(x)
        ys = pool_spikes(fold(x), window, self.kind)
        return None if ys is None else unfold(ys, *x.shape[:2])

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The layer at every step."""
        ys = self.of_spikes(x) if self.memory == "bits" else None
        return super().forward(x, *args, **kwargs) if ys is None else ys


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    """As torch reads a size: one number for both axes, or two."""
    both = (value, value) if isinstance(value, int) else tuple(value) * (2 // len(value))
    return both[0], both[1]


class MaxPool1d(Folded, torch.nn.MaxPool1d):
    """torch.nn.MaxPool1d at every step. Shape: (T, B, C, L) -> (T, B, C, L')."""

    features = (2,)


class MaxPool2d(_PoolsSpikes, torch.nn.MaxPool2d):
    """torch.nn.MaxPool2d at every step. Shape: (T, B, C, H, W) -> (T, B, C, H', W')."""

    features = (3,)
    kind = "max"


class MaxPool3d(Folded, torch.nn.MaxPool3d):
    """torch.nn.MaxPool3d at every step. Shape: (T, B, C, D, H, W) -> (T, B, C, D', H', W')."""

    features = (4,)


class AvgPool1d(Folded, torch.nn.AvgPool1d):
    """torch.nn.AvgPool1d at every step. Shape: (T, B, C, L) -> (T, B, C, L')."""

    features = (2,)


class AvgPool2d(_PoolsSpikes, torch.nn.AvgPool2d):
    """torch.nn.AvgPool2d at every step. Shape: (T, B, C, H, W) -> (T, B, C, H', W')."""

    features = (3,)
    kind = "mean"


class AvgPool3d(Folded, torch.nn.AvgPool3d):
    """torch.nn.AvgPool3d at every step. Shape: (T, B, C, D, H, W) -> (T, B, C, D', H', W')."""

    features = (4,)


class AdaptiveMaxPool1d(Folded, torch.nn.AdaptiveMaxPool1d):
    """torch.nn.AdaptiveMaxPool1d at every step. Shape: (T, B, C, L) -> (T, B, C, L')."""

    features = (2,)


class AdaptiveMaxPool2d(Folded, torch.nn.AdaptiveMaxPool2d):
    """torch.nn.AdaptiveMaxPool2d at every step. Shape: (T, B, C, H, W) -> (T, B, C, H', W')."""

    features = (3,)


class AdaptiveMaxPool3d(Folded, torch.nn.AdaptiveMaxPool3d):
    """torch.nn.AdaptiveMaxPool3d at every step. Shape: (T, B, C, D, H, W) -> (T, B, C, D', H', W')."""

    features = (4,)


class AdaptiveAvgPool1d(Folded, torch.nn.AdaptiveAvgPool1d):
    """torch.nn.AdaptiveAvgPool1d at every step. Shape: (T, B, C, L) -> (T, B, C, L')."""

    features = (2,)


class AdaptiveAvgPool2d(Folded, torch.nn.AdaptiveAvgPool2d):
    """torch.nn.AdaptiveAvgPool2d at every step. Shape: (T, B, C, H, W) -> (T, B, C, H', W')."""

    features = (3,)


class AdaptiveAvgPool3d(Folded, torch.nn.AdaptiveAvgPool3d):
    """torch.nn.AdaptiveAvgPool3d at every step. Shape: (T, B, C, D, H, W) -> (T, B, C, D', H', W')."""

    features = (4,)


class Flatten(Folded, torch.nn.Flatten):
    """torch.nn.Flatten at every step. Time and batch stay.

    Shape: (T, B, *features) -> (T, B, F).
    """


class Unflatten(Folded, torch.nn.Unflatten):
    """torch.nn.Unflatten at every step. Axis 0 is the batch of one step.

    Shape: (T, B, *features) -> (T, B, *features').
    """


class Upsample(Folded, torch.nn.Upsample):
    """torch.nn.Upsample at every step. Shape: (T, B, C, *sizes) -> (T, B, C, *sizes')."""

    features = (2, 3, 4)


class ZeroPad2d(Folded, torch.nn.ZeroPad2d):
    """torch.nn.ZeroPad2d at every step. Shape: (T, B, C, H, W) -> (T, B, C, H', W')."""

    features = (3,)


class PixelShuffle(Folded, torch.nn.PixelShuffle):
    """torch.nn.PixelShuffle at every step. Shape: (T, B, C r^2, H, W) -> (T, B, C, H r, W r)."""

    features = (3,)


class PixelUnshuffle(Folded, torch.nn.PixelUnshuffle):
    """torch.nn.PixelUnshuffle at every step. Shape: (T, B, C, H r, W r) -> (T, B, C r^2, H, W)."""

    features = (3,)
