"""Layers on events: the rows of the weights where there is a spike are added, and no others are touched.

    y[m, :] = sum over k with x[m, k] = 1 of W[:, k], in the order of k, + bias

A convolution is the same at each of its pixels, with k running over rows, columns and channels of the window.

The terms are those of the product, added one by one in float32. A dense product may add them in another order, so that
the two differ by rounding, which can flip a spike whose membrane sits on its threshold: this runs only where it was
asked for. Choosing by the share of ones is for inference, since training would go another way with each choice.
`linear_by_events` does not choose: whatever the share, an input of zeros and ones is added in the same order, with
gradients too.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from snn4.kernels import blocks, torch_facts
from snn4.kernels.product import linear_by_onednn
from snn4.kernels.spikes.bits import Packed, pack
from snn4.kernels.spikes.saving import Kept, keep_dense, restore
from snn4.kernels.spikes.source import address, library, threads_for

__all__ = ["conv2d_of_events", "dense_from", "linear_by_events", "linear_of_events"]

# below so many rows the weights cost more to turn than the product
_ROWS = 256
_PIXELS = 4096
# weights of this size no longer fit into the cache of a core
_LARGE = 8 << 20


def dense_from(weight: Tensor) -> float:
    """The share of ones from which a dense product is taken: a bit less than where it was measured to be as fast."""
    if weight.ndim > 2:
        # with few channels, finding the events takes longer than adding them
        return 0.15 if weight.shape[1] >= 64 else 0.05
    return 0.1 if weight.numel() * weight.element_size() > _LARGE else 0.25


def _runs_here(xs: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    tensors = [t for t in (xs, weight, bias) if t is not None]
    return not (torch.is_grad_enabled() and any(t.requires_grad for t in tensors)) and _knows(tensors)


def _knows(tensors: Sequence[Tensor]) -> bool:
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu") or torch_facts.watched() is not None:
        return False
    plain = all(t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors)
    return plain and all(type(t) in (Tensor, torch.nn.Parameter) for t in tensors) and library() is not None


def linear_of_events(xs: Tensor, weight: Tensor, bias: Tensor | None, below: float | None = None) -> Tensor | None:
    """A linear layer, by adding weights, where that is faster.

    What is chosen depends on this input alone, on the share of ones that is counted in it, and not on earlier ones: the
    same input gives the same output.

    Args:
        xs: zeros and ones. Shape (*, in_features).
        weight: Shape (out_features, in_features).
        bias: Shape (out_features,), or None.
        below: the share of ones from which it declines; default `dense_from(weight)`.

    Returns:
        Shape (*, out_features); `None` where it declines: values that are neither 0 nor 1, too many ones or too few
        rows, gradients, autocast, a dtype, device or layout that it does not know, no compiler.
    """
    rows = xs.numel() // max(1, xs.shape[-1])
    if rows < _ROWS or not xs.is_contiguous() or not _runs_here(xs, weight, bias):
        return None
    packed = pack(xs)
    if packed is None or packed.density >= (dense_from(weight) if below is None else below):
        return None
    return _added(packed, weight, bias)


def linear_by_events(xs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
    """A linear layer, by adding weights, with gradients and for any share of ones.

    Each output is a sum in the order of the inputs, and each element of the weights' gradient a sum in the order of the
    rows, 256 at a time: what comes out depends on no measurement and on no number of threads. For backward() the input
    is kept as bits.

    Args:
        xs: zeros and ones. Shape (*, in_features).
        weight: Shape (out_features, in_features).
        bias: Shape (out_features,), or None.

    Returns:
        Shape (*, out_features); `None` where it declines: values that are neither 0 nor 1, autocast, a dtype, device or
        layout that it does not know, no compiler.

    Raises:
        GraphError: at backward(), when the weights have been changed in place since.
    """
    tensors = [t for t in (xs, weight, bias) if t is not None]
    packed = pack(xs) if xs.is_contiguous() and _knows(tensors) else None
    if packed is None:
        return None
    place, shape = xs.data_ptr(), xs.shape

    def keep(tensor: Tensor) -> Packed | Kept:
        return packed if tensor.data_ptr() == place and tensor.shape == shape else keep_dense(tensor)

    def give(kept: Packed | Kept) -> Tensor:
        if isinstance(kept, Kept) or torch.is_grad_enabled():
            return restore(kept)
        # the events are at hand; the input itself is for second derivatives, and costs memory
        return torch.zeros((), dtype=kept.dtype).expand(kept.shape)

    with torch.autograd.graph.saved_tensors_hooks(keep, give):
        ys: Tensor = _ByEvents.apply(xs, weight, bias, packed)
    return ys


def _added(packed: Packed, weight: Tensor, bias: Tensor | None) -> Tensor:
    turned = weight.detach().t().contiguous()
    inside, outside = turned.shape
    shape = (*packed.shape[:-1], outside)
    ys = blocks.empty(shape, [math.prod(shape[i + 1 :]) for i in range(len(shape))], packed.dtype)
    sizes = [ctypes.c_int64(n) for n in (packed.numel // inside, inside, outside)]
    compiled, shift = library(), None if bias is None else bias.detach().contiguous()
    assert compiled is not None
    compiled.events(*map(address, (packed.data, turned, shift, ys)), *sizes, threads_for(ys.numel()))
    return ys


def _weights_gradient(packed: Packed, gy: Tensor) -> Tensor:
    gy = gy.contiguous()
    inside, outside = packed.shape[-1], gy.shape[-1]
    turned = torch.empty((inside, outside), dtype=gy.dtype)
    sizes = [ctypes.c_int64(n) for n in (packed.numel // inside, inside, outside)]
    compiled = library()
    assert compiled is not None
    compiled.events_back(*map(address, (packed.data, gy, turned)), *sizes, threads_for(gy.numel()))
    return turned.t().contiguous()


class _ByEvents(torch.autograd.Function):
    """y = x W^T + b for an x that was packed."""

    @staticmethod
    def forward(ctx: Any, xs: Tensor, weight: Tensor, bias: Tensor | None, packed: Packed) -> Tensor:
        """The sums."""
        ctx.packed = packed
        ctx.save_for_backward(xs, weight)
        return _added(packed, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """The weights' gradient by the same events; that of the input is a dense product."""
        (gy,), (xs, weight), packed = grads, ctx.saved_tensors, ctx.packed
        need_x, need_weight, need_bias, _ = ctx.needs_input_grad
        gw = None
        if need_weight:
            gw = _rows(gy).t() @ _rows(xs) if torch.is_grad_enabled() else _weights_gradient(packed, gy)
        gx = linear_by_onednn(gy.contiguous(), weight.t(), None) if need_x else None
        return gx, gw, _rows(gy).sum(0) if need_bias else None, None


def _rows(x: Tensor) -> Tensor:
    return x.reshape(-1, x.shape[-1])


def conv2d_of_events(
    xs: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    below: float | None = None,
) -> Tensor | None:
    """A two-dimensional convolution, by adding weights, where that is faster.

    Args:
        xs: zeros and ones, in channels_last. Shape (N, C, H, W).
        weight: Shape (O, C, h, w); no groups.
        bias: Shape (O,), or None.
        stride: of both axes.
        padding: of both axes, with zeros.
        dilation: of both axes.
        below: the share of ones from which it declines; default `dense_from(weight)`.

    Returns:
        Shape (N, O, H', W'), in channels_last; `None` where it declines, as `linear_of_events` does.
    """
    if xs.ndim != 4 or weight.shape[1] != xs.shape[1] or not xs.is_contiguous(memory_format=torch.channels_last):
        return None
    n, channels, *size = xs.shape
    outside, _, *window = weight.shape
    axes = zip(size, window, stride, padding, dilation, strict=True)
    out = [(length + 2 * p - d * (w - 1) - 1) // s + 1 for length, w, s, p, d in axes]
    # one channel lies in memory as NCHW does, and torch would return that
    if channels == 1 or min(out) < 1 or n * out[0] * out[1] < _PIXELS or not _runs_here(xs, weight, bias):
        return None
    packed = pack(xs)
    if packed is None or packed.density >= (dense_from(weight) if below is None else below):
        return None
    turned = weight.detach().permute(2, 3, 1, 0).contiguous()
    ys = torch.empty((n, outside, *out), dtype=xs.dtype, memory_format=torch.channels_last)
    numbers = (n, *size, channels, outside, *out, *window, *stride, *padding, *dilation)
    compiled, shift = library(), None if bias is None else bias.detach().contiguous()
    assert compiled is not None
    given = map(address, (packed.data, turned, shift, ys))
    compiled.convolved(*given, (ctypes.c_int64 * len(numbers))(*numbers), threads_for(ys.numel()))
    return ys
