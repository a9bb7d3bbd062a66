"""tdBN: batch norm over time, scaled so that what reaches a neuron fits its threshold.

    y = gamma alpha v_threshold (x - mean) / sqrt(var + eps) + b        mean, var over time, batch and space

With gamma = 1 and b = 0 the input of the neuron is about N(0, (alpha v_threshold)^2).

Paper: [zheng2021tdbn]
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from snn4.core.errors import OptionError
from snn4.layers.norms import BatchNorm1d, BatchNorm2d, Scaled

__all__ = ["TdBN1d", "TdBN2d"]


def _check(owner: str, v_threshold: float, alpha: float, options: dict[str, Any]) -> float:
    if not (v_threshold > 0 and alpha > 0):
        raise OptionError(f"{owner} got v_threshold={v_threshold}, alpha={alpha}", "both > 0")
    if options.get("affine") is False:
        raise OptionError(f"{owner} got affine=False", "a layer with weight and bias", "Use nn.BatchNorm2d for none.")
    return float(v_threshold * alpha)


class _Td(Scaled):
    """The scale alpha v_threshold: it multiplies the normalised input, not the bias."""

    scale: float

    def rescaled(self, ys: Tensor, bias: Tensor) -> Tensor:
        """gamma z + b -> gamma scale z + b."""
        shape = (1, 1, -1) + (1,) * (ys.ndim - 3)
        if self.scale == 1:
            return ys
        # under autocast the bias has more bits than what the next layer takes
        return (ys * self.scale + (1 - self.scale) * bias.view(shape)).to(ys.dtype)


class TdBN1d(_Td, BatchNorm1d):
    """Threshold-dependent batch norm. Shape: (T, B, C) or (T, B, C, L), kept.

    Args:
        num_features: channels.
        v_threshold: threshold of the neuron that follows.
        alpha: 1, or 1 / sqrt(2) for each of two branches that are added.
        options: as in torch.nn.BatchNorm1d.
    """

    def __init__(self, num_features: int, v_threshold: float = 1.0, alpha: float = 1.0, **options: Any) -> None:
        super().__init__(num_features, **options)
        self.scale = _check("TdBN1d", v_threshold, alpha, options)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise over time, batch and space."""
        return self.rescaled(super().forward(x), self.bias)


class TdBN2d(_Td, BatchNorm2d):
    """Threshold-dependent batch norm. Shape: (T, B, C, H, W), kept.

    Args:
        num_features: channels.
        v_threshold: threshold of the neuron that follows.
        alpha: 1, or 1 / sqrt(2) for each of two branches that are added.
        options: as in torch.nn.BatchNorm2d.

    Example:
        >>> import torch
        >>> y = TdBN2d(3, v_threshold=0.5)(torch.randn(4, 8, 3, 5, 5))
        >>> round(y.std(correction=0).item(), 3)
        0.5
    """

    def __init__(self, num_features: int, v_threshold: float = 1.0, alpha: float = 1.0, **options: Any) -> None:
        super().__init__(num_features, **options)
        self.scale = _check("TdBN2d", v_threshold, alpha, options)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise over time, batch and space."""
        return self.rescaled(super().forward(x), self.bias)
