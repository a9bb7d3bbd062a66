"""A linear layer by oneDNN, in float32 on the CPU.

    y[m, :] = W x[m, :] + b   =   a convolution of an image of m x 1 pixels with a window of one

torch multiplies float32 matrices with the library that it was built with, on most machines MKL; convolutions go to
oneDNN. On an AMD EPYC with AVX-512 the convolution takes half the time, forward and for both gradients. It is the same
product, with its terms added in another order.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["linear_by_onednn"]


def linear_by_onednn(xs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """torch.nn.functional.linear; by oneDNN where `xs` is contiguous, float32 and on the CPU, without autocast.

    Args:
        xs: Shape (*, in_features).
        weight: Shape (out_features, in_features).
        bias: Shape (out_features,), or None.

    Returns:
        Shape (*, out_features).
    """
    tensors = [t for t in (xs, weight, bias) if t is not None]
    known = all(t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors)
    asked = torch.backends.mkldnn.is_available() and not torch.is_autocast_enabled("cpu")
    if torch.compiler.is_compiling() or not (known and asked and xs.numel() and xs.is_contiguous()):
        return F.linear(xs, weight, bias)
    outside, inside = weight.shape
    # one image in channels_last, whose pixels are the rows: the same memory
    pixels = xs.reshape(1, -1, 1, inside).permute(0, 3, 1, 2)
    window = weight.reshape(outside, inside, 1, 1).contiguous(memory_format=torch.channels_last)
    return F.conv2d(pixels, window, bias).permute(0, 2, 3, 1).reshape(*xs.shape[:-1], outside)
