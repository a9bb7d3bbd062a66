"""The reference: a neuron's `step`, one step after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snn4.through_time.contract import answered

if TYPE_CHECKING:
    from snn4.through_time.neuron import Neuron

__all__ = ["reference_loop"]


def _handed_on(state: Any) -> Any:
    """The same state, as one value for the gradient.

    What the operations of one step give back to a field is summed before it goes to the step before. So a sum of three
    and more has one order, wherever a sequence is cut and whatever runs it.
    """
    if not any(field.requires_grad for field in state):
        return state
    return type(state)(*(field.view_as(field) if field.requires_grad else field for field in state))


def reference_loop(
    neuron: Neuron, xs: Tensor, state: Any, *, between: Callable[[int, Any], Any] | None = None
) -> tuple[Tensor, Any]:
    """Fold `step` over time.

    Args:
        neuron: whose step.
        xs: inputs. Shape (T, B, *features).
        state: the state before the first step.
        between: called as `between(t, state)` before step t; returns the state to go on with. Routes cut graphs here.

    Returns:
        Outputs (T, B, *) and the state after the last step.

    Raises:
        OptionError: the first step gives something else than an output and a state like the one before.
    """
    ys: list[Tensor] = []
    # unbind, not xs[t]: the backward of a select writes a full-size gradient for every step
    for t, x in enumerate(xs.unbind(0)):
        if t:
            state = _handed_on(state)
        if between is not None:
            state = between(t, state)
        found = neuron.step(x, state)
        y, state = found if t else answered(neuron, found, state)
        ys.append(y)
    return torch.stack(ys), state
