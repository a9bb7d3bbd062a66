"""Conv2d and MergePool2d: spike times on maps, (B, C, H, W, K).

A convolution is a layer whose neurons see only their own patch and share their weights. So every place of the output
map is a sample of its own, with the patch's spikes as its events: the same engines, the same exact gradients, as many
spikes as a neuron likes to fire.

Paper: [yamamoto2024, bacho2022]
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from snn4.core.errors import OptionError, ShapeError
from snn4.core.quantity import Value
from snn4.timing.layer import FiringLayer
from snn4.timing.times import check_times
from snn4.timing.types import Fired

__all__ = ["Conv2d", "MergePool2d", "patches"]

Pair = int | tuple[int, int]


def _pair(owner: str, name: str, value: Pair, least: int) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or not all(isinstance(one, int) and one >= least for one in pair):
        raise OptionError(f"{owner} got {name}={value!r}", f"a whole number >= {least}, or two of them")
    return pair


def patches(
    times: Float[Tensor, "B C H W K"], kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> Float[Tensor, "B H2 W2 N K"]:
    """The spike times that each place of the output map sees; padding is silent.

    Shape: (B, C, H, W, K) -> (B, H', W', C kernel kernel, K), in the order of a Conv2d's flattened weight.

    Raises:
        ShapeError: the padded map is smaller than the kernel.
    """
    padded = F.pad(times, (0, 0, padding[1], padding[1], padding[0], padding[0]), value=math.inf)
    if padded.shape[2] < kernel[0] or padded.shape[3] < kernel[1]:
        raise ShapeError(
            f"a kernel of {kernel} on maps of {tuple(times.shape[2:4])} with padding {padding}", "a kernel that fits"
        )
    seen = padded.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
    # (B, C, H', W', K, kh, kw)
    return seen.permute(0, 2, 3, 1, 5, 6, 4).flatten(3, 5)


class Conv2d(FiringLayer):
    """Leaky integrate-and-fire neurons on a map, with shared weights; exact spike times, exact gradients.

    Args:
        in_channels: maps of the input.
        out_channels: maps of the output.
        kernel_size: the patch, one number or two.
        stride: likewise.
        padding: likewise; what lies outside is silent.
        tau_v: as in `LIF`, like all that follow.
        tau_i: synaptic time constant.
        v_threshold: > 0.
        max_spikes: room for a neuron's spikes.
        window: the end of time.
        method: `analytic`, `eventprop` or `two_stage`.
        min_slope: where gradients are clipped.
        init_mean: see `snn4.timing.layer.first_weights`.
        init_std: likewise.
        generator: for the first weights.

    Shape: (B, in_channels, H, W, K_in) -> (B, out_channels, H', W', max_spikes).

    Raises:
        OptionError: an option out of range.
        ShapeError: times of another shape or dtype.

    Example:
        >>> Conv2d(1, 6, kernel_size=3, stride=2, padding=1, max_spikes=4)(torch.rand(2, 1, 8, 8, 1)).shape
        torch.Size([2, 6, 4, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        tau_v: Value = 1.0,
        tau_i: Value = 0.2,
        v_threshold: Value = 1.0,
        max_spikes: int = 8,
        window: float = 1.0,
        *,
        method: str = "analytic",
        min_slope: float = 1e-2,
        init_mean: float = 3.0,
        init_std: float = 3.0,
        generator: torch.Generator | None = None,
    ) -> None:
        kernel = _pair("Conv2d", "kernel_size", kernel_size, 1)
        super().__init__(
            (out_channels, in_channels, *kernel),
            tau_v,
            tau_i,
            v_threshold,
            max_spikes,
            window,
            method,
            min_slope,
            (init_mean, init_std),
        )
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel
        self.stride, self.padding = _pair("Conv2d", "stride", stride, 1), _pair("Conv2d", "padding", padding, 0)
        self.reset_parameters(generator)

    def fired(self, times: Float[Tensor, "B C H W K_in"], *, want_max: bool = False) -> Fired:
        """The spikes with all that penalties and statistics ask for; `forward` is its `times`.

        Shape: the fields of `Fired` with N as (out_channels, H', W').
        """
        check_times("Conv2d", times, (self.in_channels, None, None))
        seen = patches(times, self.kernel_size, self.stride, self.padding)
        batch, high, wide = seen.shape[:3]
        fired = self.solve(seen.flatten(0, 2), want_max=want_max)
        return Fired(*(self._map(one, batch, high, wide) for one in fired))

    @staticmethod
    def _map(one: Tensor, batch: int, high: int, wide: int) -> Tensor:
        """(B H' W', C, ...) -> (B, C, H', W', ...)."""
        return one.unflatten(0, (batch, high, wide)).movedim(3, 1)

    def extra_repr(self) -> str:
        """Sizes, constants and method."""
        sizes = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        return f"{sizes}, padding={self.padding}, {super().extra_repr()}"


class MergePool2d(torch.nn.Module):
    """Pooling of spikes: those of all neurons of a patch become one stream. Nothing is lost while there is room.

    Args:
        kernel_size: the patch, one number or two.
        stride: default: the patches do not overlap.
        max_spikes: room for spikes, the earliest are kept; `None` for all.

    Shape: (B, C, H, W, K) -> (B, C, H', W', max_spikes or K kernel kernel).

    Example:
        >>> MergePool2d(2)(torch.tensor([0.3, 0.1, torch.inf, 0.2]).view(1, 1, 2, 2, 1)).flatten()
        tensor([0.1000, 0.2000, 0.3000,    inf])
    """

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, max_spikes: int | None = None) -> None:
        super().__init__()
        self.kernel_size = _pair("MergePool2d", "kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else _pair("MergePool2d", "stride", stride, 1)
        if max_spikes is not None and max_spikes < 1:
            raise OptionError(f"MergePool2d got max_spikes={max_spikes}", "a whole number >= 1, or None")
        self.max_spikes = max_spikes

    def forward(self, times: Float[Tensor, "B C H W K"]) -> Float[Tensor, "B C H2 W2 K2"]:
        """The merged streams."""
        check_times("MergePool2d", times, (None, None, None))
        channels = times.shape[1]
        seen = patches(times, self.kernel_size, self.stride, (0, 0)).unflatten(3, (channels, -1))
        merged = seen.movedim(3, 1).flatten(4).sort(-1).values
        return merged[..., : self.max_spikes]

    def extra_repr(self) -> str:
        """The patch, the stride and the room."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, max_spikes={self.max_spikes}"
