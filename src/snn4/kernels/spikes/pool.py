"""Pooling of spikes: the maximum of zeros and ones is OR, and what backward() needs of it is bits.

torch's max_pool2d keeps its whole input and an int64 index for each output. Of spikes, one bit for each input tells
where the gradient goes: to the first spike of a window, or to its first element where there is none, as in torch.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from torch import Tensor

from snn4.kernels import torch_facts
from snn4.kernels.spikes.bits import Packed, pack, unpack
from snn4.kernels.spikes.source import address, library, threads_for

__all__ = ["pool_spikes"]


def pool_spikes(xs: Tensor, window: tuple[int, int], kind: Literal["max", "mean"]) -> Tensor | None:
    """Pool images of spikes in windows that lie side by side.

    Args:
        xs: zeros and ones. Shape (N, C, H, W), contiguous or channels_last.
        window: its height and width, which are the strides as well.
        kind: the maximum, or the average.

    Returns:
        What torch.nn.functional.max_pool2d or avg_pool2d returns, with the same gradient bit for bit; `None` where this
        kernel cannot: a value that is neither 0 nor 1, a device, dtype or layout it does not know, no compiler, a
        transform of torch.func or torch.compile around.
    """
    h, w = window
    usable = xs.device.type == "cpu" and xs.dtype in (torch.float32, torch.float64) and type(xs) is Tensor
    if torch.compiler.is_compiling() or not usable or xs.ndim != 4 or min(xs.shape[2] // h, xs.shape[3] // w) < 1:
        return None
    if torch_facts.watched() is not None or _format(xs) is None or library() is None:
        return None
    packed = pack(xs)
    if packed is None:
        return None
    if torch.is_grad_enabled() and xs.requires_grad:
        return cast("Callable[..., Tensor]", _Pool.apply)(xs, packed, window, kind)
    return _pooled(xs.detach(), window, kind)


def _format(xs: Tensor) -> torch.memory_format | None:
    for layout in (torch.contiguous_format, torch.channels_last):
        if xs.is_contiguous(memory_format=layout):
            return layout
    return None


def _sizes(shape: torch.Size, window: tuple[int, int], layout: torch.memory_format | None) -> list[ctypes.c_int64]:
    """Images, rows, columns, inner size, and the window."""
    n, c, height, width = shape
    last = layout == torch.channels_last
    return [ctypes.c_int64(k) for k in (n if last else n * c, height, width, c if last else 1, *window)]


def _pooled(xs: Tensor, window: tuple[int, int], kind: str) -> Tensor:
    layout, compiled = _format(xs), library()
    assert layout is not None
    assert compiled is not None
    n, c, height, width = xs.shape
    ys = torch.empty((n, c, height // window[0], width // window[1]), dtype=xs.dtype, memory_format=layout)
    sizes, threads = _sizes(xs.shape, window, layout), threads_for(xs.numel())
    function = getattr(compiled, f"pool{xs.dtype.itemsize}")
    function(address(xs), address(ys), *sizes, ctypes.c_int(kind == "mean"), threads)
    return ys


class _Pool(torch.autograd.Function):
    """Pooling that keeps bits."""

    @staticmethod
    def forward(ctx: Any, xs: Tensor, packed: Packed, window: tuple[int, int], kind: str) -> Tensor:
        ctx.packed, ctx.window, ctx.kind = packed, window, kind
        return _pooled(xs, window, kind)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        packed, window = cast("Packed", ctx.packed), list(cast("tuple[int, int]", ctx.window))
        grad = grads[0]
        if ctx.kind == "mean":
            # torch asks its input for the shape alone
            like = torch.empty_strided(packed.shape, packed.strides, dtype=packed.dtype)
            back = torch.ops.aten.avg_pool2d_backward(grad, like, window, window, [0, 0], False, True, None)
            return back, None, None, None
        if torch.is_grad_enabled():
            options: Any = (window, window, [0, 0], [1, 1], False)
            xs = unpack(packed)
            _, indices = torch.ops.aten.max_pool2d_with_indices(xs, *options)
            back = torch.ops.aten.max_pool2d_with_indices_backward(grad, xs, *options, indices)
            return back, None, None, None
        compiled = library()
        assert compiled is not None
        xs = torch.empty_strided(packed.shape, packed.strides, dtype=packed.dtype)
        layout = _format(xs)
        assert layout is not None
        grad = grad.contiguous(memory_format=layout)
        sizes, threads = _sizes(packed.shape, ctx.window, layout), threads_for(packed.numel)
        function = getattr(compiled, f"unpool{packed.dtype.itemsize}")
        function(address(packed.data), address(grad), address(xs), *sizes, threads)
        return xs, None, None, None
