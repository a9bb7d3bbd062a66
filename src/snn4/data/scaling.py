"""From stored bytes to the numbers that a network wants."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from snn4.core.errors import OptionError, ShapeError

__all__ = ["normalise", "unit"]


def unit(x: Tensor) -> Tensor:
    """Bytes 0..255 as float32 0..1; floating point is handed back as it is.

    Shape:
        any; the same.

    Raises:
        ShapeError: integers other than uint8, whose range is not known.

    Example:
        >>> unit(torch.tensor([0, 51, 255], dtype=torch.uint8))
        tensor([0.0000, 0.2000, 1.0000])
    """
    if x.dtype == torch.uint8:
        return x / 255
    if x.is_floating_point():
        return x
    raise ShapeError(f"unit got x of type {str(x.dtype).removeprefix('torch.')}", "uint8 or floating point")


def normalise(x: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Mean 0 and standard deviation 1, channel by channel.

        (unit(x) - mean) / std

    Args:
        x: images, as bytes or scaled to 0..1.
        mean, std: one number a channel, or a single one for all; `DataSet` brings them.

    Shape:
        (*, C, H, W); the same. With a single mean and std any shape.

    Raises:
        ShapeError: `x` has another number of channels.
        OptionError: a standard deviation that is not positive.

    Example:
        >>> x = torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 2, 1, 1)
        >>> normalise(x, mean=(0.5, 0.5), std=(0.25, 0.5)).flatten()
        tensor([-2.,  1.])
    """
    if len(mean) != len(std) or not mean or min(std) <= 0:
        raise OptionError(
            f"normalise got mean {tuple(mean)} and std {tuple(std)}",
            "one of each a channel, every std above 0",
        )
    x = unit(x)
    if len(mean) == 1:
        return (x - mean[0]) / std[0]
    if x.dim() < 3 or x.shape[-3] != len(mean):
        raise ShapeError(
            f"normalise got x of shape {tuple(x.shape)} and {len(mean)} means", f"(..., {len(mean)}, height, width)"
        )
    shift, scale = (torch.tensor(values, dtype=x.dtype, device=x.device).reshape(-1, 1, 1) for values in (mean, std))
    return (x - shift) / scale
