"""MS-ResNet: the shortcut carries the membrane's input, without a spike on its way.

    y = x' + norm(conv(neuron(norm(conv(neuron(x))))));     x': x, or norm(conv1x1(x)) where the shape changes

Spikes alone are multiplied by weights; the sum on the shortcut is of real numbers. At the start the last norm of a
block has the scale 0, so that each block without a change of shape is an identity, the others the threshold.

Paper: [hu2024msresnet]
Differs from the paper: the neuron is chosen; the paper's has the threshold 0.5, the decay 0.25 and a hard, detached
reset, `lambda: LIF(4 / 3, 0.5, 0.0, Rectangle(1.0))` with `v_threshold=0.5`. As in the authors' code the first of four
stages halves the map with a projection of its own and there is no max pooling: 11,693,736 and 21,801,896 parameters for
1000 classes. `ms_resnet_small` is ours, for small images on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.layers import BatchNorm2d, MaxPool2d
from snn4.models.registry import register
from snn4.models.stages import Neurons, check_sizes, conv_norm, finished, head, rows, stem
from snn4.neurons import LIF

__all__ = ["MSBlock", "ms_resnet18", "ms_resnet34", "ms_resnet_small"]


class MSBlock(torch.nn.Module):
    """Twice neuron, convolution and norm, added to a shortcut without a neuron.

    Args:
        before: channels of the input.
        width: channels of the output.
        stride: of the first convolution.
        neuron: makes its neurons.
        v_threshold: where the scales of norms start.

    Shape: (T, B, before, H, W) -> (T, B, width, H / stride, W / stride).

    Example:
        >>> x = torch.randn(2, 1, 4, 3, 3)
        >>> torch.equal(MSBlock(4, 4, 1, LIF)(x), x)
        True
    """

    def __init__(self, before: int, width: int, stride: int, neuron: Neurons, v_threshold: float = 1.0) -> None:
        super().__init__()
        norm = partial(_norm, scale=v_threshold)
        self.neuron1 = neuron()
        self.first = torch.nn.Sequential(conv_norm(before, width, 3, stride, norm))
        self.neuron2 = neuron()
        self.second = torch.nn.Sequential(conv_norm(width, width, norm=partial(_norm, scale=0.0)))
        self.shortcut: torch.nn.Module = torch.nn.Identity()
        if stride != 1 or before != width:
            self.shortcut = torch.nn.Sequential(conv_norm(before, width, 1, stride, norm))

    def forward(self, x: Tensor) -> Tensor:
        """The sum."""
        return self.second(self.neuron2(self.first(self.neuron1(x)))) + self.shortcut(x)


def _norm(channels: int, scale: float) -> BatchNorm2d:
    norm = BatchNorm2d(channels)
    torch.nn.init.constant_(norm.weight, scale)
    return norm


@register
def ms_resnet18(
    channels: int = 3,
    classes: int = 1000,
    neuron: Neurons = LIF,
    *,
    steps: int = 1,
    small: bool = False,
    v_threshold: float = 1.0,
) -> torch.nn.Sequential:
    """MS-ResNet-18.

    Args:
        channels: of the input.
        classes: outputs.
        neuron: makes each neuron; `torch.nn.ReLU` with `steps=1` is the ANN.
        steps: how many steps each frame of the input is held for, behind the stem's norm.
        small: for small images such as CIFAR's: a 3 x 3 stem, and strides of 1 in it and in the first stage.
        v_threshold: the threshold of the neurons, where the scales of norms start.

    Shape: (T, B, channels, H, W) -> (T * steps, B, classes).

    Raises:
        OptionError: a size below 1.

    Example:
        >>> net = ms_resnet18(classes=10, steps=2, small=True)
        >>> net(torch.zeros(1, 1, 3, 8, 8)).shape
        torch.Size([2, 1, 10])
    """
    return _ms((2, 2, 2, 2), channels, classes, neuron, steps, v_threshold, small=small)


@register
def ms_resnet34(
    channels: int = 3,
    classes: int = 1000,
    neuron: Neurons = LIF,
    *,
    steps: int = 1,
    small: bool = False,
    v_threshold: float = 1.0,
) -> torch.nn.Sequential:
    """MS-ResNet-34; its arguments are those of `ms_resnet18`.

    Shape: (T, B, channels, H, W) -> (T * steps, B, classes).
    """
    return _ms((3, 4, 6, 3), channels, classes, neuron, steps, v_threshold, small=small)


@register
def ms_resnet_small(
    channels: int = 3,
    classes: int = 10,
    neuron: Neurons = LIF,
    *,
    steps: int = 1,
    widths: Sequence[int] = (48, 80),
    depths: Sequence[int] = (2, 2),
    v_threshold: float = 1.0,
) -> torch.nn.Sequential:
    """An MS-ResNet for CIFAR on a CPU: 297,530 parameters, 35 million products a step.

    The stem halves the map by pooling, and all of it runs once a frame and not once a step; the stages begin on a
    quarter of the pixels, and all but the first halve the map again.

    Args:
        channels: of the input.
        classes: outputs.
        neuron: makes each neuron; `torch.nn.ReLU` with `steps=1` is the ANN.
        steps: how many steps each frame of the input is held for, behind the stem's pooling.
        widths: channels of the stages.
        depths: blocks of the stages.
        v_threshold: the threshold of the neurons, where the scales of norms start.

    Shape: (T, B, channels, H, W) -> (T * steps, B, classes).

    Raises:
        OptionError: a size below 1, or not as many depths as widths.

    Example:
        >>> net = ms_resnet_small(steps=4)
        >>> net(torch.zeros(1, 2, 3, 32, 32)).shape, sum(p.numel() for p in net.parameters())
        (torch.Size([4, 2, 10]), 297530)
    """
    owner, sizes = "ms_resnet_small", [*widths, *depths]
    check_sizes(owner, channels=channels, classes=classes, **{f"size{n}": size for n, size in enumerate(sizes)})
    if len(widths) != len(depths) or not widths:
        raise OptionError(f"{owner} got widths={tuple(widths)}, depths={tuple(depths)}", "as many of both, at least 1")
    layers = stem(channels, widths[0], steps, small=True, norm=partial(_norm, scale=v_threshold))
    hold = layers.pop("hold", None)
    layers["max_pool"] = MaxPool2d(2)
    if hold is not None:
        layers["hold"] = hold
    block = partial(MSBlock, neuron=neuron, v_threshold=v_threshold)
    layers |= rows(block, widths[0], widths, depths, [1] + [2] * (len(widths) - 1))
    layers["neuron"] = neuron()
    return finished(layers | head(widths[-1], classes))


def _ms(
    depths: tuple[int, ...],
    channels: int,
    classes: int,
    neuron: Neurons,
    steps: int,
    v_threshold: float,
    *,
    small: bool,
) -> torch.nn.Sequential:
    check_sizes("an MS-ResNet", channels=channels, classes=classes)
    layers = stem(channels, 64, steps, small=small, norm=partial(_norm, scale=v_threshold))
    block = partial(MSBlock, neuron=neuron, v_threshold=v_threshold)
    layers |= rows(block, 64, (64, 128, 256, 512), depths, (1 if small else 2, 2, 2, 2))
    layers["neuron"] = neuron()
    return finished(layers | head(512, classes))
