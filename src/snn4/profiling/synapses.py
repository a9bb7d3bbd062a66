"""How many synaptic operations a linear or convolution layer does, to the integer.

Every input element reaches a number of weights, its fan-out. With `F` the fan-out over non-zero weights and `F1` the
one over all weights, a layer does on an input x

    effective = sum over elements with x != 0 of F          (weight != 0 and input != 0)
    dense     = sum over all elements of F1                 (taps on zero padding are nobody's element: left out)
    unary     = sum of |x| F                                (an integer k sent as k spikes)

The fan-out of a convolution is its transpose applied to ones, so the layer itself is never run again.
Bias, pooling, norm and softmax are no synapses.

Paper: [yik2025neurobench] for the definition of effective and dense operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.grad import conv1d_input, conv2d_input, conv3d_input

from snn4.layers.linear_layers import Synaptic

__all__ = ["FanOut", "Synaptic", "fan_out", "is_binary", "rows_of", "weight_count"]

_Conv = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
_ConvTranspose = (torch.nn.ConvTranspose1d, torch.nn.ConvTranspose2d, torch.nn.ConvTranspose3d)

_GradientOfInput: dict[int, Callable[..., Tensor]] = {1: conv1d_input, 2: conv2d_input, 3: conv3d_input}
_Convolve: dict[int, Callable[..., Tensor]] = {
    1: torch.nn.functional.conv1d,
    2: torch.nn.functional.conv2d,
    3: torch.nn.functional.conv3d,
}
# elements worked on at once: bounds the memory of the int64 products to 32 MiB
_CHUNK = 1 << 22


@dataclass(frozen=True)
class FanOut:
    """The fan-out of a layer for one shape of input.

    Args:
        effective: per input element, over non-zero weights; padded as the layer pads.
        dense: synaptic operations of one row with no zero anywhere, taps on zero padding left out.
        taps: the same with those taps, `k k C_in / groups C_out H_out W_out`: what papers call FLOP.
        per_event: weights that the memory model reads for one input event, borders ignored.
        kernel_words: `C_out` times the kernel's volume, the addresses of a dense convolution; 0 for a linear layer.
        pad: what turns an input into the shape of `effective` (padding that copies inputs is real work).
    """

    effective: Tensor
    dense: int
    taps: int
    per_event: int
    kernel_words: int
    pad: Callable[[Tensor], Tensor] | None

    def operations(self, values: Tensor) -> Tensor:
        """Sum of `values` (0/1 or integers) times fan-out, row by row, exact in int64.

        Shape:
            values: (rows, *features) of bool or integers -> (rows,).
        """
        rows, pad = values.shape[0], self.pad
        flat = self.effective.flatten()
        size = max(1, _CHUNK // max(1, flat.numel()))
        out = torch.empty(rows, dtype=torch.int64, device=values.device)
        for start in range(0, rows, size):
            part = values[start : start + size]
            if pad is not None:
                # padding works on floats only; these are small integers, exact in float64
                part = pad(part.double()).round().long()
            out[start : start + size] = (part.flatten(1).long() * flat).sum(1)
        return out


def _ones_where_not_zero(weight: Tensor) -> Tensor:
    # float64 counts integers exactly up to 2^53; float32 stops at 2^24
    return (weight != 0).double()


def fan_out(layer: torch.nn.Module, row: torch.Size, out: torch.Size) -> FanOut:
    """The fan-out of `layer` for input rows of shape `row` and output rows of shape `out`.

    Args:
        layer: a linear, convolution or transposed convolution layer of torch, or a subclass.
        row: features of one input row: (in,), or (C, *spatial).
        out: features of one output row.

    Raises:
        TypeError: another kind of layer.

    Example:
        >>> conv = torch.nn.Conv2d(1, 1, 3, padding=1)
        >>> f = fan_out(conv, torch.Size((1, 4, 4)), torch.Size((1, 4, 4)))
        >>> f.dense, f.taps
        (100, 144)
    """
    if isinstance(layer, torch.nn.Linear):
        weight = layer.weight.detach()
        operations = layer.in_features * layer.out_features
        return FanOut((weight != 0).sum(0), operations, operations, layer.out_features, 0, None)
    if isinstance(layer, _Conv):
        return _conv(layer, row, out)
    if isinstance(layer, _ConvTranspose):
        return _conv_transpose(layer, row, out)
    raise TypeError(f"{type(layer).__name__} is no linear or convolution layer")


def _conv(layer: torch.nn.Conv1d | torch.nn.Conv2d | torch.nn.Conv3d, row: torch.Size, out: torch.Size) -> FanOut:
    weight = layer.weight.detach()
    borders = _borders(layer)
    copies = layer.padding_mode != "zeros"

    def pad(x: Tensor) -> Tensor:
        mode = layer.padding_mode if copies else "constant"
        return torch.nn.functional.pad(x, borders, mode=mode)

    padded = pad(torch.zeros(1, *row, dtype=torch.float64)).shape

    def transpose(kernel: Tensor) -> Tensor:
        # all outputs send back the same 1, so one of them, with the kernels of its group added up, stands for all
        gradient = _GradientOfInput[len(row) - 1](
            (1, kernel.shape[1], *padded[2:]), kernel, kernel.new_ones(1, 1, *out[1:]), layer.stride, 0, layer.dilation
        )
        return gradient.round().long()[0]

    groups = _ones_where_not_zero(weight).unflatten(0, (layer.groups, -1))
    every = transpose(torch.ones(1, 1, *layer.kernel_size, dtype=torch.float64))
    if not copies:
        every = _crop(every, borders)
    kernel = math.prod(layer.kernel_size)
    return FanOut(
        effective=transpose(groups.sum(1).flatten(0, 1).unsqueeze(0)),
        dense=int(every.sum()) * (layer.in_channels // layer.groups) * layer.out_channels,
        taps=kernel * (layer.in_channels // layer.groups) * math.prod(out),
        per_event=kernel * (layer.out_channels // layer.groups),
        kernel_words=kernel * layer.out_channels,
        pad=pad if any(borders) else None,
    )


def _borders(layer: torch.nn.Conv1d | torch.nn.Conv2d | torch.nn.Conv3d) -> list[int]:
    """What the layer adds on each side, in the order of `torch.nn.functional.pad`: the last axis first."""
    sides: list[int] = []
    for axis in reversed(range(len(layer.kernel_size))):
        if layer.padding == "same":
            total = layer.dilation[axis] * (layer.kernel_size[axis] - 1)
            sides += [total // 2, total - total // 2]
        elif isinstance(layer.padding, str):
            sides += [0, 0]
        else:
            sides += [layer.padding[axis]] * 2
    return sides


def _crop(x: Tensor, borders: list[int]) -> Tensor:
    return torch.nn.functional.pad(x, [-side for side in borders])


def _conv_transpose(
    layer: torch.nn.ConvTranspose1d | torch.nn.ConvTranspose2d | torch.nn.ConvTranspose3d,
    row: torch.Size,
    out: torch.Size,
) -> FanOut:
    weight = layer.weight.detach()

    def gather(kernel: Tensor) -> Tensor:
        # what `padding` cuts off the output is never computed, and ones of the output's size count just the rest
        ones = kernel.new_ones(1, 1, *out[1:])
        counts = _Convolve[len(row) - 1](ones, kernel, None, layer.stride, layer.padding, layer.dilation)
        return counts.round().long()[0]

    kernel = math.prod(layer.kernel_size)
    per_event = kernel * (layer.out_channels // layer.groups)
    return FanOut(
        effective=gather(_ones_where_not_zero(weight).sum(1, keepdim=True)),
        dense=int(gather(torch.ones(1, 1, *layer.kernel_size, dtype=torch.float64)).sum())
        * layer.in_channels
        * (layer.out_channels // layer.groups),
        taps=per_event * math.prod(row),
        per_event=per_event,
        kernel_words=kernel * layer.out_channels,
        pad=None,
    )


def rows_of(layer: torch.nn.Module, x: Tensor) -> tuple[Tensor, torch.Size]:
    """The input as rows that the layer treats alike, and the leading axes that were folded into them.

    Example:
        >>> rows, leading = rows_of(torch.nn.Conv2d(3, 1, 1), torch.zeros(2, 5, 3, 4, 4))
        >>> rows.shape, leading
        (torch.Size([10, 3, 4, 4]), torch.Size([2, 5]))
    """
    rank = 1 if isinstance(layer, torch.nn.Linear) else _spatial(layer) + 1
    leading = x.shape[: x.ndim - rank]
    return x.reshape(math.prod(leading), *x.shape[x.ndim - rank :]), leading


def _spatial(layer: torch.nn.Module) -> int:
    if isinstance(layer, (*_Conv, *_ConvTranspose)):
        return len(layer.kernel_size)
    raise TypeError(f"{type(layer).__name__} is no convolution layer")


def weight_count(layer: torch.nn.Module) -> tuple[int, int, int]:
    """(weights, of them zero, biases) of a synaptic layer, of the values it computes with.

    Example:
        >>> layer = torch.nn.Linear(3, 2)
        >>> _ = torch.nn.init.eye_(layer.weight)
        >>> weight_count(layer)
        (6, 4, 2)
    """
    if not isinstance(layer, Synaptic):
        raise TypeError(f"{type(layer).__name__} is no linear or convolution layer")
    weight, bias = layer.weight.detach(), layer.bias
    return weight.numel(), int((weight == 0).sum()), 0 if bias is None else bias.numel()


def is_binary(x: Tensor) -> bool:
    """Whether every value is -1, 0 or 1, so that a synaptic operation is an addition.

    Example:
        >>> is_binary(torch.tensor([1.0, 0.0, -1.0])), is_binary(torch.tensor([0.5]))
        (True, False)
    """
    inside: Tensor = (x == 0) | (x.abs() == 1)
    return bool(inside.all())
