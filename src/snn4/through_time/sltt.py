r"""SLTT: spatial learning through time. The gradient through the state is left out; each step answers for itself.

    v[t] = beta stopgrad(v[t-1]) + x[t]
    dL/dW = sum_t delta[t] s_pre[t]^T          delta[t]: back-propagation through the layers, at step t alone

With time outermost (`snn4.training.online`) a step's graph is freed as soon as its loss has been sent back, so that
memory does not grow with T. SLTT-K sends back the loss of K steps only, chosen anew for each batch and the same for all
layers; the others run without a graph.

Paper: [meng2023sltt]
Differs from the paper: nothing for SLTT. The loss of SLTT-K is not scaled by T / K.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snn4.core.checks import is_whole
from snn4.core.errors import GraphError, OptionError
from snn4.through_time import registry
from snn4.through_time.contract import answered
from snn4.through_time.routes import Online, Route, detached, refuse_crossing

if TYPE_CHECKING:
    from snn4.through_time.neuron import Neuron

__all__ = ["SLTT", "run_locally"]


def run_locally(neuron: Neuron, xs: Tensor, state: Any) -> tuple[Tensor, Any]:
    """Outputs and last state, with the state cut from the graph before every step; by a kernel where one takes it."""
    ys: list[Tensor] = []
    for x in xs.split(1):
        state = detached(state)
        kernel, _ = registry.choose(neuron, x, state)
        if kernel is None:
            y, state = answered(neuron, neuron.step(x[0], state), state)
            y = y.unsqueeze(0)
        else:
            y, state = kernel(neuron, x, state)
        ys.append(y)
    return ys[0] if len(ys) == 1 else torch.cat(ys), detached(state)


@dataclass(frozen=True)
class SLTT(Route):
    """Spatial learning through time. With one step, or a membrane that keeps nothing, it is BPTT.

    Args:
        k: how many steps of a sequence send a gradient back, chosen at random and without repetition; `None` for all.
            A number needs a loss at every step: `FitConfig(online="batch")`, or `snn4.training.online`.

    Raises:
        OptionError: k below 1; in `use_route`, a member that takes the gradient through time besides the neurons, or a
            neuron that sees the whole sequence at once.

    Example:
        >>> from snn4 import nn, use_route
        >>> net = use_route(torch.nn.Sequential(nn.Linear(3, 4), nn.LIF(tau=1.1)), SLTT())
        >>> net(torch.randn(6, 2, 3)).shape
        torch.Size([6, 2, 4])
    """

    k: int | None = None
    local = True

    def __post_init__(self) -> None:
        if self.k is not None and not is_whole(self.k):
            raise OptionError(f"SLTT got k={self.k!r}", "a number of steps >= 1, or None")

    @property
    def online(self) -> Online:
        """Every step may answer for itself; of K chosen ones the loss has to know."""
        return "yes" if self.k is None else "only"

    def prepare(self, net: torch.nn.Module) -> None:
        """Refuse what carries a gradient through time besides the neurons' states."""
        refuse_crossing(net, self)

    def through(self, neuron: Neuron, xs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Outputs (T, B, *) and last state, which has no graph."""
        if self.k is not None and len(xs) > 1 and torch.is_grad_enabled():
            raise GraphError(
                f"{self} got a sequence of {len(xs)} steps",
                "one step at a time, because the loss has to leave out the same steps as the layers",
                "Train with FitConfig(online='batch') or snn4.training.online(net, xs, loss).",
            )
        return run_locally(neuron, xs, state)

    def asks(self, neuron: Neuron, xs: Tensor, state: Any) -> tuple[registry.Kernel | None, list[tuple[str, str]]]:
        """A kernel for one step."""
        return registry.choose(neuron, xs[:1], state)
