"""Convolutions as synapses: the gradient of the weight may come from a trace of the input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.modules.conv import _ConvNd  # pyright: ignore[reportPrivateUsage]

from snn4.layers.folded import Folded, fold, unfold
from snn4.layers.memory import KeepsInput
from snn4.through_time.synapse import Synapse

__all__ = ["Convolution"]


class _Convolve(torch.autograd.Function):
    """A convolution whose backward pass looks at the trace where it would look at the input."""

    @staticmethod
    def forward(ctx: Any, xs: Tensor, trace: Tensor, weight: Tensor, bias: Tensor | None, how: Any) -> Tensor:
        ctx.save_for_backward(trace, weight)
        ctx.how = how
        few = weight.to(xs.dtype), None if bias is None else bias.to(xs.dtype)
        return torch.convolution(xs, *few, *how)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, None, Tensor | None, Tensor | None, None]:
        trace, weight = ctx.saved_tensors
        # under autocast the output, and so its gradient, has fewer bits
        delta: Tensor = grad_outputs[0].to(weight.dtype)
        sees_x, _, sees_weight, sees_bias, _ = ctx.needs_input_grad
        # the gradient of the input depends on the shape of the input alone, so that one call serves both
        grad_x, grad_weight, grad_bias = torch.ops.aten.convolution_backward(
            delta, trace, weight, [delta.shape[1]], *ctx.how, [sees_x, sees_weight, sees_bias]
        )
        return grad_x, None, grad_weight, grad_bias, None


class Convolution(KeepsInput, Synapse, Folded):
    """What our convolutions share: a mixin, first among the bases of a layer of torch; and the argument `memory`."""

    def forward(self, x: Float[Tensor, "T B *features"], *args: Any, **kwargs: Any) -> Float[Tensor, "T B *out"]:
        """The layer at every step. Shape: (T, B, C, ...) -> (T, B, C', ...)."""
        if self.rule is None:
            return super().forward(x, *args, **kwargs)
        self.check(x)
        return self.rule.through(self, x)

    def apply_weight(self, xs: Tensor, trace: Tensor | None, *, weight: Tensor, bias: Tensor | None) -> Tensor:
        """W * x + b, with the weight's gradient from the trace. Shape: (T, B, C, ...) -> (T, B, C', ...)."""
        layer = self
        assert isinstance(layer, _ConvNd)
        inputs = [fold(xs)] + ([] if trace is None else [fold(trace)])
        padding: Sequence[int]
        if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
            inputs = [_padded(layer, x) for x in inputs]
            padding = [0] * len(layer.kernel_size)
        else:
            padding = list(layer.padding)
        how = (
            list(layer.stride),
            padding,
            list(layer.dilation),
            layer.transposed,
            list(layer.output_padding),
            layer.groups,
        )
        if trace is None:
            ys = torch.convolution(inputs[0], weight, bias, *how)
        else:
            ys: Tensor = _Convolve.apply(*inputs, weight, bias, how)
        return unfold(ys, *xs.shape[:2])

    def seen(self, x: Tensor) -> Tensor:
        """The patch under the kernel at each place. Shape: (B, C, ...) -> (B, 1 or C', ..., C / groups * kernel)."""
        layer = self
        assert isinstance(layer, _ConvNd)
        x, axes = _padded(layer, x), len(layer.kernel_size)
        how = zip(layer.kernel_size, layer.stride, layer.dilation, strict=True)
        for axis, (size, stride, dilation) in enumerate(how, start=2):
            x = x.unfold(axis, dilation * (size - 1) + 1, stride)[..., ::dilation]
        # (B, groups, C / groups, *places, *kernel), and the channels to the kernel
        patches = x.unflatten(1, (layer.groups, -1)).movedim(2, 2 + axes).flatten(2 + axes)
        return patches if layer.groups == 1 else patches.repeat_interleave(layer.out_channels // layer.groups, 1)


def _padded(layer: _ConvNd, x: Tensor) -> Tensor:
    """An input with its padding. Shape (B, C, *places)."""
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    both: list[int] = list(layer._reversed_padding_repeated_twice)  # pyright: ignore[reportPrivateUsage]
    return torch.nn.functional.pad(x, both, mode)
