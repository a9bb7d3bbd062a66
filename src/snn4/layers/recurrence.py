"""A loop of neurons and one matrix, all steps at once: `Recurrent(nn.LIF(), nn.Linear(n, n))` as one kernel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from snn4.kernels.recurrent import Feedback, Part, recurrent
from snn4.layers.hooks import hooked, lookers
from snn4.through_time import Neuron, Route, Synapse
from snn4.through_time.session import Session

__all__ = ["AsMatrix", "SideBySide", "at_once", "exact", "kinds_of", "matrix_of", "plain", "told"]


@runtime_checkable
class AsMatrix(Protocol):
    """A layer W x + b; whoever writes `forward` anew must do so with `matrix`."""

    def matrix(self) -> tuple[Tensor, Tensor | None]:
        """W and b. Shape (out, in) and (out,)."""
        ...


@runtime_checkable
class SideBySide(Protocol):
    """A body whose modules each see a slice of the last axis; whoever writes `forward` anew must do so with `kinds`."""

    def kinds(self) -> list[tuple[torch.nn.Module, int]]:
        """The modules and the sizes of their slices, in order."""
        ...


def plain(body: torch.nn.Module, feedback: torch.nn.Module | None) -> bool:
    """Whether a loop is made of neurons and one matrix, whatever may keep it from running at once."""
    return isinstance(body, (Neuron, SideBySide)) and isinstance(feedback, (torch.nn.Linear, AsMatrix))


def exact(body: torch.nn.Module) -> bool:
    """Whether what a body gives loses nothing in few bits: spikes, of all its neurons."""
    kinds = [body] if isinstance(body, Neuron) else [module for module, _ in cast("SideBySide", body).kinds()]
    return all(isinstance(module, Neuron) and module.alphabet is not None for module in kinds)


def at_once(
    body: torch.nn.Module,
    feedback: torch.nn.Module,
    xs: Tensor,
    last: Tensor | None,
    route: Route | None,
    session: Session | None,
) -> Tensor | str:
    """Outputs of all steps of a loop, states taken from the session and left there; or why it runs step by step.

    Args:
        body: a neuron, or several side by side.
        feedback: a linear layer.
        xs: input of the loop. Shape (T, B, N).
        last: what the body gave before the first step; None where nothing at all is fed back to it. Shape (1, B, N).
        route: of the loop.
        session: the current one.
    """
    if route is not None and route.local:
        return f"the route {route}"
    kinds = kinds_of(body, xs.shape[-1])
    found = matrix_of(feedback)
    if isinstance(kinds, str) or isinstance(found, str):
        return kinds if isinstance(kinds, str) else str(found)
    if sum(size for _, size in kinds) != xs.shape[-1] or xs.ndim != 3:
        return f"steps of shape {tuple(xs.shape[1:])}"
    calls = {} if session is None else dict(session.calls)
    parts: list[Part] = []
    keys: list[str] = []
    for (neuron, size), part in zip(kinds, xs.split([size for _, size in kinds], -1), strict=True):
        neuron.check(part)
        if session is None:
            keys.append("")
            parts.append(Part(neuron, size, neuron.initial_of_call(part[0])))
        else:
            key, state = neuron.entered(part, session)
            keys.append(key)
            parts.append(Part(neuron, size, state))
    done = recurrent(parts, Feedback(*found, None if last is None else last[0], last is None), xs)
    if isinstance(done, str):
        if session is not None:
            session.calls = calls
        return done
    ys, states = done
    for key, part, state in zip(keys, parts, states, strict=True):
        if session is not None:
            session.leave(part.neuron, key, ys, state)
    return ys


def _own(module: torch.nn.Module, name: str) -> bool:
    """Whether `name` and `forward` come from the same class, so that they belong together."""
    classes = type(module).__mro__
    owner = next((c for c in classes if "forward" in vars(c)), None)
    return owner is not None and name in vars(owner) and "forward" not in vars(module)


def kinds_of(body: torch.nn.Module, width: int) -> list[tuple[Neuron, int]] | str:
    """The neurons of a body, and how many of each; or why it is something else."""
    if isinstance(body, Neuron):
        kinds = [(cast("torch.nn.Module", body), width)]
    elif isinstance(body, SideBySide) and _own(body, "kinds"):
        if hooked(body):
            return f"{type(body).__name__} has a hook"
        kinds = body.kinds()
    else:
        return f"the body is {type(body).__name__}, not a neuron"
    found: list[tuple[Neuron, int]] = []
    for module, size in kinds:
        if not isinstance(module, Neuron) or type(module).forward is not Neuron.forward or "forward" in vars(module):
            return f"{type(module).__name__} is not a neuron, or has a forward() of its own"
        if hooked(module):
            return f"{type(module).__name__} has a hook"
        found.append((module, size))
    if len({id(module) for module, _ in found}) < len(found):
        return "a neuron that stands in two places"
    return found


def matrix_of(feedback: torch.nn.Module) -> tuple[Tensor, Tensor | None] | str:
    """The weight and bias of a feedback; or why it has none."""
    name = type(feedback).__name__
    if hooked(feedback):
        return f"{name} has a hook"
    if isinstance(feedback, Synapse) and feedback.rule is not None:
        return f"{name} has a rule of its route"
    if isinstance(feedback, AsMatrix) and _own(feedback, "matrix"):
        return feedback.matrix()
    if isinstance(feedback, torch.nn.Linear) and type(feedback).forward is torch.nn.Linear.forward:
        return feedback.weight, feedback.bias
    return f"the feedback is {name}, not a linear layer"


@contextmanager
def told(body: torch.nn.Module, loop: torch.nn.Module, reason: str | None) -> Iterator[None]:
    """Tell `snn4.explain`, where it looks, how the neurons of a loop run: at once (None), or why step by step.

    Args:
        body: of the loop.
        loop: which one.
        reason: why its steps do not run at once.
    """
    name = type(loop).__name__
    looks = [(looking, m) for m in body.modules() if isinstance(m, Neuron) for looking in lookers(m)]
    for looking, neuron in looks:
        if reason is None:
            looking.note(neuron, f"c++, with {name}")
        else:
            looking.within[id(neuron)] = name, reason
    try:
        yield
    finally:
        for looking, neuron in looks:
            looking.within.pop(id(neuron), None)
