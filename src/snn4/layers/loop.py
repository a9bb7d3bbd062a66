"""Loops over time across layers: the body runs one step at a time, so that its output can come back as input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from snn4.core.checks import check_sequence
from snn4.core.errors import ShapeError, StateError
from snn4.core.states import state
from snn4.layers.recurrence import at_once, exact, plain, told
from snn4.through_time import Stateful
from snn4.through_time.routes import detached
from snn4.through_time.run import stateful_paths
from snn4.through_time.session import Session, at_rest, current, opened, ran

__all__ = ["Loop", "Recurrent"]


class Loop(Stateful):
    """Runs `body` one step at a time; its last output, through `feedback`, is added to its next input.

        y[t] = body(x[t] + feedback(y[t-1]))

    At the first step there is no last output yet, and nothing is added. Inside the body every neuron goes on from its
    own last state. Layers see sequences of one step, (1, B, *features). Under autocast, neurons with a linear feedback
    compute all of it in float32, as a neuron computes its state.

    Args:
        body: any module over sequences.
        feedback: a module from the body's output to its input, also over sequences of one step; `None` for a body that
            keeps its own counsel (cycles inside, per-step losses).
        combine: how input and feedback become one, `torch.add` by default.

    Shape: (T, B, *features) -> (T, B, *), or a tuple of such when the body returns a tuple; `feedback` then gets the
    whole tuple.

    Example:
        >>> from snn4 import nn
        >>> loop = Loop(torch.nn.Sequential(nn.Linear(3, 4), nn.LIF()), feedback=nn.Linear(4, 3))
        >>> loop(torch.randn(6, 2, 3)).shape
        torch.Size([6, 2, 4])
    """

    State = state("last")

    def __init__(
        self,
        body: torch.nn.Module,
        feedback: torch.nn.Module | None = None,
        combine: Callable[[Tensor, Tensor], Tensor] = torch.add,
    ) -> None:
        super().__init__()
        self.body = body
        self.feedback = feedback
        self.combine = combine

    def initial(self, x: Tensor) -> Any:
        """No output yet."""
        return None

    def sequence(self, xs: Tensor, state: Any) -> tuple[Any, Any]:
        """Not used: the loop hands on the states of its body as well; see `forward`."""
        raise NotImplementedError

    def forward(self, xs: Tensor) -> Any:
        """All steps."""
        check_sequence(type(self).__name__, xs)
        kind = xs.device.type
        if self.combine is torch.add and _autocast(kind) and plain(self.body, self.feedback):
            # errors of 8 bits would go round for as many steps as there are; a kernel takes the product in float32
            with torch.autocast(kind, enabled=False):
                ys = self._forward(xs if xs.dtype == torch.float64 else xs.float())
            return ys.to(xs.dtype) if exact(self.body) else ys
        return self._forward(xs)

    def _forward(self, xs: Tensor) -> Any:
        outer = current()
        (at_rest if outer is None else ran)(self)
        key = "" if outer is None else outer.enter(self)
        paths = stateful_paths(self) if outer is None else outer.paths
        last = self._first_feedback(xs[:1])
        if outer is not None and (carried := outer.incoming_of(key)) is not None:
            last = self._carried(key, carried, xs)
        if self.feedback is None:
            return self._stepped(xs, last, outer, key, paths)
        if torch.compiler.is_compiling():
            from snn4.layers.recurrence_compiled import compiled

            ys = None
            if self.combine is torch.add and not isinstance(last, tuple):
                ys = compiled(self.body, self.feedback, xs, last, self.route, outer)
            if ys is None:
                return self._stepped(xs, last, outer, key, paths)
            if outer is not None:
                outer.outgoing[key] = Loop.State(ys[-1].clone())
            return ys
        done = self._at_once(xs, last, outer)
        with told(self.body, self, done if isinstance(done, str) else None):
            if isinstance(done, str):
                return self._stepped(xs, last, outer, key, paths)
        if outer is not None:
            outer.outgoing[key] = Loop.State(done[-1].clone())
        return done

    def _at_once(self, xs: Tensor, last: Any, outer: Session | None) -> Tensor | str:
        """Outputs of all steps, or why they are made one by one."""
        assert self.feedback is not None
        if self.combine is not torch.add:
            return "input and feedback are not added"
        if isinstance(last, tuple):
            return "the body gives several tensors"
        return at_once(self.body, self.feedback, xs, last, self.route, outer)

    def _stepped(self, xs: Tensor, last: Any, outer: Session | None, key: str, paths: Mapping[int, str]) -> Any:
        """Outputs of all steps, one by one."""
        first: Mapping[str, Any] = {} if outer is None else outer.incoming
        states: dict[str, Any] = {}
        outputs: list[Any] = []
        calls: dict[str, int] = {}
        for t, x in enumerate(xs.split(1)):
            if self.route is not None and self.route.cuts(t):
                first, states = ({key: detached(entry) for key, entry in old.items()} for old in (first, states))
                last = None if last is None else _cut(last)
            # a copy, since a checkpoint in the body comes back to it when later steps have changed `states`
            before = {**first, **states}
            inner = Session(paths, before) if outer is None else outer.child(before)
            inputs = x
            if self.feedback is not None and last is not None:
                with opened(inner):
                    back = self.feedback(last)
                if back.shape != x.shape and self.combine is torch.add:
                    raise ShapeError(
                        f"{type(self).__name__} got feedback of shape {tuple(back.shape[2:])} a sample",
                        f"{tuple(x.shape[2:])}, as its input",
                    )
                inputs = self.combine(x, back)
            with opened(inner):
                last = self.body(inputs)
            states.update(inner.outgoing)
            if outer is not None:
                outer.graphs.update(inner.graphs)
                # a part may rest at the first step (the feedback), so the step that calls most counts
                calls |= {path: max(count, calls.get(path, 0)) for path, count in inner.calls.items()}
            outputs.append(last)
        if outer is not None:
            outer.outgoing.update(states)
            outer.calls.update(calls)
            if self.feedback is not None:
                flat = cast("tuple[Tensor, ...]", last if isinstance(last, tuple) else (last,))
                # without the time axis: the batch comes first in every state
                outer.outgoing[key] = _last(len(flat))(*(field[0] for field in flat))
        return _joined(outputs)

    def _carried(self, key: str, outputs: tuple[Tensor, ...], xs: Tensor) -> Any:
        """The output that an earlier run ended with, as a sequence of one step."""
        last, *others = outputs
        if others:
            return tuple(output.unsqueeze(0) for output in outputs)
        if last.shape[0] != xs.shape[1]:
            raise StateError(
                f"the state of {key!r} has last of shape {tuple(last.shape)}",
                f"a batch of {xs.shape[1]}, for an input of shape {tuple(xs.shape)}",
                "The batch changed; start again without a state (Stream.reset()), or pick items: state.select(i).",
            )
        return last.unsqueeze(0)

    def _first_feedback(self, x: Tensor) -> Tensor | None:
        """What stands for the output before the first step; None adds nothing."""
        return None


class Recurrent(Loop):
    """A neuron with recurrent connections: its spikes come back one step later.

        s[t] = neuron(x[t] + feedback(s[t-1])),    s[-1] = 0

    Args:
        neuron: the layer of neurons; any module over sequences that keeps the shape, a ReLU for a recurrent ANN.
        feedback: from its spikes to its input, for example `nn.Linear(n, n, bias=False)`. A bias of it also acts at the
            first step, as in torch.nn.RNN.

    Shape: (T, B, *features), kept.

    Example:
        >>> from snn4 import nn
        >>> Recurrent(nn.LIF(), nn.Linear(4, 4))(torch.randn(6, 2, 4)).shape
        torch.Size([6, 2, 4])
    """

    def __init__(self, neuron: torch.nn.Module, feedback: torch.nn.Module) -> None:
        super().__init__(neuron, feedback)

    def _first_feedback(self, x: Tensor) -> Tensor | None:
        return torch.zeros_like(x)


def _autocast(kind: str) -> bool:
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def _last(count: int) -> Any:
    return Loop.State if count == 1 else state(*(f"last{n}" for n in range(count)))


def _cut(last: Any) -> Any:
    """An output that is fed back, without its graph."""
    return tuple(part.detach() for part in last) if isinstance(last, tuple) else last.detach()


def _joined(outputs: list[Any]) -> Any:
    if isinstance(outputs[0], tuple):
        return tuple(torch.cat(parts) for parts in zip(*outputs, strict=True))
    return torch.cat(outputs)
