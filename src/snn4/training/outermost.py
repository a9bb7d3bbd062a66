r"""Online training: time outermost, the loss sent back at every step, memory that does not grow with T.

    for t:   y[t] = net(x[t]);   backward of loss(y[t]) / T;   the state goes on without its graph

The gradients of all steps add up in the parameters. Which gradient that is, the route says: `SLTT`, `OTTT`, `EProp`.
With batch norm every step is normalised by itself, as in SLTT, and the running statistics move T times a batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from snn4.core.errors import OptionError, ShapeError
from snn4.core.states import States
from snn4.layers import Hold, LastStep, MaxOverTime, MeanOverTime
from snn4.layers.norms import Scaled
from snn4.through_time import SLTT, Neuron, Route, Stateful
from snn4.through_time.session import path_of
from snn4.through_time.stepwise import Stepper
from snn4.training.answers import UNLABELLED, answered
from snn4.training.recording import recorded_spikes
from snn4.training.task import Task

__all__ = ["Steps", "check_route", "online", "refuse_online", "step_loss", "step_terms"]

StepLoss = Callable[..., Tensor | None]
"""From the outputs of one step, (1, B, C), and its targets where there are some, to a number; None for no loss."""
Regulariser = Callable[[torch.nn.Module], AbstractContextManager[Callable[[], Tensor]]]
"""As in `snn4.training.Task`."""


@dataclass(frozen=True, eq=False)
class Steps:
    """What `online` went through.

    Args:
        outputs: of all steps, without a graph. Shape (T, B, C).
        loss: the sum of loss / T over the steps that sent a gradient back.
        state: after the last step; hand it back to go on with the next piece of a stream.
        backward: how many steps sent a gradient back.
    """

    outputs: Tensor
    loss: Tensor
    state: States
    backward: int


def online(
    net: torch.nn.Module,
    xs: Tensor,
    loss: StepLoss,
    *,
    targets: Tensor | None = None,
    regulariser: Regulariser | None = None,
    state: States | None = None,
    generator: Generator | None = None,
    after_backward: Callable[[], None] | None = None,
    backward: bool = True,
    autocast: bool = False,
) -> Steps:
    """Run a network step by step, and add the gradient of each step's loss to its parameters.

    The caller clears the gradients before, and steps the optimiser afterwards (or at every step, in `after_backward`).

    Args:
        net: a network whose route can be trained online, see `snn4.use_route`.
        xs: its input, a sequence or the next piece of a stream. Shape (T, B, *features).
        loss: of the outputs of one step, `loss(y)`; of a step that it answers with None no gradient is sent back.
        targets: what each step is to answer; the loss is then called as `loss(y, targets[t])`. Shape (T, ...).
        regulariser: is entered around each step, and what it yields is called for a term of that step's loss.
        state: where to start; `None` is at rest.
        generator: chooses the steps of `SLTT(k=...)`, on the CPU or where `xs` is.
        after_backward: is called after each backward pass.
        backward: `False` leaves the gradients alone, and `loss` of the result has the graph of all steps.
        autocast: compute the forward pass in bfloat16 where torch holds that safe.

    Raises:
        OptionError: a route or a member that cannot be trained online, or `SLTT(k=...)` without a generator or with
            fewer steps than k; a call under `torch.no_grad()` without `backward=False`.
        ShapeError: the network does not answer at every step, or there are not as many targets as steps.

    Example:
        >>> from snn4 import SLTT, nn, use_route
        >>> net = use_route(torch.nn.Sequential(nn.Linear(3, 4), nn.LIF(tau=1.1), nn.Linear(4, 2)), SLTT())
        >>> target = torch.tensor([0, 1])
        >>> steps = online(net, torch.randn(5, 2, 3), lambda y: torch.nn.functional.cross_entropy(y[0], target))
        >>> steps.outputs.shape, steps.backward, net[0].weight.grad.shape
        (torch.Size([5, 2, 2]), 5, torch.Size([4, 3]))
    """
    route = _route_of(net)
    refuse_online(net)
    if backward and not torch.is_grad_enabled():
        raise OptionError(
            "online was called where gradients are switched off",
            "a place where they are on",
            "Leave torch.no_grad(), or write backward=False.",
        )
    total = len(xs)
    if targets is not None and len(targets) != total:
        raise ShapeError(
            f"online got targets of shape {tuple(targets.shape)} for {total} steps",
            f"({total}, ...)",
            "Time comes first, as in the input.",
        )
    chosen = _chosen(route, total, generator)
    stepper = Stepper(net, state)
    outputs: Tensor | None = None
    losses: list[Tensor] = []
    for t, x in enumerate(xs.split(1)):
        around = contextlib.nullcontext() if regulariser is None else regulariser(net)
        with torch.set_grad_enabled(torch.is_grad_enabled() and t in chosen), around as term:
            with torch.autocast(xs.device.type, torch.bfloat16, enabled=autocast):
                y = stepper(x)
            _check_answer(y, xs.shape[1])
            y = y.float() if autocast else y
            # one tensor from the start: joining many at the end would take their memory twice
            if outputs is None:
                outputs = torch.empty((total, *y.shape[1:]), dtype=y.dtype, device=y.device)
            outputs[t] = y[0].detach()
            if t not in chosen:
                continue
            share = loss(y) if targets is None else loss(y, targets[t])
            if term is not None:
                share = term() if share is None else share + term()
            if share is None:
                del y
                continue
            share = share / total
        if backward:
            share.backward()
            share = share.detach()
            if after_backward is not None:
                after_backward()
        losses.append(share)
        # the graph of this step must not live on while the next one is made
        del y, share
    sent = torch.stack(losses).sum() if losses else xs.new_zeros(())
    assert outputs is not None
    return Steps(outputs, sent, stepper.state, len(losses))


def _chosen(route: Route, total: int, generator: Generator | None) -> set[int]:
    """The steps that send a gradient back."""
    if not isinstance(route, SLTT) or route.k is None:
        return set(range(total))
    if generator is None or route.k > total:
        raise OptionError(
            f"{route} is to choose among {total} steps {'without a generator' * (generator is None)}".rstrip(),
            f"k <= {total} and a torch.Generator, from which the choice of each batch follows",
            "Write online(net, xs, loss, generator=torch.Generator().manual_seed(0)).",
        )
    drawn = torch.randperm(total, generator=generator, device=generator.device)[: route.k]
    return {int(t) for t in drawn.tolist()}


def _check_answer(y: object, batch: int) -> None:
    if not isinstance(y, Tensor) or y.ndim < 3 or tuple(y.shape[:2]) != (1, batch):
        came = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise ShapeError(
            f"the network answered one step with {came}",
            f"(1, {batch}, classes)",
            "Online training needs an answer at every step; leave what reads the sequence out to Task.readout.",
        )


def step_loss(task: Task, targets: Tensor) -> StepLoss:
    """What a task makes small, of the outputs of one step alone.

    Where the targets hold a class a step, the loss gets those of its step, and weighs as many labels as it has: the
    steps then add up to the mean over all labels, as layer by layer.
    """
    if targets.ndim == 1:
        return lambda y: (
            task.objective(y, targets) if task.objective is not None else task.loss(task.readout(y), targets)
        )
    labels = int((targets != UNLABELLED).sum())
    steps = targets.shape[1]

    def loss(y: Tensor, classes: Tensor) -> Tensor | None:
        if not bool((classes != UNLABELLED).any()):
            return None
        if task.objective is not None:
            return task.objective(y, classes[:, None])
        answers, wanted = answered(task.readout(y), classes[:, None])
        return task.loss(answers, wanted) * (len(wanted) * steps / labels)

    return loss


def step_terms(task: Task) -> Regulariser | None:
    """The task's penalty and regulariser as one, of a single step; None without either."""
    if task.penalty is None and task.regulariser is None:
        return None
    penalty, regulariser = task.penalty, task.regulariser

    @contextlib.contextmanager
    def both(net: torch.nn.Module) -> Iterator[Callable[[], Tensor]]:
        recording = recorded_spikes(net) if penalty is not None else contextlib.nullcontext({})
        cost = regulariser(net) if regulariser is not None else contextlib.nullcontext()
        with recording as spikes, cost as term:

            def terms() -> Tensor:
                parts = [] if penalty is None else [penalty(spikes)]
                return torch.stack([*parts, *([] if term is None else [term()])]).sum()

            yield terms

    return both


def check_route(net: torch.nn.Module, online: Literal["no", "batch", "step"]) -> None:
    """Refuse a route that cannot be trained in this order of time, and members that cannot run one step at a time.

    Raises:
        OptionError: a route that needs a loss at every step, and no `online`; or `online` with a route or member that
            cannot.
    """
    if online == "no":
        must = {str(m.route) for m in net.modules() if isinstance(m, Neuron) and m.route.online == "only"}
        if must:
            raise OptionError(
                f"fit got online='no' for {', '.join(sorted(must))}",
                "a loss at every step, which this route needs",
                "Write FitConfig(online='batch').",
            )
        return
    _route_of(net)
    net.train()
    refuse_online(net)


def _route_of(net: torch.nn.Module) -> Route:
    """The one route of all neurons, if it can be trained online.

    Raises:
        OptionError: there is none, or more than one, or it needs the whole sequence.
    """
    routes = {m.route for m in net.modules() if isinstance(m, Neuron)}
    if len(routes) != 1:
        raise OptionError(
            f"online training found {', '.join(sorted(map(str, routes))) or 'no neuron'}",
            "one route for all neurons",
            "Call snn4.use_route(net, snn4.SLTT()).",
        )
    route = routes.pop()
    if route.online == "no":
        raise OptionError(
            f"online training found {route}, whose gradient needs the whole sequence",
            "a route that can answer at every step",
            "Call snn4.use_route(net, snn4.SLTT()), or OTTT(), or EProp().",
        )
    return route


def refuse_online(net: torch.nn.Module) -> None:
    """Refuse members that cannot run one step at a time.

    Raises:
        OptionError: names every such member, with its reason.
    """
    found = [
        f"{path_of(name) or 'the network'} ({type(m).__name__}): {reason}"
        for name, m in net.named_modules()
        if (reason := _why_not(m)) is not None
    ]
    if found:
        raise OptionError(
            f"this network cannot be trained online, because of {'; '.join(found)}",
            "members that run one step at a time",
            "Replace them, or train layer by layer, with the whole sequence in one call.",
        )


def _why_not(module: torch.nn.Module) -> str | None:
    if isinstance(module, (MeanOverTime, MaxOverTime, LastStep)):
        return "it answers once a sequence (leave that to Task.readout)"
    if isinstance(module, Hold) and module.steps > 1:
        return "it makes several steps of one (repeat the input in Task.encode)"
    if isinstance(module, Scaled) and module.training:
        return "its statistics are taken over time"
    if isinstance(module, Stateful) and not module.chunkable:
        return module.unchunkable_reason
    return None
