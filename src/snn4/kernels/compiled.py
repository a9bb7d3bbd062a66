"""Kernels inside `torch.compile`: two custom operations, whose gradient and shapes torch knows.

    snn4::neuron(x, state, tensors, plan) -> [outputs, *last state]
    snn4::neuron_backward(x, state, tensors, grads, plan, need_x) -> [gradients of x, state and learned tensors]

A plan is named by a digest of all that it computes, so that a graph which another process has compiled cannot meet
another neuron's kernel. Loaded when the first graph with a neuron is traced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snn4.core.errors import GraphError
from snn4.kernels import torch_facts
from snn4.kernels.identity import identity
from snn4.kernels.layout import layout_of
from snn4.kernels.split import Refused

if TYPE_CHECKING:
    from snn4.kernels.fused import AnyPlan, PlanFor
    from snn4.through_time import Neuron

__all__ = ["call", "refuses"]

_plans: dict[str, tuple[AnyPlan, int]] = {}


def refuses(plan_for: PlanFor, neuron: Neuron, xs: Tensor, state: Any) -> str | None:
    """Why a graph gets the loop over `step`, or None. Torch's compiler looks into this function."""
    if xs.device.type != "cpu" or xs.dtype not in (torch.float32, torch.float64):
        return "inside torch.compile: not float32 or float64 on the CPU"
    if any(t.dtype != xs.dtype or t.shape != xs.shape[1:] or t.device != xs.device for t in state):
        return "a state field of another shape, dtype or device than the input's steps"
    found = _asked(plan_for, neuron, tuple(int(n) for n in xs.shape[2:]), xs.dtype)
    return None if found.startswith("plan ") else found


def call(plan_for: PlanFor, neuron: Neuron, xs: Tensor, state: Any) -> tuple[Tensor, Any]:
    """Outputs and last state. Torch's compiler looks into this function."""
    _, plan, *paths = _asked(plan_for, neuron, tuple(int(n) for n in xs.shape[2:]), xs.dtype).split(" ")
    # Nothing reads what this gives, and the graph is rid of it. But whatever the step reads of its neuron is watched
    # from now on: when a setting changes, the graph is made again.
    with torch.no_grad():
        neuron.step(xs[0], state)
    tensors: list[Tensor] = []
    for path in paths:
        found: Any = neuron
        for name in path.split("."):
            found = getattr(found, name)
        tensors.append(found)
    ys, *last = torch.ops.snn4.neuron(xs, list(state), tensors, plan)
    return ys, type(state)(*last)


@torch.compiler.assume_constant_result
def _asked(plan_for: PlanFor, neuron: Neuron, features: tuple[int, ...], dtype: torch.dtype) -> str:
    """The word plan, its name and the paths of the neuron's tensors; or a reason. Runs while a graph is traced."""
    if reason := torch_facts.transformed():
        return reason
    try:
        seen = identity(neuron)
    except Refused as reason:
        return str(reason)
    if any(t.device.type != "cpu" or type(t) not in (Tensor, torch.nn.Parameter) for t in seen.tensors.values()):
        return "a parameter on another device than the input, or a tensor subclass"
    plan = plan_for(neuron, seen, features, dtype, "recompute", None)
    if isinstance(plan, str):
        return plan
    learned = [name for name, tensor in seen.tensors.items() if tensor.requires_grad]
    about = repr((type(plan).__name__, plan.label, plan.traced, plan.graph.numbers, dtype, features, len(learned)))
    name = hashlib.sha256(about.encode()).hexdigest()[:24]
    _plans[name] = plan, len(learned)
    return " ".join(("plan", name, *learned, *(n for n in seen.tensors if n not in learned)))


def _named(plan: str) -> tuple[AnyPlan, int]:
    found = _plans.get(plan)
    if found is None:
        raise GraphError(
            "a compiled graph asks for the kernel of a neuron that this process has not traced",
            "a graph that this process has made with torch.compile",
            "Compile it here; to take a network elsewhere, trace it under snn4.kernels.use('reference').",
        )
    return found


def _formed(value: Tensor, like: Tensor) -> Tensor:
    """`value` in memory as `torch.empty_like(like)` would be: what torch was told to expect."""
    strides = torch.empty_like(like, device="meta").stride()
    if value.stride() == strides:
        return value
    return torch.empty_strided(like.shape, strides, dtype=value.dtype, device="cpu").copy_(value)


@torch.library.custom_op("snn4::neuron", mutates_args=(), device_types="cpu")
def _neuron(x: Tensor, state: Sequence[Tensor], tensors: Sequence[Tensor], plan: str) -> list[Tensor]:
    kernels, _ = _named(plan)
    layout = layout_of(x)
    given = x
    if layout is None or (kernels.needs_rows and not layout.batch_first):
        given = x.contiguous()
        layout = layout_of(given)
        assert layout is not None
    ys, last, _, _ = kernels.forward(given, state, tensors, layout, None, last=True)
    return [_formed(ys, x), *(_formed(value, x[0]) for value in last)]


@_neuron.register_fake
def _(x: Tensor, state: Sequence[Tensor], tensors: Sequence[Tensor], plan: str) -> list[Tensor]:  # noqa: ARG001
    return [torch.empty_like(x), *(torch.empty_like(x[0]) for _ in state)]


@torch.library.custom_op("snn4::neuron_backward", mutates_args=(), device_types="cpu")
def _backward(
    x: Tensor, state: Sequence[Tensor], tensors: Sequence[Tensor], grads: Sequence[Tensor], plan: str, need_x: bool
) -> list[Tensor]:
    kernels, learned = _named(plan)
    layout = layout_of(x)
    given = x
    if layout is None or (kernels.needs_rows and not layout.batch_first):
        given = x.contiguous()
        layout = layout_of(given)
        assert layout is not None
    grad_x, grad_state, grad_tensors = kernels.backward(
        *(given, state, (), kernels.ready(tensors, layout), grads[0], grads[1:], layout, "recompute"),
        need_x=need_x,
        need_state=True,
    )
    found = [*grad_state, *grad_tensors[:learned]]
    likes = [*state, *tensors[:learned]]
    first = x.new_zeros(()) if grad_x is None else _formed(grad_x, x)
    return [
        first,
        *(torch.zeros_like(t) if g is None else _formed(g, t) for g, t in zip(found, likes, strict=True)),
    ]


@_backward.register_fake
def _(
    x: Tensor,
    state: Sequence[Tensor],
    tensors: Sequence[Tensor],
    grads: Sequence[Tensor],  # noqa: ARG001
    plan: str,
    need_x: bool,
) -> list[Tensor]:
    _, learned = _named(plan)
    first = torch.empty_like(x) if need_x else x.new_zeros(())
    return [first, *(torch.empty_like(t) for t in (*state, *tensors[:learned]))]


def _save(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:  # noqa: ARG001
    x, state, tensors, ctx.plan = inputs
    ctx.fields, ctx.count = len(state), len(tensors)
    ctx.save_for_backward(x, *state, *tensors)


def _differentiate(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    x, *rest = ctx.saved_tensors
    state, tensors = rest[: ctx.fields], rest[ctx.fields :]
    likes = [x, *(x[0] for _ in state)]
    full = [torch.zeros_like(like) if g is None else g for g, like in zip(grads, likes, strict=True)]
    need_x = bool(ctx.needs_input_grad[0])
    grad_x, *found = torch.ops.snn4.neuron_backward(x, state, tensors, full, ctx.plan, need_x)
    learned = found[ctx.fields :]
    return (
        grad_x if need_x else None,
        found[: ctx.fields],
        [*learned, *(None for _ in range(ctx.count - len(learned)))],
        None,
    )


_neuron.register_autograd(_differentiate, setup_context=_save)
