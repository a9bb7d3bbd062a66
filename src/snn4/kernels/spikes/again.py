"""Run a layer once more in backward(), in the place of keeping what it gave.

A linear layer behind spikes has an input that fits into bits, and an output as wide in float32, which the neuron behind
it keeps for backward(). The output can be computed again from the bits: by the same operation on the same values in the
same layout, and so to the same result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from snn4.kernels import torch_facts
from snn4.kernels.spikes.bits import Packed, is_dense
from snn4.kernels.spikes.saving import Kept, keep, keep_dense, restore

__all__ = ["recomputed"]


@dataclass(frozen=True)
class _Recipe:
    """How to make a tensor again.

    Args:
        layer: what made it.
        inputs: from what.
        parameters: the layer's parameters, by name.
        autocast: whether it ran under autocast, and in which type.
    """

    layer: torch.nn.Module
    inputs: Any
    parameters: dict[str, Kept]
    autocast: tuple[bool, torch.dtype]

    def make(self) -> Tensor:
        """The tensor again."""
        given = {name: restore(kept) for name, kept in self.parameters.items()}
        enabled, dtype = self.autocast
        with torch.no_grad(), torch.autocast("cpu", dtype, enabled=enabled):
            ys: Tensor = torch.func.functional_call(self.layer, given, (restore(self.inputs),))
        return ys


def recomputed(layer: torch.nn.Module, neuron: Callable[[Tensor], Tensor], xs: Tensor) -> Tensor:
    """neuron(layer(xs)), where the layer's output is made again for backward() in the place of being kept.

    Args:
        layer: a function of its input and its parameters alone, such as a linear layer or a convolution.
        neuron: what runs behind it.
        xs: the layer's input; kept once, as bits where it is made of spikes.

    Raises:
        GraphError: at backward(), when a parameter of the layer has been changed in place since.
    """
    usable = torch.is_grad_enabled() and not torch.compiler.is_compiling() and torch_facts.watched() is None
    if not usable or xs.device.type != "cpu":
        return neuron(layer(xs))
    inputs, place = keep(xs), _Place.of(xs)
    hooks = torch.autograd.graph.saved_tensors_hooks

    def keep_input(tensor: Tensor) -> Any:
        if isinstance(inputs, Packed) and _Place.of(tensor).memory == place.memory and is_dense(tensor):
            return replace(inputs, shape=tensor.shape, strides=tensor.stride())
        return keep(tensor)

    with hooks(keep_input, restore):
        ys = layer(xs)
    parameters = {name: keep_dense(parameter) for name, parameter in layer.named_parameters()}
    autocast = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
    recipe = _Recipe(layer, inputs, parameters, autocast)

    made = _Place.of(ys)

    def keep_output(tensor: Tensor) -> Any:
        return recipe if _Place.of(tensor) == made else keep(tensor)

    def give(kept: Any) -> Tensor:
        return kept.make() if isinstance(kept, _Recipe) else restore(kept)

    with hooks(keep_output, give):
        return neuron(ys)


@dataclass(frozen=True)
class _Place:
    """Where a tensor lies, to be told again while it lives. A hook that held the tensor would keep it alive."""

    memory: tuple[int, int, torch.dtype]
    shape: torch.Size
    strides: tuple[int, ...]

    @classmethod
    def of(cls, tensor: Tensor) -> _Place:
        return cls((tensor.data_ptr(), tensor.numel(), tensor.dtype), tensor.shape, tensor.stride())
