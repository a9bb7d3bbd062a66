r"""Online training: time outermost, the loss sent back at every step, memory that does not grow with T.

    for t:   y[t] = net(x[t]);   backward of loss(y[t]) / T;   the state goes on without its graph

The gradients of all steps add up in the parameters. Which gradient that is, the route says: `SLTT`, `OTTT`, `EProp`.
With batch norm every step is normalised by itself, as in SLTT, and the running statistics move T times a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from snn4.core.errors import OptionError, ShapeError
from snn4.core.states import States
from snn4.data import Split
from snn4.layers import Hold, LastStep, MaxOverTime, MeanOverTime
from snn4.layers.norms import Scaled
from snn4.through_time import SLTT, Neuron, Route, Stateful
from snn4.through_time.session import path_of
from snn4.through_time.stepwise import Stepper
from snn4.training.task import FitConfig, Task

__all__ = ["Steps", "check_online", "check_route", "online", "refuse_online", "step_loss"]

StepLoss = Callable[[Tensor], Tensor]
"""From the outputs of one step, (1, B, C), to a number."""


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
        loss: of the outputs of one step.
        state: where to start; `None` is at rest.
        generator: chooses the steps of `SLTT(k=...)`, on the CPU or where `xs` is.
        after_backward: is called after each backward pass.
        backward: `False` leaves the gradients alone, and `loss` of the result has the graph of all steps.
        autocast: compute the forward pass in bfloat16 where torch holds that safe.

    Raises:
        OptionError: a route or a member that cannot be trained online, or `SLTT(k=...)` without a generator or with
            fewer steps than k.
        ShapeError: the network does not answer at every step.

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
    total = len(xs)
    chosen = _chosen(route, total, generator)
    stepper = Stepper(net, state)
    outputs: list[Tensor] = []
    losses: list[Tensor] = []
    for t, x in enumerate(xs.split(1)):
        with torch.set_grad_enabled(torch.is_grad_enabled() and t in chosen):
            with torch.autocast(xs.device.type, torch.bfloat16, enabled=autocast):
                y = stepper(x)
            _check_answer(y, xs.shape[1])
            y = y.float() if autocast else y
            outputs.append(y.detach())
            if t not in chosen:
                continue
            share = loss(y) / total
        if backward:
            share.backward()
            share = share.detach()
            if after_backward is not None:
                after_backward()
        losses.append(share)
        # the graph of this step must not live on while the next one is made
        del y, share
    return Steps(torch.cat(outputs), torch.stack(losses).sum(), stepper.state, len(losses))


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
    """What a task makes small, of the outputs of one step alone."""

    def loss(y: Tensor) -> Tensor:
        return task.objective(y, targets) if task.objective is not None else task.loss(task.readout(y), targets)

    return loss


def check_online(net: torch.nn.Module, task: Task, config: FitConfig, train: Split) -> None:
    """Refuse a training whose route, task and options do not go together.

    Raises:
        OptionError: a route that needs a loss at every step, and no `online`; or `online` with a route or member that
            cannot, or with a penalty or regulariser, which look at the whole sequence, or with a class a step.
    """
    check_route(net, config.online)
    if config.online == "no":
        return
    sees_all = [name for name in ("penalty", "regulariser") if getattr(task, name) is not None]
    if sees_all:
        raise OptionError(
            f"fit got online={config.online!r} and a task with a {' and a '.join(sees_all)}",
            "a task whose loss is of one step's outputs",
            "Leave it out, or train with online='no'.",
        )
    if train.targets.ndim > 1:
        raise OptionError(
            f"fit got online={config.online!r} and targets of shape {tuple(train.targets.shape)}",
            "one class a sample, which the loss of every step is taken with",
            "Train with online='no', which takes a class a step.",
        )


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
