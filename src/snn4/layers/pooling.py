"""Pooling and reshaping, over sequences."""

from __future__ import annotations

import torch

from snn4.layers.folded import Folded

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


class MaxPool1d(Folded, torch.nn.MaxPool1d):
    """torch.nn.MaxPool1d at every step. Shape: (T, B, C, L) -> (T, B, C, L')."""

    features = (2,)


class MaxPool2d(Folded, torch.nn.MaxPool2d):
    """torch.nn.MaxPool2d at every step. Shape: (T, B, C, H, W) -> (T, B, C, H', W')."""

    features = (3,)


class MaxPool3d(Folded, torch.nn.MaxPool3d):
    """torch.nn.MaxPool3d at every step. Shape: (T, B, C, D, H, W) -> (T, B, C, D', H', W')."""

    features = (4,)


class AvgPool1d(Folded, torch.nn.AvgPool1d):
    """torch.nn.AvgPool1d at every step. Shape: (T, B, C, L) -> (T, B, C, L')."""

    features = (2,)


class AvgPool2d(Folded, torch.nn.AvgPool2d):
    """torch.nn.AvgPool2d at every step. Shape: (T, B, C, H, W) -> (T, B, C, H', W')."""

    features = (3,)


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
