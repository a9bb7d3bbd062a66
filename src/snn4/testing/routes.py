"""`check_route`: all that a route promises, in one call."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.layers import Linear
from snn4.neurons import LI, LIF
from snn4.testing.compare import changes, differs, fingerprint
from snn4.testing.judge import Law, LawReport, judge, law
from snn4.through_time import BPTT, Neuron, Route, Stateful, run, use_route
from snn4.through_time.synapse import Synapse
from snn4.training import online

__all__ = ["ROUTE_LAWS", "check_route"]

Gradients = dict[str, Tensor | None]


@dataclass(frozen=True)
class Routed:
    """A route under judgement: small networks in float64, and inputs that make them fire.

    Args:
        route: who is judged.
        make: makes a fresh neuron.
        forgetful: makes a neuron that keeps nothing from one step to the next.
        steps: T.
        seed: of weights and inputs.
    """

    route: Route
    make: Callable[[], Neuron]
    forgetful: Callable[[], Neuron]
    steps: int
    seed: int

    def net(self, route: Route | None = None, *, make: Callable[[], Neuron] | None = None) -> torch.nn.Sequential:
        """Two spiking layers and a readout, along the route that is judged or another."""
        make = make or self.make
        net = torch.nn.Sequential(Linear(3, 6), make(), Linear(6, 5), make(), Linear(5, 2), LI(tau=1.0)).double()
        draw = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            for parameter in (p for m in net if isinstance(m, Linear) for p in m.parameters()):
                parameter.copy_(torch.randn(parameter.shape, generator=draw, dtype=torch.float64) * 0.7)
        return use_route(net, route or self.route)

    def inputs(self, steps: int | None = None) -> Tensor:
        """Shape (T, 4, 3)."""
        draw = torch.Generator().manual_seed(self.seed + 1)
        return torch.randn(steps or self.steps, 4, 3, generator=draw, dtype=torch.float64) * 2

    def gradients(self, net: torch.nn.Module, xs: Tensor, *, stepwise: bool | None = None) -> tuple[Tensor, Gradients]:
        """Outputs and gradients for a loss of each step, in the way that the network's route asks for."""
        route = next(m.route for m in net.modules() if isinstance(m, Neuron))
        net.zero_grad()
        if stepwise if stepwise is not None else route.online == "only":
            # of k steps, all: the others would have no part in what is compared
            draw = torch.Generator().manual_seed(self.seed)
            ys = online(net, xs, lambda y: y.square().sum(), generator=draw).outputs
        else:
            ys = net(xs)
            (ys.square().sum() / len(xs)).backward()
        return ys.detach(), {name: p.grad for name, p in net.named_parameters() if p.requires_grad}


@law("spikes", "Outputs and states are those of back-propagation through time, bit for bit.")
def spikes(subject: Routed) -> Iterator[str]:
    """With gradients, in the route's own order of time, and without."""
    xs = subject.inputs()
    expected, whole = run(subject.net(BPTT()), xs)
    ys, _ = subject.gradients(subject.net(), xs)
    yield from differs("outputs in training", ys, expected.detach())
    if not bool(expected.any()):
        yield "no neuron of this check fires; give another neuron"
    with torch.no_grad():
        ys, state = run(subject.net(), xs)
    yield from differs("outputs without gradients", ys, expected.detach())
    for key, entry in whole.items():
        for field, mine, theirs in zip(entry._fields, state[key], entry, strict=True):  # pyright: ignore[reportAttributeAccessIssue]
            yield from differs(f"the last {field} of {key}", mine, theirs.detach())


@law("one step", "With one step, gradients are those of back-propagation.")
def one_step(subject: Routed) -> Iterator[str]:
    """There is no time to differ over."""
    xs = subject.inputs(1)
    yield from _against_bptt(subject, xs, subject.make)


@law("no memory", "With neurons that keep nothing, gradients are those of back-propagation.")
def no_memory(subject: Routed) -> Iterator[str]:
    """A decay of 0."""
    yield from _against_bptt(subject, subject.inputs(), subject.forgetful)


def _against_bptt(subject: Routed, xs: Tensor, make: Callable[[], Neuron]) -> Iterator[str]:
    _, expected = subject.gradients(subject.net(BPTT(), make=make), xs)
    _, found = subject.gradients(subject.net(make=make), xs)
    yield from _apart(found, expected)


def _apart(found: Gradients, expected: Gradients) -> Iterator[str]:
    for name, theirs in expected.items():
        mine = found[name]
        if mine is None or theirs is None:
            if mine is not theirs:
                yield f"{name} has {'no' if mine is None else 'a'} gradient"
            continue
        yield from differs(f"the gradient of {name}", mine, theirs, 1e-10)


@law("gradients arrive", "Every weight gets a gradient.")
def arrives(subject: Routed) -> Iterator[str]:
    """Of the layers below as well."""
    _, found = subject.gradients(subject.net(), subject.inputs())
    yield from (f"{name} gets no gradient" for name, grad in found.items() if grad is None or not bool(grad.any()))


@law("gradients are finite", "No input, however large, makes a gradient infinite or NaN.")
def finite(subject: Routed) -> Iterator[str]:
    """From silence to a thousand times the usual."""
    for factor in (0.0, 1.0, -30.0, 1000.0):
        _, found = subject.gradients(subject.net(), subject.inputs() * factor)
        for name, grad in found.items():
            if grad is not None and not bool(grad.isfinite().all()):
                yield f"inputs {factor:g} times as large make the gradient of {name} not finite"


@law("state is carried", "A sequence in pieces gives the outputs of the whole, in training as well.")
def carried(subject: Routed) -> Iterator[str]:
    """Cut at every place."""
    xs = subject.inputs()
    whole, _ = subject.gradients(subject.net(), xs)
    for at in range(1, len(xs)):
        net, pieces = subject.net(), (xs[:at], xs[at:])
        if subject.route.online == "only":
            draw = torch.Generator().manual_seed(0)
            first = online(net, pieces[0], lambda y: y.sum(), generator=draw)
            second = online(net, pieces[1], lambda y: y.sum(), generator=draw, state=first.state)
            ys = torch.cat([first.outputs, second.outputs])
        else:
            before, state = run(net, pieces[0])
            ys = torch.cat([before, run(net, pieces[1], state)[0]]).detach()
        yield from differs(f"outputs cut at step {at}", ys, whole)


@law("online", "A route that may be online gives the same gradients with time outermost and layer by layer.")
def both_orders(subject: Routed) -> Iterator[str]:
    """For those that may; others have one order only."""
    if subject.route.online == "yes":
        xs = subject.inputs()
        ys, found = subject.gradients(subject.net(), xs, stepwise=True)
        expected_ys, expected = subject.gradients(subject.net(), xs, stepwise=False)
        yield from differs("outputs", ys, expected_ys, 1e-12)
        yield from _apart(found, expected)


@law("pure", "A call changes nothing in the network, and the next call gives the same.")
def pure(subject: Routed) -> Iterator[str]:
    """Also in the route, the neurons and the synapses."""
    net, xs = subject.net(), subject.inputs()
    first, grads = subject.gradients(net, xs)
    kept = {name: None if grad is None else grad.clone() for name, grad in grads.items()}
    before = _settings(net)
    again, found = subject.gradients(net, xs)
    yield from differs("outputs of the second call", again, first)
    yield from _apart(found, kept)
    if changed := changes(before, _settings(net)):
        yield f"a call changed {', '.join(changed)}"


def _settings(net: torch.nn.Module) -> dict[str, object]:
    """What modules hold, but for gradients and torch's bookkeeping."""
    return {key: value for key, value in fingerprint(net).items() if not key.endswith("_parameters")}


@law("a setting", "It is copied with the network, and another route takes its place without a trace.")
def setting(subject: Routed) -> Iterator[str]:
    """Neurons and synapses."""
    net, xs = subject.net(), subject.inputs()
    _, expected = subject.gradients(net, xs)
    _, found = subject.gradients(copy.deepcopy(net), xs)
    yield from _apart(found, expected)
    names = set(net.state_dict())
    use_route(net, BPTT())
    if names != set(net.state_dict()):
        yield "it adds to the network's state_dict"
    left = [name for name, m in net.named_modules() if isinstance(m, Synapse) and m.rule is not None]
    left += [name for name, m in net.named_modules() if isinstance(m, Stateful) and m.route != BPTT()]
    if left:
        yield f"another route leaves it in {', '.join(left)}"


ROUTE_LAWS: tuple[Law[Routed], ...] = (
    spikes,
    one_step,
    no_memory,
    arrives,
    finite,
    carried,
    both_orders,
    pure,
    setting,
)


def check_route(
    route: Route,
    *,
    neuron: Callable[[], Neuron] | None = None,
    forgetful: Callable[[], Neuron] | None = None,
    steps: int = 6,
    exempt: Mapping[str, str] | None = None,
    seed: int = 0,
) -> LawReport:
    """Try every law of routes on small networks.

    Args:
        route: the route.
        neuron: makes a neuron that the route serves; default a LIF with a soft reset.
        forgetful: makes one that keeps nothing from step to step; default a LIF whose decay is 0.
        steps: length of the sequences, at least 3.
        exempt: laws that cannot hold, each with its reason; those in the route's own `exempt` need not be repeated.
        seed: of weights and inputs.

    Returns:
        The laws kept and exempted; prints as a table.

    Raises:
        LawError: names every broken law, with what was seen.
        OptionError: no route, or arguments out of range.

    Example:
        >>> import snn4
        >>> report = check_route(snn4.SLTT())
        >>> len(report.kept), report.exempt
        (9, ())
    """
    if not isinstance(route, Route) or steps < 3:
        raise OptionError(
            f"check_route got {route!r} and steps={steps}", "a route and steps >= 3", "Write check_route(MyRoute())."
        )
    subject = Routed(route, neuron or LIF, forgetful or (lambda: LIF(tau=1.0)), steps, seed)
    return judge(type(route).__name__, ROUTE_LAWS, subject, {**route.exempt, **(exempt or {})})
