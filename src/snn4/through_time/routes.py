"""Routes: how a gradient goes back through time. One object, handed to the same network.

snn4.use_route(net, BPTT(truncate=20))

A route may change gradients and nothing else: outputs and states are those of every other route, bit for bit.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import torch
from torch import Tensor

from snn4.core.checks import is_whole
from snn4.core.errors import OptionError
from snn4.through_time import registry
from snn4.through_time.loop import reference_loop
from snn4.through_time.stateful import Stateful
from snn4.through_time.synapse import Synapse

if TYPE_CHECKING:
    from snn4.through_time.neuron import Neuron

__all__ = ["BPTT", "Online", "Route", "detached", "loops", "refuse_crossing", "use_route"]

Net = TypeVar("Net", bound=torch.nn.Module)
Online = Literal["no", "yes", "only"]


class Route(abc.ABC):
    """Abstract: a way to run a neuron over a sequence, whose forward equals BPTT's and whose gradient is its own.

    A subclass writes `through`. Optional parts of the contract:

    - `online`: `"yes"` where the loss may also be taken, and sent back, at every step (`snn4.training.online`), `"no"`
      where the gradient needs the whole sequence, `"only"` where it needs a loss at every step;
    - `local`: no gradient goes from one step to an earlier one;
    - `cuts(t)`: none goes from step t to the one before; a `Loop`, whose neurons see single steps, asks this;
    - `prepare(net)`: refuses, when it is chosen, what it cannot serve, and gives synapses their rule.

    `snn4.testing.check_route(MyRoute())` checks all that a route promises.
    """

    local: bool = False
    exempt: ClassVar[Mapping[str, str]] = {}
    """The laws of `snn4.testing.check_route` that this kind of route cannot keep, each with its reason."""

    @property
    def online(self) -> Online:
        """Whether the loss may, or must, be sent back at every step."""
        return "no"

    @abc.abstractmethod
    def through(self, neuron: Neuron, xs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Outputs (T, B, *) and last state."""

    def prepare(self, net: torch.nn.Module) -> None:  # noqa: B027  (most routes serve every network)
        """Refuse what this route cannot serve, by name, and set up the synapses.

        Raises:
            OptionError: a member of `net` that it cannot serve.
        """

    def cuts(self, step: int) -> bool:
        """Whether no gradient goes from a step, counted from the start of the call, to the one before."""
        return self.local

    def asks(self, neuron: Neuron, xs: Tensor, state: Any) -> tuple[registry.Kernel | None, list[tuple[str, str]]]:
        """The kernel that would run this call, and who refused; for `snn4.explain`."""
        return None, []


@dataclass(frozen=True)
class BPTT(Route):
    """Back-propagation through time: the gradient of the unrolled network.

    Paper: [werbos1990bptt]

    Args:
        truncate: cut the gradient through the state every so many steps, counted from the start of each call; `None`
            keeps it whole. The forward pass does not change.

    Raises:
        OptionError: a truncation that is no number of steps; in `use_route`, one of a network in which something other
            than the steps of neurons takes a gradient through time.
    """

    truncate: int | None = None

    def __post_init__(self) -> None:
        if self.truncate is not None and not is_whole(self.truncate):
            raise OptionError(f"BPTT got truncate={self.truncate!r}", "a number of steps >= 1, or None")

    def prepare(self, net: torch.nn.Module) -> None:
        """Refuse what a truncation cannot cut."""
        if self.truncate is not None:
            refuse_crossing(net, self)

    def cuts(self, step: int) -> bool:
        """Every `truncate` steps."""
        return self.truncate is not None and step > 0 and step % self.truncate == 0

    def through(self, neuron: Neuron, xs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Outputs (T, B, *) and last state, by a kernel or the reference loop."""
        if self.truncate is None:
            kernel, _ = registry.choose(neuron, xs, state)
            return reference_loop(neuron, xs, state) if kernel is None else kernel(neuron, xs, state)

        def cut(t: int, before: Any) -> Any:
            return detached(before) if self.cuts(t) else before

        return reference_loop(neuron, xs, state, between=cut)

    def asks(self, neuron: Neuron, xs: Tensor, state: Any) -> tuple[registry.Kernel | None, list[tuple[str, str]]]:
        """A kernel, where the gradient is whole."""
        return registry.choose(neuron, xs, state) if self.truncate is None else (None, [])


def detached(state: Any) -> Any:
    """The same state, cut from the graph."""
    return type(state)(*(field.detach() for field in state))


def loops(module: torch.nn.Module) -> bool:
    """Whether a module runs neurons inside it one step at a time."""
    from snn4.through_time.neuron import Neuron

    if not isinstance(module, Stateful) or isinstance(module, Neuron):
        return False
    return any(isinstance(m, Neuron) for m in module.modules())


def refuse_crossing(net: torch.nn.Module, route: Route) -> None:
    """Refuse a network in which something other than the steps of neurons takes a gradient through time.

    Raises:
        OptionError: names every such member, with its reason.
    """
    from snn4.through_time.neuron import Neuron

    def reason(module: torch.nn.Module) -> str:
        if isinstance(module, Neuron) and type(module).sequence is not Neuron.sequence:
            return module.own_sequence or "it has a sequence() of its own, which no route goes through"
        return module.crosses if isinstance(module, Stateful) else ""

    found = [
        f"{name or 'the network'} ({type(m).__name__}): {why}" for name, m in net.named_modules() if (why := reason(m))
    ]
    if found:
        raise OptionError(
            f"{type(route).__name__} cuts the gradient between steps, but the network has {'; '.join(found)}",
            "members that carry nothing but neurons' states from step to step",
            "Take snn4.BPTT(), or leave that member out.",
        )


def use_route(net: Net, route: Route) -> Net:
    """Let every neuron of `net` be differentiated along `route`; returns the same net.

    A setting, like `requires_grad_`: it is kept in the neurons and synapses, and copied with them.

    Raises:
        OptionError: the network has no neuron, `route` is none, or it cannot serve a member, which is named; the
            network then keeps the route that it had.

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
    synapses = [module for module in net.modules() if isinstance(module, Synapse)]
    before = [synapse.rule for synapse in synapses]
    for synapse in synapses:
        synapse.rule = None
    try:
        route.prepare(net)
    except Exception:
        for synapse, rule in zip(synapses, before, strict=True):
            synapse.rule = rule
        raise
    for module in net.modules():
        if isinstance(module, Stateful):
            module.route = route
    return net
