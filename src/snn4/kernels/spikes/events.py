"""A linear layer on events: the rows of the weights where there is a spike are added, and no others are touched.

    y[m, :] = sum over k with x[m, k] = 1 of W[:, k], in the order of k, + bias

The terms are those of the matrix product, added one by one in float32. A product adds them in another order, so that
the two differ by rounding, which can flip a spike whose membrane sits on its threshold: it runs only where it was asked
for. And only without gradients, because training would go another way than without it.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from snn4.kernels import torch_facts
from snn4.kernels.spikes.bits import pack
from snn4.kernels.spikes.source import address, library, threads_for

__all__ = ["dense_from", "linear_of_events"]

# below so many rows the weights cost more to turn than the product
_ROWS = 256
# weights of this size no longer fit into the cache of a core
_LARGE = 8 << 20


def dense_from(weight: Tensor) -> float:
    """The share of ones from which a matrix product is taken: a bit less than where it was measured to be as fast."""
    return 0.1 if weight.numel() * weight.element_size() > _LARGE else 0.25


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
    tensors = [t for t in (xs, weight, bias) if t is not None]
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        return None
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu") or torch_facts.watched() is not None:
        return None
    plain = all(t.dtype == torch.float32 and t.device.type == "cpu" and not t.is_conj() for t in tensors)
    rows = xs.numel() // max(1, xs.shape[-1])
    if not plain or rows < _ROWS or not xs.is_contiguous() or library() is None:
        return None
    packed = pack(xs)
    if packed is None or packed.density >= (dense_from(weight) if below is None else below):
        return None
    return _summed(packed.data, xs, weight.detach(), None if bias is None else bias.detach())


def _summed(bits: Tensor, xs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    compiled = library()
    assert compiled is not None
    turned = weight.t().contiguous()
    inside, outside = turned.shape
    rows = xs.numel() // inside
    ys = torch.empty((*xs.shape[:-1], outside), dtype=xs.dtype)
    bias = None if bias is None else bias.contiguous()
    sizes = [ctypes.c_int64(n) for n in (rows, inside, outside)]
    compiled.events(address(bits), address(turned), address(bias), address(ys), *sizes, threads_for(ys.numel()))
    return ys
