"""Weights on a symmetric integer grid while training: uniform fake quantisation.

    n = 2^(b-1) - 1        s = max|W| / n   for each output channel
    W_q = s clip( round(W / s), -n, n )
    dL/dW = dL/dW_q                          (straight through; with s from the maximum nothing is ever clipped)

Paper: [jacob2018quantization].
Differs from the paper: symmetric, without a zero point, and per output channel.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from snn4.core.errors import OptionError

__all__ = ["FakeQuantise", "baked", "quantise_weights", "weight_bits"]

Net = TypeVar("Net", bound=torch.nn.Module)

_Straight = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
_Transposed = (torch.nn.ConvTranspose1d, torch.nn.ConvTranspose2d, torch.nn.ConvTranspose3d)


class FakeQuantise(torch.nn.Module):
    """W -> W_q, a parametrisation for `torch.nn.utils.parametrize`. It keeps nothing: the scale follows the weights.

    Args:
        bits: b, 2 to 16.
        axis: the axis of the output channels, each with a scale of its own; `None` for one scale.

    Raises:
        OptionError: bits out of range.

    Example:
        >>> FakeQuantise(bits=3)(torch.tensor([[3.0, 0.4, -1.6], [0.3, 0.0, 0.1]]))
        tensor([[ 3.0000,  0.0000, -2.0000],
                [ 0.3000,  0.0000,  0.1000]])
    """

    def __init__(self, bits: int, axis: int | None = 0) -> None:
        super().__init__()
        if not 2 <= bits <= 16:
            raise OptionError(f"weights of {bits} bits", "2 to 16", "A symmetric grid of one bit has the level 0 only.")
        self.bits, self.axis = bits, axis

    def scale(self, weight: Tensor) -> Tensor:
        """s, in a shape that broadcasts against the weights. 1 for a channel of zeros."""
        size = weight.detach().abs()
        if self.axis is None:
            top = size.amax()
        else:
            top = size.amax(dim=[k for k in range(weight.ndim) if k != self.axis], keepdim=True)
        return torch.where(top > 0, top / (2 ** (self.bits - 1) - 1), torch.ones_like(top))

    def forward(self, weight: Tensor) -> Tensor:
        """The quantised weights, with the gradient of the given ones. Shape kept."""
        s, n = self.scale(weight), 2 ** (self.bits - 1) - 1
        quantised = s * (weight.detach() / s).round().clamp(-n, n)
        return weight + (quantised - weight).detach()

    def extra_repr(self) -> str:
        """Bits, for `print(net)`."""
        return f"bits={self.bits}"


def weight_bits(layer: torch.nn.Module) -> int | None:
    """The bits of a layer's weights, `None` where they are not quantised.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 2))
        >>> quantise_weights(net, bits=4, first_bits=4)
        ['0']
        >>> weight_bits(net[0])
        4
    """
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    chain = layer.get_submodule("parametrizations").get_submodule("weight")
    found = [part.bits for part in chain.children() if isinstance(part, FakeQuantise)]
    return found[-1] if found else None


def quantise_weights(net: torch.nn.Module, bits: int = 8, *, first_bits: int | None = None) -> list[str]:
    """Quantise the weights of every linear and convolution layer, in place, for quantisation-aware training.

    The float weights stay the parameters (`parametrizations.weight.original`), the layer computes with the quantised
    ones. The network keeps its classes, can be deep-copied, and goes through `state_dict`. Biases are not quantised:
    hardware holds them in the wide units of the accumulator.

    Args:
        net: the network.
        bits: of the weights.
        first_bits: of the first layer, which sees the data itself; `None` for at least 8.

    Returns:
        The paths of the quantised layers.

    Raises:
        OptionError: bits out of range, no layer to quantise, or one that is quantised already.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
        >>> quantise_weights(net, bits=8)
        ['0', '2']
    """
    layers = [(name, m) for name, m in net.named_modules() if isinstance(m, (*_Straight, *_Transposed))]
    if not layers:
        raise OptionError(
            f"{type(net).__name__} has no linear or convolution layer",
            "weights to quantise",
            "Is it the right network?",
        )
    done = [name for name, layer in layers if weight_bits(layer) is not None]
    if done:
        raise OptionError(
            f"the weights of {', '.join(done)} are quantised already",
            "float weights",
            "Quantise a copy of the float network.",
        )
    # every quantiser is made before the first layer changes, so that a bad option changes nothing
    chosen = [max(bits, 8) if first_bits is None else first_bits, *[bits] * (len(layers) - 1)]
    FakeQuantise(bits)
    quantisers = [
        FakeQuantise(b, axis=1 if isinstance(layer, _Transposed) else 0)
        for b, (_, layer) in zip(chosen, layers, strict=True)
    ]
    for quantiser, (_, layer) in zip(quantisers, layers, strict=True):
        parametrize.register_parametrization(layer, "weight", quantiser)
    return [name for name, _ in layers]


def baked(net: Net) -> Net:
    """A copy whose quantised weights are plain numbers: what runs after training, without rounding at every call.

    Training rounds the weights anew in every forward pass, which costs time that a deployed network does not spend.

    Args:
        net: the network; it is not changed. One without quantised weights is only copied.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 2))
        >>> _ = quantise_weights(net, bits=4)
        >>> x = torch.randn(1, 5, 3)
        >>> torch.equal(baked(net)(x), net(x)), weight_bits(baked(net)[0])
        (True, None)
    """
    copied = copy.deepcopy(net)
    for layer in list(copied.modules()):
        if weight_bits(layer) is not None:
            weight = torch.as_tensor(layer.weight).detach().clone()
            # not parametrize.remove_parametrizations: it takes the property from the class, which the copy shares
            layer.__class__ = type(layer).__bases__[0]
            del layer.parametrizations
            layer.register_parameter("weight", torch.nn.Parameter(weight))
    return copied
