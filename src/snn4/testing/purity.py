"""Laws: a call is pure, and `step` is what a call folds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from snn4.core.errors import ShapeError
from snn4.testing.compare import TOLERANCE, changes, differs, differs_all, fingerprint
from snn4.testing.judge import law
from snn4.testing.subject import Subject
from snn4.through_time import Neuron, Route, reference_loop

__all__ = ["again", "interrupted", "mutates", "shapes", "step_folds"]


@law("step folds to forward", "Folding `step` over time gives what a call gives: outputs, last state and gradients.")
def step_folds(subject: Subject) -> Iterator[str]:
    """The reference is the loop over `step`, whatever runs in its place."""
    for dtype in (torch.float32, torch.float64):
        neuron, slack = subject.neuron(dtype), 10 * TOLERANCE[dtype]
        xs = subject.inputs(dtype)
        mine, theirs = xs.clone().requires_grad_(), xs.clone().requires_grad_()
        ys, last = subject.ran(neuron, mine)
        expected, state = reference_loop(neuron, theirs, neuron.initial(theirs[0]))
        found = list(differs(f"outputs in {dtype}", ys, expected, slack))
        found += differs_all(f"last state in {dtype}", last, state, slack)
        yield from found
        if found or not (ys.requires_grad and expected.requires_grad):
            continue
        weights = subject.weights(ys)
        one, other = (torch.autograd.grad((y * weights).sum(), x)[0] for y, x in ((ys, mine), (expected, theirs)))
        yield from differs(f"gradient of the input in {dtype}", one, other, slack)


@law("step changes nothing", "`step` changes neither its input, nor the state it is given, nor the module.")
def mutates(subject: Subject) -> Iterator[str]:
    """`step` and a whole call, looked at from outside."""
    neuron, xs = subject.neuron(), subject.inputs()
    state: Any = neuron.initial(xs[0])
    # a state that is not at rest
    with torch.no_grad():
        for x in xs[:3]:
            _, state = neuron.step(x, state)
    x, kept_x = xs[-1], xs[-1].clone()
    kept_state = tuple(field.clone() for field in state)
    before = fingerprint(neuron)
    _, new = neuron.step(x, state)
    yield from differs("the input after step", x, kept_x)
    for field, value, kept in zip(state._fields, state, kept_state, strict=True):
        yield from differs(f"the given state's {field} after step", value, kept)
    if changed := changes(before, fingerprint(neuron)):
        yield f"step changed the module's {', '.join(changed)}"
    if getattr(new, "_fields", None) != state._fields:
        yield f"step returned the state {type(new).__name__}, expected the fields {state._fields} of `State`"
    whole, kept_xs = subject.neuron(), xs.clone()
    before = fingerprint(whole)
    whole(xs)
    yield from differs("the input after a call", xs, kept_xs)
    if changed := changes(before, fingerprint(whole)):
        yield f"a call changed the module's {', '.join(changed)}"


@law("a call starts at rest", "The same input gives the same bits, whatever was called before.")
def again(subject: Subject) -> Iterator[str]:
    """A hidden state shows in the second call."""
    neuron, xs = subject.neuron(), subject.inputs()
    first = neuron(xs)
    neuron(subject.inputs(salt=1))
    yield from differs("outputs of a later call", neuron(xs), first)
    yield from differs("outputs of a fresh copy", subject.neuron()(xs), first)
    # a carried state belongs to the caller, not to the module
    subject.ran(neuron, subject.inputs(salt=2))
    yield from differs("outputs after a run", neuron(xs), first)


class _StopError(Exception):
    """Raised in the middle of a sequence."""


class _Interrupted(Route):
    """A route that stops after half of the sequence."""

    def through(self, neuron: Neuron, xs: Tensor, state: Any) -> tuple[Tensor, Any]:
        def stop(t: int, before: Any) -> Any:
            if t == len(xs) // 2:
                raise _StopError
            return before

        return reference_loop(neuron, xs, state, between=stop)


@law("an exception leaves nothing", "A call that fails in the middle leaves no trace in the module.")
def interrupted(subject: Subject) -> Iterator[str]:
    """Stops half way, then calls again."""
    neuron, xs = subject.neuron(), subject.inputs()
    first, route = neuron(xs), neuron.route
    before = fingerprint(neuron)
    neuron.route = _Interrupted()
    try:
        subject.ran(neuron, xs)
    except _StopError:
        pass
    finally:
        neuron.route = route
    if changed := changes(before, fingerprint(neuron)):
        yield f"the call that failed changed the module's {', '.join(changed)}"
    yield from differs("outputs after a call that failed", neuron(xs), first)


@law("sequences", "It takes (T, B, *features) with any T and B from 1 on, and refuses an input without the time axis.")
def shapes(subject: Subject) -> Iterator[str]:
    """Odd sizes, and the commonest mistake."""
    neuron, xs = subject.neuron(), subject.inputs()
    for steps, batch in ((subject.steps, subject.batch), (1, subject.batch), (subject.steps, 1), (1, 1)):
        ys = neuron(xs[:steps, :batch])
        if tuple(ys.shape[:2]) != (steps, batch):
            yield f"(T, B) = ({steps}, {batch}) gave an output of shape {tuple(ys.shape)}"
    for wrong in (xs[0].reshape(subject.batch, -1), xs[:0]):
        try:
            neuron(wrong)
        except ShapeError:
            continue
        yield f"an input of shape {tuple(wrong.shape)} was not refused with a ShapeError"
