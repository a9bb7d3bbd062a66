"""Plain convolutional networks for small images: (conv, norm, pool, neuron) a stage, dense layers on top."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch

from snn4.core.errors import OptionError
from snn4.layers import BatchNorm2d, Conv2d, Dropout, Flatten, Hold, Linear, MaxPool2d
from snn4.models.registry import register
from snn4.neurons import LIF

__all__ = ["conv_net"]


@register
def conv_net(
    shape: tuple[int, int, int],
    channels: Sequence[int],
    classes: int,
    neuron: Callable[[], torch.nn.Module] = LIF,
    *,
    steps: int = 1,
    pool: Sequence[int] = (),
    dense: Sequence[int] = (256,),
    dropout: float = 0.0,
) -> torch.nn.Sequential:
    """3 x 3 convolutions with batch norm. With `neuron=torch.nn.ReLU` and `steps=1` it is the ANN.

    Pooling stands before the neuron: it acts on currents, so that what leaves a stage is spikes, and the neuron has a
    quarter of the work. For a ReLU the order makes no difference.

    Args:
        shape: (C, H, W) of the input.
        channels: output channels of each stage.
        classes: outputs.
        neuron: makes a fresh neuron (or activation) for each stage.
        steps: how many steps each frame of the input is held for, behind the first stage's norm and pooling.
        pool: pooling factor of each stage, 1 for none; default 2 while the map has 4 pixels or more, at most twice.
        dense: widths of the hidden dense layers.
        dropout: probability before each dense layer, one mask for all steps.

    Shape: (T, B, C, H, W) -> (T * steps, B, classes).

    Raises:
        OptionError: sizes below 1, or more pooling than there are pixels.

    Example:
        >>> conv_net((1, 28, 28), [8, 16], 10, steps=4)(torch.zeros(1, 2, 1, 28, 28)).shape
        torch.Size([4, 2, 10])
    """
    c, h, w = shape
    factors = list(pool) or [2 if n < 2 and min(h, w) >> (n + 1) >= 2 else 1 for n in range(len(channels))]
    if not channels or len(factors) != len(channels) or min(c, h, w, *channels, *factors, *dense, classes) < 1:
        raise OptionError(
            f"conv_net got shape={shape}, channels={list(channels)}, pool={list(pool)}, dense={list(dense)}",
            "sizes of at least 1 and one pooling factor for each stage",
        )
    layers: OrderedDict[str, torch.nn.Module] = OrderedDict()
    for n, (width, factor) in enumerate(zip(channels, factors, strict=True), start=1):
        layers[f"conv{n}"] = Conv2d(c, width, 3, padding=1, bias=False)
        layers[f"norm{n}"] = BatchNorm2d(width)
        if factor > 1:
            layers[f"pool{n}"] = MaxPool2d(factor)
        if n == 1 and steps != 1:
            layers["hold"] = Hold(steps)
        layers[f"neuron{n}"] = neuron()
        c, h, w = width, h // factor, w // factor
    if min(h, w) < 1:
        raise OptionError(f"conv_net got pool={factors} for maps of {shape[1:]}", "at least one pixel left")
    layers["flatten"] = Flatten()
    width = c * h * w
    for n, size in enumerate(dense, start=len(channels) + 1):
        if dropout:
            layers[f"dropout{n}"] = Dropout(dropout)
        layers[f"linear{n}"] = Linear(width, size)
        layers[f"neuron{n}"] = neuron()
        width = size
    layers["output"] = Linear(width, classes)
    # 12 to 38 % less time for a training step on a CPU; see the experiment log
    net = torch.nn.Sequential(layers)
    net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return net
