"""PreAct-ResNet-18 in the order of DSR: norm, neuron, convolution.

    x' = neuron(norm(x));     y = conv(neuron(norm(conv(x')))) + shortcut(x');     shortcut: x', or conv1x1(x')

The shortcut is fed by spikes, behind the first neuron of its block. The network ends with norm and neuron, too: its
answer is the (weighted) mean of output spikes.

Paper: [meng2022dsr, he2016preact]
Differs from the papers: nothing. As in the authors' code, convolutions but the first have a bias: 11,176,926 parameters
for 10 classes.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.layers import AvgPool2d, BatchNorm1d, BatchNorm2d, Conv2d, Dropout, Flatten, Hold, Linear
from snn4.models.registry import register
from snn4.models.stages import Layers, Neurons, check_sizes, finished, rows
from snn4.neurons import LIF

__all__ = ["PreActBlock", "preact_resnet18"]


class PreActBlock(torch.nn.Module):
    """Twice norm, neuron and convolution; the shortcut starts behind the first neuron.

    Args:
        before: channels of the input.
        width: channels of the output.
        stride: of the first convolution.
        neuron: makes its neurons.
        dropout: probability behind the second neuron, one mask for all steps.

    Shape: (T, B, before, H, W) -> (T, B, width, H / stride, W / stride).
    """

    def __init__(self, before: int, width: int, stride: int, neuron: Neurons, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1, self.neuron1 = BatchNorm2d(before), neuron()
        self.conv1 = Conv2d(before, width, 3, stride, 1)
        self.norm2, self.neuron2 = BatchNorm2d(width), neuron()
        self.dropout: torch.nn.Module = Dropout(dropout) if dropout else torch.nn.Identity()
        self.conv2 = Conv2d(width, width, 3, 1, 1)
        self.shortcut: torch.nn.Module = torch.nn.Identity()
        if stride != 1 or before != width:
            self.shortcut = Conv2d(before, width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The sum; no neuron behind it."""
        x = self.neuron1(self.norm1(x))
        return self.conv2(self.dropout(self.neuron2(self.norm2(self.conv1(x))))) + self.shortcut(x)


@register
def preact_resnet18(
    shape: tuple[int, int, int] = (3, 32, 32),
    classes: int = 10,
    neuron: Neurons = LIF,
    *,
    steps: int = 1,
    dropout: float = 0.0,
) -> torch.nn.Sequential:
    """PreAct-ResNet-18 for CIFAR, whose output layer is norm and neuron.

    Args:
        shape: (C, H, W) of the input; H and W are multiples of 32, for the last pooling.
        classes: outputs.
        neuron: makes each neuron; `torch.nn.ReLU` with `steps=1` is the ANN.
        steps: how many steps each frame of the input is held for, behind the first convolution.
        dropout: probability in each block and before the dense layer, one mask for all steps.

    Shape: (T, B, C, H, W) -> (T * steps, B, classes).

    Raises:
        OptionError: a size that does not fit.

    Example:
        >>> preact_resnet18(steps=2)(torch.zeros(1, 1, 3, 32, 32)).shape
        torch.Size([2, 1, 10])
    """
    check_sizes("preact_resnet18", channels=shape[0], height=shape[1], width=shape[2], classes=classes)
    if shape[1] % 32 or shape[2] % 32:
        raise OptionError(
            f"preact_resnet18 got shape={shape}", "a height and a width that 32 divides", "Pad the images."
        )
    layers = Layers(conv=Conv2d(shape[0], 64, 3, 1, 1, bias=False))
    if steps != 1:
        layers["hold"] = Hold(steps)
    block = partial(PreActBlock, neuron=neuron, dropout=dropout)
    layers |= rows(block, 64, (64, 128, 256, 512), (2, 2, 2, 2), (1, 2, 2, 2))
    layers |= Layers(norm=BatchNorm2d(512), neuron1=neuron(), pool=AvgPool2d(4), neuron2=neuron(), flatten=Flatten())
    if dropout:
        layers["dropout"] = Dropout(dropout)
    layers["linear"] = Linear(512 * (shape[1] // 32) * (shape[2] // 32), classes)
    layers |= Layers(norm_output=BatchNorm1d(classes), neuron3=neuron())
    return finished(layers)
