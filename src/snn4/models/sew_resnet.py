"""SEW-ResNet: the shortcut joins behind the neuron, spike by spike, so that a block can be an identity.

    y = g( neuron(norm(conv(...))), shortcut(x) );     shortcut: x, or neuron(norm(conv1x1(x))) where the shape changes

    add     g(s, x) = s + x         whole numbers, not only spikes
    and     g(s, x) = s x           stays binary
    iand    g(s, x) = (1 - s) x     stays binary

At the start the last norm of a block has the scale 0 (and for `and` the bias 1), so that each block without a change of
shape is an identity.

Paper: [fang2021sew]
Differs from the paper: the neuron is chosen; the paper's is IF with a detached reset to 0, `lambda: IF(v_reset=0.0,
detach_reset=True)`. 11,689,512, 21,797,672 and 25,557,032 parameters for 1000 classes, as published.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.layers import BatchNorm2d
from snn4.models.registry import register
from snn4.models.stages import Neurons, Norms, check_sizes, conv_norm, finished, head, rows, stem
from snn4.neurons import LIF

__all__ = ["Connect", "SEWBlock", "sew_resnet18", "sew_resnet34", "sew_resnet50"]

Connect = Literal["add", "and", "iand"]

_CONNECT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda s, x: s + x,
    "and": lambda s, x: s * x,
    "iand": lambda s, x: (1 - s) * x,
}


class SEWBlock(torch.nn.Module):
    """Convolutions that each end in a neuron, joined spike by spike with a shortcut.

    Args:
        before: channels of the input.
        width: of the block; it gives `width` channels, or `4 * width` as a bottleneck.
        stride: of the first 3 x 3 convolution.
        neuron: makes its neurons.
        norm: makes its norms.
        connect: g above.
        bottleneck: 1 x 1, 3 x 3, 1 x 1 in place of two 3 x 3.

    Shape: (T, B, before, H, W) -> (T, B, width or 4 * width, H / stride, W / stride).

    Raises:
        OptionError: an unknown `connect`.

    Example:
        >>> from snn4.neurons import IF
        >>> x = torch.randint(2, (2, 1, 4, 3, 3)).float()
        >>> torch.equal(SEWBlock(4, 4, 1, IF)(x), x)
        True
    """

    def __init__(
        self,
        before: int,
        width: int,
        stride: int,
        neuron: Neurons,
        norm: Norms = BatchNorm2d,
        connect: Connect = "add",
        *,
        bottleneck: bool = False,
    ) -> None:
        super().__init__()
        if connect not in _CONNECT:
            raise OptionError(f"SEWBlock got connect={connect!r}", "'add', 'and' or 'iand'")
        self.connect = connect
        # products of spikes are not sums of their virtual steps: see snn4.layers.SpikingTwin
        self.linear = connect == "add"
        after = 4 * width if bottleneck else width
        shapes = [(before, width, 3, stride), (width, width, 3, 1)]
        if bottleneck:
            shapes = [(before, width, 1, 1), (width, width, 3, stride), (width, after, 1, 1)]
        self.branch = torch.nn.Sequential(*(_spiking(*shape, norm, neuron) for shape in shapes))
        self.shortcut: torch.nn.Module = torch.nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = _spiking(before, after, 1, stride, norm, neuron)
        last = self.branch[-1].get_submodule("norm")
        torch.nn.init.zeros_(last.get_parameter("weight"))
        if connect == "and":
            torch.nn.init.ones_(last.get_parameter("bias"))

    def forward(self, x: Tensor) -> Tensor:
        """g of branch and shortcut."""
        return _CONNECT[self.connect](self.branch(x), self.shortcut(x))

    def extra_repr(self) -> str:
        """g."""
        return f"connect={self.connect!r}"


def _spiking(before: int, after: int, kernel: int, stride: int, norm: Norms, neuron: Neurons) -> torch.nn.Sequential:
    layers = conv_norm(before, after, kernel, stride, norm)
    layers["neuron"] = neuron()
    return torch.nn.Sequential(layers)


@register
def sew_resnet18(
    channels: int = 3,
    classes: int = 1000,
    neuron: Neurons = LIF,
    *,
    steps: int = 1,
    connect: Connect = "add",
    small: bool = False,
    norm: Norms = BatchNorm2d,
) -> torch.nn.Sequential:
    """SEW-ResNet-18.

    Args:
        channels: of the input.
        classes: outputs.
        neuron: makes each neuron; `torch.nn.ReLU` with `steps=1` is the ANN.
        steps: how many steps each frame of the input is held for, behind the stem's norm.
        connect: how a block joins its two spike trains.
        small: for small images such as CIFAR's: a 3 x 3 stem of stride 1 and no max pooling.
        norm: makes the norm for so many channels.

    Shape: (T, B, channels, H, W) -> (T * steps, B, classes).

    Raises:
        OptionError: a size below 1, or an unknown `connect`.

    Example:
        >>> net = sew_resnet18(classes=10, steps=2, small=True)
        >>> net(torch.zeros(1, 1, 3, 8, 8)).shape
        torch.Size([2, 1, 10])
    """
    return _sew((2, 2, 2, 2), channels, classes, neuron, steps, connect, norm, small=small, bottleneck=False)


@register
def sew_resnet34(
    channels: int = 3,
    classes: int = 1000,
    neuron: Neurons = LIF,
    *,
    steps: int = 1,
    connect: Connect = "add",
    small: bool = False,
    norm: Norms = BatchNorm2d,
) -> torch.nn.Sequential:
    """SEW-ResNet-34; its arguments are those of `sew_resnet18`.

    Shape: (T, B, channels, H, W) -> (T * steps, B, classes).
    """
    return _sew((3, 4, 6, 3), channels, classes, neuron, steps, connect, norm, small=small, bottleneck=False)


@register
def sew_resnet50(
    channels: int = 3,
    classes: int = 1000,
    neuron: Neurons = LIF,
    *,
    steps: int = 1,
    connect: Connect = "add",
    small: bool = False,
    norm: Norms = BatchNorm2d,
) -> torch.nn.Sequential:
    """SEW-ResNet-50, of bottlenecks; its arguments are those of `sew_resnet18`.

    Shape: (T, B, channels, H, W) -> (T * steps, B, classes).
    """
    return _sew((3, 4, 6, 3), channels, classes, neuron, steps, connect, norm, small=small, bottleneck=True)


def _sew(
    depths: tuple[int, ...],
    channels: int,
    classes: int,
    neuron: Neurons,
    steps: int,
    connect: Connect,
    norm: Norms,
    *,
    small: bool,
    bottleneck: bool,
) -> torch.nn.Sequential:
    check_sizes("a SEW-ResNet", channels=channels, classes=classes)
    layers = stem(channels, 64, steps, neuron, small=small, norm=norm)
    block = partial(SEWBlock, neuron=neuron, norm=norm, connect=connect, bottleneck=bottleneck)
    expansion = 4 if bottleneck else 1
    layers |= rows(block, 64, (64, 128, 256, 512), depths, (1, 2, 2, 2), expansion)
    return finished(layers | head(512 * expansion, classes))
