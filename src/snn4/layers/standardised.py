r"""Weight standardisation: each output's weights have mean 0 and length about 1, whatever is learned.

    W' = scale g (W - mean(W)) / sqrt(n var(W) + eps)          for each output, over its n weights;  g is learned

It stands where batch norm would need all steps at once: with time outermost, and for traces, which see weights and not
norms. With `scale = 2.74` it also makes up for spikes that come seldom, as a factor on the spikes would.

Paper: [qiao2019weight, xiao2022ottt], the second for eps and scale.
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from snn4.core.errors import OptionError

__all__ = ["Standardised", "standardised"]

Layer = TypeVar("Layer", bound=torch.nn.Module)


class Standardised(torch.nn.Module):
    """The parametrisation: the weight that is used, of the weight that is kept."""

    def __init__(self, weight: Tensor, scale: float, eps: float) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones_like(weight[(slice(None), *(slice(1) for _ in weight.shape[1:]))]))
        self.scale, self.eps = scale, eps

    def forward(self, weight: Tensor) -> Tensor:
        """Shape: (out, *), kept."""
        others = list(range(1, weight.ndim))
        centred = weight - weight.mean(others, keepdim=True)
        length = (weight[0].numel() * weight.var(others, keepdim=True) + self.eps).sqrt()
        return self.scale * self.gain * centred / length


def standardised(layer: Layer, scale: float = 1.0, eps: float = 1e-4) -> Layer:
    """Let a layer use its standardised weight; returns the same layer.

    The weight that is learned is then `layer.parametrizations.weight.original`.

    Args:
        layer: a linear layer or a convolution, not transposed.
        scale: factor on the weight; the paper's is 2.74 behind spikes, 1 behind the image.
        eps: keeps the length away from zero.

    Raises:
        OptionError: a layer without a weight of two axes and two inputs, one that has been changed like this already,
            or a scale or eps that is not above 0.

    Example:
        >>> from snn4 import nn
        >>> layer = standardised(nn.Linear(8, 4))
        >>> bool(layer.weight.sum(1).abs().max() < 1e-6)
        True
    """
    weight = getattr(layer, "weight", None)
    transposed = getattr(layer, "transposed", False)
    if not isinstance(weight, Tensor) or weight.ndim < 2 or weight[0].numel() < 2 or transposed:
        raise OptionError(
            f"standardised got {type(layer).__name__}",
            "a linear layer or a convolution with at least two inputs, not transposed",
            "A variance needs two numbers.",
        )
    if parametrize.is_parametrized(layer, "weight"):
        raise OptionError(f"standardised got {type(layer).__name__} again", "a layer whose weight is its own")
    if not (0 < scale < math.inf and 0 < eps < math.inf):
        raise OptionError(f"standardised got scale={scale}, eps={eps}", "numbers above 0")
    parametrize.register_parametrization(layer, "weight", Standardised(weight, scale, eps))
    return layer
