r"""e-prop: eligibility propagation. What a synapse has done to its neuron's state goes forward in time with it.

    h[t] = f(h[t-1], x[t]),    x[t] = W z_pre[t] + ...,    s[t] = g(h[t-1], x[t])
    eps[t] = dh[t]/dh[t-1] eps[t-1] + dh[t]/dx[t] z_pre[t]                  eligibility vector, one entry a state field
    e[t]   = ds[t]/dh[t-1] eps[t-1] + ds[t]/dx[t] z_pre[t]                  eligibility trace
    dL/dW  = sum_t L[t] F(e[t])                                             L[t] = dl[t]/ds[t] at step t alone

F is the low-pass filter of a leaky readout, y[t] = kappa y[t-1] + ..., which sees the spikes of earlier steps. The
factors come from the neuron's own `step`, so that any elementwise neuron serves: LIF, ALIF and others. What is left out
is the way from a spike through other neurons to later steps; one layer without recurrence has none, and this is BPTT.

The weight of a convolution has an eligibility at every place of the map, and its z_pre is the patch there: C k^2
numbers for each neuron and state field, where back-propagation keeps a few for each neuron and step. That is for few
channels, long sequences and those without an end; else take BPTT, or SLTT and OTTT, whose traces belong to inputs.

Paper: [bellec2020eprop]
Differs from the paper: with `feedback="random"` errors go back through fixed random weights from layer to layer, which
for one hidden layer is the paper's; the reset is part of h, unless the neuron detaches it, as the paper does. There is
no adaptive feedback and no regularisation of firing rates.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import InitVar, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Generator, Tensor

from snn4.core.errors import GraphError, OptionError
from snn4.surrogates import MSG
from snn4.through_time import registry
from snn4.through_time.eligibility import Learn, Presynaptic, derivatives, eligibility
from snn4.through_time.loop import reference_loop
from snn4.through_time.ottt import fed_back, synapses_of
from snn4.through_time.routes import Online, Route, refuse_crossing
from snn4.through_time.session import current
from snn4.through_time.synapse import Rule, Synapse

if TYPE_CHECKING:
    from snn4.through_time.neuron import Neuron

__all__ = ["EProp", "Eligible"]


class _Backwards(torch.autograd.Function):
    """One value, whose error goes back into another as well."""

    @staticmethod
    def forward(ctx: Any, ys: Tensor, others: Tensor) -> Tensor:  # noqa: ARG004
        return ys.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, Tensor]:  # noqa: ARG004
        return grad_outputs[0], grad_outputs[0]


@dataclass(frozen=True, eq=False)
class Eligible(Rule):
    """A synapse that learns from its eligibility, or, with `here`, from the present step."""

    back: Tensor | None
    here: bool
    kappa: float

    def through(self, synapse: Synapse, xs: Tensor) -> Tensor:
        """W x + b; the neuron that it feeds finds it in the session."""
        weight, bias = synapse.acting()
        learns = torch.is_grad_enabled() and not self.here
        if learns:
            weight, bias = weight.detach(), None if bias is None else bias.detach()
        if self.back is None:
            ys = synapse.apply_weight(xs, None, weight=weight, bias=bias)
        else:
            ys = synapse.apply_weight(xs.detach(), None, weight=weight, bias=bias)
            through = synapse.apply_weight(xs, None, weight=self.back.to(weight), bias=None)
            ys: Tensor = _Backwards.apply(ys, through)
        if learns:
            session = current()
            if session is None or len(xs) != 1:
                raise _one_step_at_a_time(f"{type(synapse).__name__} got a sequence of {len(xs)} steps")
            session.presynaptic.append(Presynaptic(synapse, session.enter(synapse), xs[0].detach(), ys, self.kappa))
        return ys


@dataclass(frozen=True)
class EProp(Route):
    """Eligibility propagation; online only. It keeps one number a synapse, sample and state field of the neuron.

    A convolution has as many synapses as a dense layer would that is 0 outside of its patches.

    Args:
        feedback: errors go back through the transposed weights (`"symmetric"`), or through fixed random ones.
        filter: kappa, the decay of a leaky readout; `None` takes that of the network's `LI`, and none without one.
        generator: of the random weights.

    Raises:
        OptionError: a decay outside of [0, 1), random feedback without a generator; in `use_route`, a layer with
            weights that is neither `nn.Linear` nor `nn.Conv1d`, `nn.Conv2d`, `nn.Conv3d`, a norm between weights and
            neuron, a neuron that learns quantities of its own, sees the whole sequence or has a state unlike its
            input, or readouts with several decays.

    Example:
        >>> from snn4 import nn, use_route
        >>> net = torch.nn.Sequential(nn.Linear(3, 4), nn.ALIF(), nn.Linear(4, 2), nn.LI())
        >>> use_route(net, EProp())[1].route
        EProp(feedback='symmetric', filter=None, seed=None)
    """

    feedback: Literal["symmetric", "random"] = "symmetric"
    filter: float | None = None
    generator: InitVar[Generator | None] = None
    seed: int | None = field(init=False, default=None)
    local = True

    def __post_init__(self, generator: Generator | None) -> None:
        if self.filter is not None and not 0 <= self.filter < 1:
            raise OptionError(f"EProp got filter={self.filter!r}", "a decay in [0, 1), or None for the readout's own")
        if self.feedback not in ("symmetric", "random") or (self.feedback == "random") != (generator is not None):
            raise OptionError(
                f"EProp got feedback={self.feedback!r} {'without a' if generator is None else 'and a'} generator",
                "'symmetric', or 'random' with a torch.Generator",
            )
        if generator is not None:
            # a number and not the generator: copies of a network draw the same weights
            drawn = torch.randint(2**62, (), generator=generator, device=generator.device)
            object.__setattr__(self, "seed", int(drawn))

    @property
    def online(self) -> Online:
        """A loss at every step, because eligibilities go forward in time."""
        return "only"

    def prepare(self, net: torch.nn.Module) -> None:
        """Refuse what has no eligibility, and give synapses their rule."""
        from snn4.through_time.neuron import Neuron

        refuse_crossing(net, self)
        neurons = [(path or "the network", m) for path, m in net.named_modules() if isinstance(m, Neuron)]
        synapses, _ = synapses_of(net, self)
        found = [f"{path} ({why})" for path, neuron in neurons if (why := _why_not(neuron)) is not None]
        found += [
            f"{path} ({type(s).__name__}, neither Linear nor a convolution)" for path, s in synapses if s.rows is None
        ]
        found += [f"{path} ({type(m).__name__}, between weights and a neuron)" for path, m in _in_between(net)]
        if found:
            raise OptionError(
                f"EProp cannot serve {'; '.join(found)}",
                "nn.Linear, convolutions, and right behind them elementwise neurons that learn nothing themselves",
                "Take snn4.SLTT(), snn4.OTTT() or snn4.BPTT(), or other members; nn.standardised(layer) in place of a "
                "norm.",
            )
        kappa = self._kappa(net)
        last = [m for m in net.modules() if isinstance(m, (Neuron, Synapse))]
        for n, (_, synapse) in enumerate(synapses):
            back = None
            if self.seed is not None:
                weight = synapse.weight
                assert isinstance(weight, Tensor)
                draw = torch.Generator().manual_seed((self.seed + n) % 2**63)
                back = torch.randn(weight.shape, generator=draw) / weight[0].numel() ** 0.5
            behind = any(isinstance(m, Neuron) for m in last[last.index(synapse) + 1 :])
            synapse.rule = Eligible(back, here=not behind and not fed_back(net, synapse), kappa=kappa)

    def _kappa(self, net: torch.nn.Module) -> float:
        """The decay of the filter.

        Raises:
            OptionError: readouts with several decays, and none given.
        """
        from snn4.through_time.neuron import Neuron

        if self.filter is not None:
            return self.filter
        found = [torch.as_tensor(m.decay_of_v).detach() for m in net.modules() if isinstance(m, Neuron) and m.linear]
        decays = {value for decay in found for value in decay.flatten().tolist()}
        if len(decays) > 1:
            raise OptionError(
                f"EProp finds readouts with the decays {', '.join(f'{d:g}' for d in sorted(decays))}",
                "one",
                "Write EProp(filter=0.5).",
            )
        return decays.pop() if decays else 0.0

    def through(self, neuron: Neuron, xs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Outputs (1, B, *) and last state, without a graph; without gradients any number of steps."""
        session = current()
        if not torch.is_grad_enabled():
            kernel, _ = registry.choose(neuron, xs, state)
            return reference_loop(neuron, xs, state) if kernel is None else kernel(neuron, xs, state)
        if session is None or len(xs) != 1:
            raise _one_step_at_a_time(f"{type(neuron).__name__} got a sequence of {len(xs)} steps")
        before = list(session.presynaptic)
        session.presynaptic.clear()
        if any(one.outputs.shape != xs.shape for one in before):
            raise OptionError(
                f"EProp finds a layer of {tuple(before[0].outputs.shape[2:])} before a {type(neuron).__name__} of "
                f"{tuple(xs.shape[2:])}",
                "layers of as many outputs as the neurons that they feed",
                "Neurons of several kinds side by side share their weights: take snn4.OTTT() or snn4.BPTT().",
            )
        if before and not _adds_up([one.outputs for one in before], xs):
            raise OptionError(
                f"EProp finds {len(before)} layers with weights before {type(neuron).__name__}, which do not add up to "
                "its input",
                "nothing but nn.Linear, convolutions and sums between what a neuron gets and the spikes of others",
                "Leave norms out, pool behind the neuron, or take snn4.OTTT().",
            )
        y, last, out, into, own = derivatives(neuron, xs[0], state)
        traces: list[Tensor] = []
        parameters: list[Tensor | None] = []
        axes = [one.synapse.rows for one in before]
        for one in before:
            traces.append(eligibility(session, one, out, into, own, spiking=not neuron.linear))
            parameters += one.synapse.acting()
        ys: Tensor = Learn.apply(xs, y.unsqueeze(0), into[0], axes, *traces, *parameters)
        return ys, last


def _one_step_at_a_time(came: str) -> GraphError:
    return GraphError(
        f"{came} under EProp",
        "one step at a time, under online training",
        "Train with FitConfig(online='batch') or snn4.training.online(net, xs, loss).",
    )


def _adds_up(parts: Sequence[Tensor], total: Tensor) -> bool:
    """Whether a tensor is the sum of others, in whatever order and precision it was taken."""
    if len(parts) == 1 and parts[0].dtype == total.dtype:
        return torch.equal(parts[0], total)
    coarsest = max(torch.finfo(part.dtype).eps for part in (*parts, total))
    wide = [part.detach().to(total.dtype) for part in parts]
    size = functools.reduce(torch.add, [part.abs() for part in wide])
    return bool(((functools.reduce(torch.add, wide) - total).abs() <= len(parts) * coarsest * size).all())


def _why_not(neuron: Neuron) -> str | None:
    """Why a neuron has no eligibility, or None."""
    from snn4.through_time.neuron import Neuron

    name = type(neuron).__name__
    if not neuron.chunkable:
        return f"{name} sees the whole sequence at once"
    if type(neuron).initial is not Neuron.initial:
        return f"{name} has a state unlike its input"
    if any(p.requires_grad for p in neuron.parameters()):
        return f"{name} learns quantities of its own"
    if any(isinstance(m, MSG) for m in neuron.modules()):
        return f"{name} has a surrogate with random masks, of which each derivative would draw another"
    return None


def _in_between(net: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    """What scales, as norms do, and stands between a layer with weights and the neuron behind it.

    By the order in which modules are registered; who scales without numbers of its own is met by `through`.
    """
    from snn4.through_time.neuron import Neuron

    inside: set[int] = set()
    waiting: list[tuple[str, torch.nn.Module]] | None = None
    for path, module in net.named_modules():
        if isinstance(module, (Neuron, Synapse)):
            inside |= {id(m) for m in module.modules()}
            if isinstance(module, Neuron):
                yield from waiting or ()
            waiting = [] if isinstance(module, Synapse) else None
        elif waiting is not None and id(module) not in inside:
            own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
            waiting += [(path, module)] * bool(own)
