r"""OTTT: online training through time. As SLTT, but a weight learns from a trace of its past inputs.

    a[t] = lambda a[t-1] + s_pre[t]
    dL/dW = sum_t delta[t] a[t]^T              delta[t]: back-propagation through the layers, at step t alone

The bias and what is sent to the layer below do not change. lambda is the decay of the membranes: for one hidden layer
with a soft, detached reset the trace is the whole of the past, and this is BPTT.

The authors' code differs from that in two places, each a switch here. The first layer, which meets the input, learns
from the present input; and the readout, which has no membrane, learns from the trace.

OTTT_A (one step of the optimiser a batch) is `FitConfig(online="batch")`, OTTT_O (one at every time step)
`FitConfig(online="step")`.

Paper: [xiao2022ottt]
Differs from the paper: batch norm is allowed; it is then taken over each step, and the trace does not see it. The
paper's weight standardisation is `snn4.nn.standardised`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.through_time import registry
from snn4.through_time.routes import Online, Route, loops, refuse_crossing
from snn4.through_time.sltt import run_locally
from snn4.through_time.synapse import Rule, Synapse

if TYPE_CHECKING:
    from snn4.through_time.neuron import Neuron

__all__ = ["OTTT", "Traced", "fed_back", "synapses_of"]

Sees = Literal["trace", "input"]


@dataclass(frozen=True)
class Traced(Rule):
    """A synapse whose weight learns from a[t] = decay a[t-1] + x[t]."""

    decay: float

    def through(self, synapse: Synapse, xs: Tensor) -> Tensor:
        """W * x + b, with the trace for the weight's gradient."""
        weight, bias = synapse.acting()
        key, before = synapse.incoming(xs, synapse.Trace(torch.zeros_like(xs[0], dtype=weight.dtype)))
        traces: list[Tensor] = []
        trace: Tensor = before.trace
        with torch.no_grad():
            for x in xs.unbind(0):
                trace = self.decay * trace + x
                traces.append(trace)
        synapse.outgoing(key, synapse.Trace(trace))
        learns = torch.is_grad_enabled() and (xs.requires_grad or weight.requires_grad)
        return synapse.apply_weight(xs, torch.stack(traces) if learns else None, weight=weight, bias=bias)


@dataclass(frozen=True)
class OTTT(Route):
    """Online training through time.

    Args:
        decay: lambda; `None` takes the decay of the neurons, which must then have one and the same, as a fixed number.
        first: what the first layer with weights learns from: the present `"input"`, as in the authors' code, or the
            `"trace"`.
        readout: what the layers with weights behind the last spiking neuron learn from: the `"trace"`, as in the
            authors' code, or the present `"input"`.

    First and last go by the order in which modules are registered.

    Raises:
        OptionError: a decay outside of [0, 1], or another word; in `use_route`, neurons without one common decay, a
            layer with weights that keeps no trace, or a member that takes the gradient through time.

    Example:
        >>> from snn4 import nn, use_route
        >>> net = use_route(torch.nn.Sequential(nn.Linear(3, 4), nn.LIF(), nn.Linear(4, 2)), OTTT())
        >>> net[0].rule, net[2].rule
        (None, Traced(decay=0.5))
    """

    decay: float | None = None
    first: Sees = "input"
    readout: Sees = "trace"
    local = True

    def __post_init__(self) -> None:
        if self.decay is not None and not 0 <= self.decay <= 1:
            raise OptionError(f"OTTT got decay={self.decay!r}", "a number from 0 to 1, or None for the neurons' own")
        for name, word in (("first", self.first), ("readout", self.readout)):
            if word not in ("trace", "input"):
                raise OptionError(f"OTTT got {name}={word!r}", "'trace' or 'input'")

    @property
    def online(self) -> Online:
        """Every step may answer for itself."""
        return "yes"

    def prepare(self, net: torch.nn.Module) -> None:
        """Refuse what keeps no trace, and give the others theirs."""
        refuse_crossing(net, self)
        synapses, readout = synapses_of(net, self)
        rule = Traced(self._decay(net))
        for n, (_, synapse) in enumerate(synapses):
            # inside a loop the neuron is registered before the layer that feeds it back
            last = n >= readout and not fed_back(net, synapse)
            instantaneous = (n == 0 and self.first == "input") or (last and self.readout == "input")
            synapse.rule = None if instantaneous else rule

    def _decay(self, net: torch.nn.Module) -> float:
        if self.decay is not None:
            return self.decay
        found = dict(_decays(net))
        values = set(found.values())
        if len(values) != 1 or None in values:
            said = ", ".join(f"{path}: {'no single fixed one' if b is None else f'{b:g}'}" for path, b in found.items())
            raise OptionError(
                f"OTTT finds these decays ({said})",
                "one fixed decay for all neurons, which the traces share",
                "Write OTTT(decay=0.5), with the number that they should take.",
            )
        return next(value for value in values if value is not None)

    def through(self, neuron: Neuron, xs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Outputs (T, B, *) and last state, which has no graph."""
        return run_locally(neuron, xs, state)

    def asks(self, neuron: Neuron, xs: Tensor, state: Any) -> tuple[registry.Kernel | None, list[tuple[str, str]]]:
        """A kernel for one step."""
        return registry.choose(neuron, xs[:1], state)


def _decays(net: torch.nn.Module) -> Iterator[tuple[str, float | None]]:
    """Path and decay of every spiking neuron; None where it is learned, not one number, or there is none."""
    from snn4.through_time.neuron import Neuron

    for path, module in net.named_modules():
        if isinstance(module, Neuron) and module.alphabet is not None:
            try:
                with torch.enable_grad():
                    decay = module.decay_of_v
            except NotImplementedError:
                decay = None
            if isinstance(decay, Tensor):
                decay = decay.item() if decay.numel() == 1 and not decay.requires_grad else None
            yield path or "the network", decay


def synapses_of(net: torch.nn.Module, route: Route) -> tuple[list[tuple[str, Synapse]], int]:
    """The layers with weights, in the order of registration, and the number of those before the last spiking neuron.

    Raises:
        OptionError: a member with a weight of more than one axis that is no synapse, or no synapse at all.
    """
    from snn4.through_time.neuron import Neuron

    found: list[tuple[str, Synapse]] = []
    hidden = 0
    inside: set[int] = set()
    foreign: list[str] = []
    for path, module in net.named_modules():
        if isinstance(module, Neuron) and module.alphabet is not None:
            hidden = len(found)
        if isinstance(module, (Synapse, Neuron)):
            inside |= {id(p) for p in module.parameters()}
        if isinstance(module, Synapse):
            found.append((path or "the network", module))
        elif any(p.ndim > 1 and id(p) not in inside for p in module.parameters(recurse=False)):
            foreign.append(f"{path or 'the network'} ({type(module).__name__})")
    if foreign or not found:
        raise OptionError(
            f"{type(route).__name__} met {', '.join(foreign) or 'a network without weights'}",
            "layers with weights that follow the synapse protocol",
            "snn4.nn's Linear and convolutions do; a torch layer inside nn.Fold does not.",
        )
    return found, hidden


def fed_back(net: torch.nn.Module, synapse: Synapse) -> bool:
    """Whether a layer stands in a loop with a neuron, which it feeds although it comes after it."""
    return any(loops(one) and any(m is synapse for m in one.modules()) for one in net.modules())
