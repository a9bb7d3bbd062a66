"""Spiking ResNets: the ANN's residual networks with neurons in place of ReLUs.

    block:   y = neuron( norm(conv(neuron(norm(conv(x))))) + shortcut(x) )
    shortcut: x, or norm(conv1x1(x)) where the shape changes

The sum is taken before the neuron, so no block is an identity for spikes: the degradation that SEW and MS blocks mend.

Paper: [he2016resnet, zheng2021tdbn]
Differs from the papers: nothing in the layers; ResNet-18 and -34 have He's 11,689,512 and 21,797,672 parameters for
1000 classes, ResNet-20 has 269,722 and ResNet-19 12,630,858 for 10.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from snn4.layers import BatchNorm2d, Linear, TdBN2d
from snn4.models.registry import register
from snn4.models.stages import Neurons, Norms, check_sizes, conv_norm, finished, head, rows, stem
from snn4.neurons import LIF

__all__ = ["BasicBlock", "resnet19", "resnet20", "spiking_resnet18", "spiking_resnet34"]


class _Subsample(torch.nn.Module):
    """He's shortcut without parameters: every second pixel, and channels of zeros."""

    # for the spiking twin of integer neurons
    linear = True

    def __init__(self, added: int, stride: int) -> None:
        super().__init__()
        self.added, self.stride = added, stride

    def forward(self, x: Tensor) -> Tensor:
        """Shape: (T, B, C, H, W) -> (T, B, C + added, H / stride, W / stride)."""
        before = self.added // 2
        kept = x[..., :: self.stride, :: self.stride]
        return torch.nn.functional.pad(kept, (0, 0, 0, 0, before, self.added - before))


class BasicBlock(torch.nn.Module):
    """Two 3 x 3 convolutions and a shortcut, added before the last neuron.

    Args:
        before: channels of the input.
        width: channels of the output.
        stride: of the first convolution.
        neuron: makes its neurons.
        norm: makes the norm of each branch's last convolution.
        inner_norm: makes the norm between the convolutions; `norm` where it is not given.
        projected: whether a shortcut that changes shape has weights.

    Shape: (T, B, before, H, W) -> (T, B, width, H / stride, W / stride).
    """

    def __init__(
        self,
        before: int,
        width: int,
        stride: int,
        neuron: Neurons,
        norm: Norms = BatchNorm2d,
        inner_norm: Norms | None = None,
        *,
        projected: bool = True,
    ) -> None:
        super().__init__()
        self.first = torch.nn.Sequential(conv_norm(before, width, 3, stride, inner_norm or norm))
        self.neuron1 = neuron()
        self.second = torch.nn.Sequential(conv_norm(width, width, norm=norm))
        self.shortcut: torch.nn.Module = torch.nn.Identity()
        if stride != 1 or before != width:
            self.shortcut = (
                torch.nn.Sequential(conv_norm(before, width, 1, stride, norm))
                if projected
                else _Subsample(width - before, stride)
            )
        self.neuron2 = neuron()

    def forward(self, x: Tensor) -> Tensor:
        """The neuron of the sum."""
        return self.neuron2(self.second(self.neuron1(self.first(x))) + self.shortcut(x))


@register
def spiking_resnet18(
    channels: int = 3,
    classes: int = 1000,
    neuron: Neurons = LIF,
    *,
    steps: int = 1,
    small: bool = False,
    norm: Norms = BatchNorm2d,
) -> torch.nn.Sequential:
    """Spiking ResNet-18.

    Args:
        channels: of the input.
        classes: outputs.
        neuron: makes each neuron; `torch.nn.ReLU` with `steps=1` is the ANN.
        steps: how many steps each frame of the input is held for, behind the stem's norm.
        small: for small images such as CIFAR's: a 3 x 3 stem of stride 1 and no max pooling.
        norm: makes the norm for so many channels.

    Shape: (T, B, channels, H, W) -> (T * steps, B, classes).

    Raises:
        OptionError: a size below 1.

    Example:
        >>> net = spiking_resnet18(classes=10, steps=2, small=True)
        >>> net(torch.zeros(1, 1, 3, 8, 8)).shape
        torch.Size([2, 1, 10])
    """
    return _four_stages((2, 2, 2, 2), channels, classes, neuron, steps, norm, small=small)


@register
def spiking_resnet34(
    channels: int = 3,
    classes: int = 1000,
    neuron: Neurons = LIF,
    *,
    steps: int = 1,
    small: bool = False,
    norm: Norms = BatchNorm2d,
) -> torch.nn.Sequential:
    """Spiking ResNet-34; its arguments are those of `spiking_resnet18`.

    Shape: (T, B, channels, H, W) -> (T * steps, B, classes).
    """
    return _four_stages((3, 4, 6, 3), channels, classes, neuron, steps, norm, small=small)


def _four_stages(
    depths: tuple[int, ...], channels: int, classes: int, neuron: Neurons, steps: int, norm: Norms, *, small: bool
) -> torch.nn.Sequential:
    check_sizes("a spiking ResNet", channels=channels, classes=classes)
    layers = stem(channels, 64, steps, neuron, small=small, norm=norm)
    block = partial(BasicBlock, neuron=neuron, norm=norm)
    return finished(layers | rows(block, 64, (64, 128, 256, 512), depths, (1, 2, 2, 2)) | head(512, classes))


@register
def resnet19(
    channels: int = 3,
    classes: int = 10,
    neuron: Neurons = LIF,
    *,
    steps: int = 1,
    v_threshold: float = 1.0,
) -> torch.nn.Sequential:
    """ResNet-19 with tdBN: three wide stages and two dense layers, the network that most CIFAR results are for.

    The two norms that meet in a sum are scaled by 1 / sqrt(2), where the shortcut has one.

    Args:
        channels: of the input.
        classes: outputs.
        neuron: makes each neuron; `torch.nn.ReLU` with `steps=1` is the ANN.
        steps: how many steps each frame of the input is held for, behind the stem's norm.
        v_threshold: the threshold of the neurons, for tdBN.

    Shape: (T, B, channels, H, W) -> (T * steps, B, classes).

    Paper: [zheng2021tdbn, deng2022tet]

    Raises:
        OptionError: a size below 1.

    Example:
        >>> resnet19(steps=2)(torch.zeros(1, 1, 3, 8, 8)).shape
        torch.Size([2, 1, 10])
    """
    check_sizes("resnet19", channels=channels, classes=classes)
    alone = partial(TdBN2d, v_threshold=v_threshold)
    added = partial(TdBN2d, v_threshold=v_threshold, alpha=0.5**0.5)
    layers = stem(channels, 64, steps, neuron, small=True, norm=alone)
    block = partial(BasicBlock, neuron=neuron, norm=added, inner_norm=alone)
    layers |= rows(block, 64, (128, 256, 512), (3, 3, 2), (1, 2, 2)) | head(512, 256)
    layers["dense"] = layers.pop("output")
    layers["neuron_dense"] = neuron()
    layers["output"] = Linear(256, classes)
    return finished(layers)


@register
def resnet20(
    channels: int = 3,
    classes: int = 10,
    neuron: Neurons = LIF,
    *,
    steps: int = 1,
    norm: Norms = BatchNorm2d,
) -> torch.nn.Sequential:
    """ResNet-20, He's small network for CIFAR: 16, 32 and 64 channels, shortcuts without parameters.

    Args:
        channels: of the input.
        classes: outputs.
        neuron: makes each neuron; `torch.nn.ReLU` with `steps=1` is the ANN.
        steps: how many steps each frame of the input is held for, behind the stem's norm.
        norm: makes the norm for so many channels.

    Shape: (T, B, channels, H, W) -> (T * steps, B, classes).

    Paper: [he2016resnet], section 4.2.

    Raises:
        OptionError: a size below 1.

    Example:
        >>> resnet20(steps=2)(torch.zeros(1, 1, 3, 8, 8)).shape
        torch.Size([2, 1, 10])
    """
    check_sizes("resnet20", channels=channels, classes=classes)
    layers = stem(channels, 16, steps, neuron, small=True, norm=norm)
    block = partial(BasicBlock, neuron=neuron, norm=norm, projected=False)
    return finished(layers | rows(block, 16, (16, 32, 64), (3, 3, 3), (1, 2, 2)) | head(64, classes))
