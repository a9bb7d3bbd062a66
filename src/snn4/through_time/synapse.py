"""The synapse protocol: layers whose weights may learn from more than the present step.

A layer with weights, y[t] = W * x[t] + b, is linear in its input and in its weight. A route may give it a `Rule`, which
then makes its output, and with it the gradient of the weight: from a trace of past inputs, for one. What a rule has to
remember is a state like a neuron's: `run` carries it, and a call starts without any.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import torch
from torch import Tensor

from snn4.core.errors import StateError
from snn4.core.states import state
from snn4.through_time.session import current

__all__ = ["Rule", "Synapse", "linear_traced"]


class Rule(abc.ABC):
    """Abstract: how a synapse learns. It may change gradients and nothing else."""

    @abc.abstractmethod
    def through(self, synapse: Synapse, xs: Tensor) -> Tensor:
        """The synapse's outputs. Shape (T, B, *features) -> (T, B, *features')."""


class Synapse(torch.nn.Module):
    """Abstract, a mixin: a layer y = W * x + b over sequences. First among the bases of a torch layer.

    A subclass writes `apply_weight`, and asks `rule` in its `forward`. One that also writes `seen` and sets `rows` has
    an eligibility for each weight.
    """

    Trace = state("trace")
    rule: Rule | None = None
    rows: ClassVar[int | None] = None
    """The axis of an output (B, *features') along which the rows of the weight lie; None for a layer without `seen`."""

    @abc.abstractmethod
    def apply_weight(self, xs: Tensor, trace: Tensor | None, *, weight: Tensor, bias: Tensor | None) -> Tensor:
        """W * x + b, whose gradient for W and b comes from `trace` in place of `xs`, where one is given.

        Shape: xs and trace (T, B, *features), output (T, B, *features'). The bias sees no trace.
        """

    def acting(self) -> tuple[Tensor, Tensor | None]:
        """W and b as they act on inputs; a layer that changes its parameters first, with a mask, gives the result."""
        weight, bias = self.weight, self.bias
        assert isinstance(weight, Tensor)
        assert bias is None or isinstance(bias, Tensor)
        return weight, bias

    def seen(self, x: Tensor) -> Tensor:
        """What each output weighs: its inputs, in the order of its row of the weight.

        Shape: (B, *features) -> (B, *features', inputs), of size 1 along `rows` where all rows weigh the same.
        """
        raise NotImplementedError

    def incoming(self, xs: Tensor, template: Any) -> tuple[str | None, Any]:
        """The key of this call and the state it starts from, `template` at rest; the key is None outside of `run`.

        Raises:
            StateError: a carried state of another shape.
        """
        session = current()
        if session is None:
            return None, template
        key = session.enter(self)
        carried = session.incoming_of(key)
        if carried is None:
            return key, template
        for field, mine, theirs in zip(template._fields, template, carried, strict=True):
            if mine.shape != theirs.shape:
                raise StateError(
                    f"the state of {key!r} has {field} of shape {tuple(theirs.shape)}",
                    f"{tuple(mine.shape)} for an input of shape {tuple(xs.shape)}",
                    "The batch changed; start again without a state (Stream.reset()).",
                )
        return key, carried

    def outgoing(self, key: str | None, state: Any) -> None:
        """Hand the new state of this call on."""
        session = current()
        if session is not None and key is not None:
            session.leave(self, key, None, state)


class _Linear(torch.autograd.Function):
    """y = x W^T + b; the weight's gradient is delta^T trace."""

    @staticmethod
    def forward(ctx: Any, xs: Tensor, trace: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(trace, weight)
        return torch.nn.functional.linear(xs, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, None, Tensor | None, Tensor | None]:
        trace, weight = ctx.saved_tensors
        # under autocast the output, and so its gradient, has fewer bits
        delta: Tensor = grad_outputs[0].to(weight.dtype)
        rows = delta.flatten(0, -2)
        needs = ctx.needs_input_grad
        return (
            delta @ weight if needs[0] else None,
            None,
            rows.t() @ trace.flatten(0, -2) if needs[2] else None,
            rows.sum(0) if needs[3] else None,
        )


def linear_traced(xs: Tensor, trace: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """torch.nn.functional.linear, whose gradient for the weight comes from `trace`. Shape (*, in) -> (*, out)."""
    ys: Tensor = _Linear.apply(xs, trace, weight, bias)
    return ys
