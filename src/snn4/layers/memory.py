"""What a layer keeps for backward(): its input as it is, or spikes as bits.

nn.Linear(400, 10, memory="bits")       one layer
nn.use_memory(net, "bits")              every layer of a network
with snn4.kernels.saved_as("bits"):     everything that runs inside, also what is not ours
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch

from snn4.core.errors import OptionError
from snn4.kernels.spikes import saved_as
from snn4.kernels.spikes.saving import Memory, check_memory

__all__ = ["Keeps", "KeepsInput", "Memory", "use_memory"]

Net = TypeVar("Net", bound=torch.nn.Module)


class Keeps(torch.nn.Module):
    """Mixin of layers that can keep spikes as bits.

    `memory` is `"bits"`, `"dense"`, or `None` for what holds around the call, which at the start is dense. The gradient
    is the same bit for bit; an input that is not made of spikes is found out and kept as it is.
    """

    memory: Memory | None = None

    def saving(self) -> AbstractContextManager[None]:
        """Inside it, autograd keeps tensors as this layer was asked to."""
        if self.memory is None or torch.compiler.is_compiling():
            return nullcontext()
        return saved_as(self.memory)

    def keep(self, memory: Memory | None) -> None:
        """Set `memory`.

        Raises:
            OptionError: an unknown name.
        """
        if memory is not None:
            check_memory(type(self).__name__, memory)
        self.memory = memory

    def extra_repr(self) -> str:
        """What torch tells of the layer, and its memory where it was chosen."""
        told = (super().extra_repr(), self.memory and f"memory={self.memory}")
        return ", ".join(part for part in told if part)


class KeepsInput(Keeps):
    """Mixin of convolutions: torch's arguments, and `memory`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        *args: Any,
        memory: Memory | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, *args, **kwargs)
        self.keep(memory)


def use_memory(net: Net, memory: Memory | None) -> Net:
    """Let every layer of `net` keep its input in this way; returns the same net.

    A setting, like `snn4.use_route`: it is kept in the layers and copied with them, and is no part of the state dict.

    Args:
        net: a network of snn4.nn's layers. Layers of others are left alone; `snn4.kernels.saved_as` covers them.
        memory: `"bits"`, `"dense"`, or `None` for what holds around the call.

    Raises:
        OptionError: an unknown name, or no layer that could.

    Example:
        >>> from snn4 import nn
        >>> use_memory(torch.nn.Sequential(nn.Linear(20, 30), nn.LIF()), "bits")[0]
        Linear(in_features=20, out_features=30, bias=True, memory=bits)
    """
    layers = [module for module in net.modules() if isinstance(module, Keeps)]
    if not layers:
        came = f"{type(net).__name__} has no layer of snn4.nn that keeps its input"
        raise OptionError(came, "nn.Linear, nn.Conv2d, nn.MaxPool2d ...", "Use `with snn4.kernels.saved_as('bits'):`.")
    for layer in layers:
        layer.keep(memory)
    return net
