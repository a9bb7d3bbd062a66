"""Routes: how a gradient goes back through time. One object, handed to the same network.

snn4.use_route(net, BPTT(truncate=20))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.through_time import registry
from snn4.through_time.loop import reference_loop

if TYPE_CHECKING:
    from snn4.through_time.neuron import Neuron

__all__ = ["BPTT", "Route", "use_route"]

Net = TypeVar("Net", bound=torch.nn.Module)


@runtime_checkable
class Route(Protocol):
    """A way to run a neuron over a sequence whose forward equals BPTT's and whose gradient is the route's own."""

    def through(self, neuron: Neuron, xs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Outputs (T, B, *) and last state."""
        ...


@dataclass(frozen=True)
class BPTT:
    """Back-propagation through time: the gradient of the unrolled network.

    Paper: [werbos1990bptt]

    Args:
        truncate: cut the gradient through the state every so many steps, counted from the start of each call; `None`
            keeps it whole. The forward pass does not change.
    """

    truncate: int | None = None

    def __post_init__(self) -> None:
        if self.truncate is not None and self.truncate < 1:
            raise OptionError(f"BPTT got truncate={self.truncate}", "a number of steps >= 1, or None")

    def through(self, neuron: Neuron, xs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Outputs (T, B, *) and last state, by a kernel or the reference loop."""
        every = self.truncate
        if every is None:
            kernel, _ = registry.choose(neuron, xs, state)
            return reference_loop(neuron, xs, state) if kernel is None else kernel(neuron, xs, state)

        def cut(t: int, before: Any) -> Any:
            return type(before)(*(f.detach() for f in before)) if t and t % every == 0 else before

        return reference_loop(neuron, xs, state, between=cut)


def use_route(net: Net, route: Route) -> Net:
    """Let every neuron of `net` be differentiated along `route`; returns the same net.

    A setting, like `requires_grad_`: it is kept in the neurons and copied with them.

    Raises:
        OptionError: the network has no neuron, or `route` is none.

    Example:
        >>> from snn4 import nn
        >>> net = use_route(torch.nn.Sequential(nn.LIF()), BPTT(truncate=2))
        >>> net[0].route
        BPTT(truncate=2)
    """
    from snn4.through_time.neuron import Neuron

    if not isinstance(route, Route):
        raise OptionError(f"use_route got {route!r}", "a route", "Write use_route(net, snn4.BPTT(truncate=20)).")
    neurons = [module for module in net.modules() if isinstance(module, Neuron)]
    if not neurons:
        raise OptionError(f"{type(net).__name__} has no neuron", "a network with at least one", "Add nn.LIF() to it.")
    for neuron in neurons:
        neuron.route = route
    return net
