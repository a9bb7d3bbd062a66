"""A loop of neurons and one matrix inside torch.compile.

Loaded when torch's compiler first meets such a loop: the decorator below brings the whole compiler along.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from snn4.kernels import recurrent_compiled
from snn4.kernels.choice import wish
from snn4.kernels.recurrent import Part
from snn4.layers.recurrence import AsMatrix, SideBySide, kinds_of, matrix_of
from snn4.through_time import Neuron, Route
from snn4.through_time.session import Session

__all__ = ["compiled"]


def compiled(
    body: torch.nn.Module,
    feedback: torch.nn.Module,
    xs: Tensor,
    last: Tensor | None,
    route: Route | None,
    session: Session | None,
) -> Tensor | None:
    """`at_once` for torch's compiler, which looks into this function; None where it gets the loop over steps."""
    if wish().implementation not in ("auto", "c++") or torch.compiler.is_exporting():
        return None
    if xs.ndim != 3 or xs.device.type != "cpu":
        return None
    if route is not None and route.local:
        return None
    found = _asked(body, feedback, int(xs.shape[2]), xs.dtype)
    if not found.startswith("plan "):
        return None
    size = int(xs.shape[2])
    kinds = [(body, size)] if isinstance(body, Neuron) else cast("SideBySide", body).kinds()
    parts: list[Part] = []
    keys: list[str] = []
    at = 0
    for module, width in kinds:
        neuron = cast("Neuron", module)
        part = xs[..., at : at + width]
        at += width
        key, state = "", None
        if session is None:
            state = neuron.initial_of_call(part[0])
        else:
            key, state = neuron.entered(part, session)
        keys.append(key)
        parts.append(Part(neuron, width, state))
    if type(feedback) is torch.nn.Linear:
        weight, bias = feedback.weight, feedback.bias
    else:
        weight, bias = cast("AsMatrix", feedback).matrix()
    before = None if last is None else last[0]
    ys, states = recurrent_compiled.call(found, parts, weight, bias, before, xs, waits=last is None)
    if session is not None:
        for key, part, state in zip(keys, parts, states, strict=True):
            session.leave(part.neuron, key, ys, state)
    return ys


@torch.compiler.assume_constant_result
def _asked(body: torch.nn.Module, feedback: torch.nn.Module, size: int, dtype: torch.dtype) -> str:
    """The word plan and what it is; or a reason. Runs while a graph is traced."""
    kinds, found = kinds_of(body, size), matrix_of(feedback)
    if isinstance(kinds, str) or isinstance(found, str):
        return "the loop"
    weight, bias = found
    given = [t for t in (weight, bias) if t is not None]
    fits = weight.shape == (size, size) and sum(width for _, width in kinds) == size
    if not fits or dtype not in (torch.float32, torch.float64) or any(t.dtype != dtype for t in given):
        return "the loop"
    return recurrent_compiled.asked(kinds, dtype)
