"""VGG-SNN: the network of TET for event cameras, of eight convolutions.

    64 - 128 - pool - 256 - 256 - pool - 512 - 512 - pool - 512 - 512 - pool - linear,     each with norm and neuron

Paper: [deng2022tet]
Differs from the paper: nothing. As in the authors' code, convolutions have a bias though a norm follows, and pooling is
the mean: 9,271,498 parameters for maps of 48 x 48 and 10 classes.
"""

from __future__ import annotations

import torch

from snn4.core.errors import OptionError
from snn4.layers import AvgPool2d, BatchNorm2d, Conv2d, Flatten, Hold, Linear
from snn4.models.registry import register
from snn4.models.stages import Layers, Neurons, Norms, check_sizes, finished
from snn4.neurons import LIF

__all__ = ["vgg_snn"]

_STAGES = ((64, 128), (256, 256), (512, 512), (512, 512))


@register
def vgg_snn(
    shape: tuple[int, int, int] = (2, 48, 48),
    classes: int = 10,
    neuron: Neurons = LIF,
    *,
    steps: int = 1,
    norm: Norms = BatchNorm2d,
) -> torch.nn.Sequential:
    """VGG-SNN.

    Args:
        shape: (C, H, W) of the input.
        classes: outputs.
        neuron: makes each neuron; `torch.nn.ReLU` with `steps=1` is the ANN.
        steps: how many steps each frame of the input is held for, behind the first norm.
        norm: makes the norm for so many channels.

    Shape: (T, B, C, H, W) -> (T * steps, B, classes).

    Raises:
        OptionError: a size below 1, or maps below 16 x 16.

    Example:
        >>> vgg_snn((2, 16, 16))(torch.zeros(2, 1, 2, 16, 16)).shape
        torch.Size([2, 1, 10])
    """
    c, h, w = shape
    check_sizes("vgg_snn", channels=c, classes=classes)
    if min(h, w) < 16:
        raise OptionError(f"vgg_snn got shape={shape}", "maps of at least 16 x 16, which are halved four times")
    layers = Layers()
    for stage, widths in enumerate(_STAGES, start=1):
        for n, width in enumerate(widths, start=1):
            layers[f"conv{stage}_{n}"] = Conv2d(c, width, 3, padding=1)
            layers[f"norm{stage}_{n}"] = norm(width)
            if len(layers) == 2 and steps != 1:
                layers["hold"] = Hold(steps)
            layers[f"neuron{stage}_{n}"] = neuron()
            c = width
        layers[f"pool{stage}"] = AvgPool2d(2)
    layers["flatten"] = Flatten()
    layers["output"] = Linear(c * (h // 16) * (w // 16), classes)
    return finished(layers)
