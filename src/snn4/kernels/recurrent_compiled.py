"""Recurrent layers inside `torch.compile`: two custom operations, whose gradient and shapes torch knows.

    snn4::recurrent(x, weight, bias, last, state, tensors, plan, waits) -> [outputs, *last state]
    snn4::recurrent_backward(the same, grads) -> gradients of x, weight, bias, last, state and learned tensors

What may be missing, bias and last, is a list of none or one. The backward operation runs forward once more, since a
graph keeps nothing but the inputs. Loaded when the first graph with such a layer is traced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from snn4.core.errors import GraphError
from snn4.kernels import torch_facts
from snn4.kernels.identity import identity
from snn4.kernels.recurrent import Part, apart, kept_for, neuron_refuses, sorted_tensors, together, unregistered
from snn4.kernels.recurrent_plan import Plan, recurrent_plan
from snn4.kernels.split import Refused
from snn4.through_time import Neuron

__all__ = ["asked", "call"]

# plan, fields of each kind, its size, how many of its tensors learn, and how many there are
_About = tuple[Plan, tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]
_plans: dict[str, _About] = {}


def asked(kinds: Sequence[tuple[Neuron, int]], dtype: torch.dtype) -> str:
    """The word plan, its name, and the paths of each kind's tensors; or a reason. Runs while a graph is traced."""
    if reason := torch_facts.transformed() or unregistered():
        return reason
    found: list[tuple[Neuron, Any, int]] = []
    for neuron, size in kinds:
        if (reason := neuron_refuses(neuron)) is not None:
            return reason
        try:
            seen = identity(neuron)
        except Refused as reason:
            return str(reason)
        if any(t.device.type != "cpu" or type(t) not in (Tensor, torch.nn.Parameter) for t in seen.tensors.values()):
            return "a parameter on another device than the input, or a tensor subclass"
        found.append((neuron, seen, size))
    plan = recurrent_plan(found, dtype)
    if isinstance(plan, str):
        return plan
    paths = [list(sorted_tensors(seen)) for _, seen, _ in found]
    learned = tuple(sum(t.requires_grad for t in seen.tensors.values()) for _, seen, _ in found)
    about = repr((plan.label, [kind.traced for kind in plan.kinds], list(plan.numbers), dtype, kinds_of(plan), learned))
    name = hashlib.sha256(about.encode()).hexdigest()[:24]
    fields = tuple(len(graph.states) for graph in plan.graphs)
    _plans[name] = plan, fields, kinds_of(plan), learned, tuple(map(len, paths))
    return " ".join(("plan", name, *(",".join(own) or "-" for own in paths)))


def kinds_of(plan: Plan) -> tuple[int, ...]:
    """How many neurons of each kind."""
    return tuple(kind.size for kind in plan.kinds)


def call(
    found: str,
    parts: Sequence[Part],
    weight: Tensor,
    bias: Tensor | None,
    last: Tensor | None,
    xs: Tensor,
    *,
    waits: bool,
) -> tuple[Tensor, list[Any]]:
    """Outputs and last states. Torch's compiler looks into this function."""
    _, plan, *lists = found.split(" ")
    tensors: list[Tensor] = []
    at = 0
    for part, paths in zip(parts, lists, strict=True):
        # Nothing reads what this gives, and the graph is rid of it. But whatever the step reads of its neuron is
        # watched from now on: when a setting changes, the graph is made again.
        with torch.no_grad():
            part.neuron.step(xs[0, :, at : at + part.size], part.state)
        at += part.size
        for path in () if paths == "-" else paths.split(","):
            one: Any = part.neuron
            for name in path.split("."):
                one = getattr(one, name)
            tensors.append(one)
    state = [field for part in parts for field in part.state]
    biases = [] if bias is None else [bias]
    before = [] if last is None else [last]
    ys, *fields = torch.ops.snn4.recurrent(xs, weight, biases, before, state, tensors, plan, waits)
    states: list[Any] = []
    for part in parts:
        count = len(part.state)
        states.append(type(part.state)(*fields[:count]))
        fields = fields[count:]
    return ys, states


def _named(plan: str) -> _About:
    found = _plans.get(plan)
    if found is None:
        raise GraphError(
            "a compiled graph asks for the kernel of a recurrent layer that this process has not traced",
            "a graph that this process has made with torch.compile",
            "Compile it here; to take a network elsewhere, trace it under snn4.kernels.use('reference').",
        )
    return found


def _given(about: _About, x: Tensor, state: Sequence[Tensor], tensors: Sequence[Tensor]) -> Any:
    """The input in rows, the first state over all kinds, and the tensors of each kind."""
    plan, fields, sizes, _, counts = about
    left = iter(tensors)
    x = x.contiguous()
    first = together(plan.fields, fields, sizes, state, x)
    return x, first, [[next(left) for _ in range(count)] for count in counts]


@torch.library.custom_op("snn4::recurrent", mutates_args=(), device_types="cpu")
def _recurrent(
    x: Tensor,
    weight: Tensor,
    bias: Sequence[Tensor],
    last: Sequence[Tensor],
    state: Sequence[Tensor],
    tensors: Sequence[Tensor],
    plan: str,
    waits: bool,
) -> list[Tensor]:
    about = _named(plan)
    kernels = about[0]
    x, first, own = _given(about, x, state, tensors)
    shape = kernels.shape(len(x), x.shape[1], skip=waits, weight=weight)
    before = last[0].contiguous() if last else None
    ran = kernels.forward(shape, x, weight, bias[0] if bias else None, before, first, own, None)
    return [ran.ys, *(field.clone() for field in apart(about[1], about[2], ran.last))]


@_recurrent.register_fake
def _(
    x: Tensor,
    weight: Tensor,  # noqa: ARG001
    bias: Sequence[Tensor],  # noqa: ARG001
    last: Sequence[Tensor],  # noqa: ARG001
    state: Sequence[Tensor],
    tensors: Sequence[Tensor],  # noqa: ARG001
    plan: str,  # noqa: ARG001
    waits: bool,  # noqa: ARG001
) -> list[Tensor]:
    return [x.new_empty(x.shape), *(field.new_empty(field.shape) for field in state)]


@torch.library.custom_op("snn4::recurrent_backward", mutates_args=(), device_types="cpu")
def _backward(
    x: Tensor,
    weight: Tensor,
    bias: Sequence[Tensor],
    last: Sequence[Tensor],
    state: Sequence[Tensor],
    tensors: Sequence[Tensor],
    plan: str,
    waits: bool,
    grads: Sequence[Tensor],
) -> list[Tensor]:
    about = _named(plan)
    kernels, fields, sizes, learned, _ = about
    x, first, own = _given(about, x, state, tensors)
    shape = kernels.shape(len(x), x.shape[1], skip=waits, weight=weight)
    b, before = bias[0] if bias else None, last[0].contiguous() if last else None
    ran = kernels.forward(shape, x, weight, b, before, first, own, "checkpoint")
    found = kernels.backward(
        *(shape, x, ran.ys, weight, b, before, first, kept_for(ran), grads[0].contiguous()),
        together(kernels.fields, fields, sizes, grads[1:], x),
        "checkpoint",
        need_weight=True,
        need_bias=b is not None,
    )
    assert found.weight is not None
    some: list[Tensor | None] = [*apart(fields, sizes, found.first)]
    likes = list(state)
    at = 0
    for grad, count, total in zip(found.tensors, learned, about[4], strict=True):
        some += grad[:count]
        likes += tensors[at : at + count]
        at += total
    return [
        found.x,
        found.weight.contiguous(),
        *([] if found.bias is None else [found.bias]),
        *([] if found.start is None else [found.start]),
        *(torch.zeros_like(like) if g is None else g.contiguous().clone() for g, like in zip(some, likes, strict=True)),
    ]


def _learned(plan: str, tensors: Sequence[Tensor]) -> list[Tensor]:
    _, _, _, learned, counts = _named(plan)
    found: list[Tensor] = []
    at = 0
    for count, total in zip(learned, counts, strict=True):
        found += tensors[at : at + count]
        at += total
    return found


@_backward.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    bias: Sequence[Tensor],
    last: Sequence[Tensor],
    state: Sequence[Tensor],
    tensors: Sequence[Tensor],
    plan: str,
    waits: bool,  # noqa: ARG001
    grads: Sequence[Tensor],  # noqa: ARG001
) -> list[Tensor]:
    return [t.new_empty(t.shape) for t in (x, weight, *bias, *last, *state, *_learned(plan, tensors))]


def _save(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:  # noqa: ARG001
    x, weight, bias, last, state, tensors, ctx.plan, ctx.waits = inputs
    ctx.counts = len(bias), len(last), len(state), len(tensors)
    ctx.save_for_backward(x, weight, *bias, *last, *state, *tensors)


def _differentiate(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    x, weight, *rest = ctx.saved_tensors
    lists: list[list[Tensor]] = []
    for count in ctx.counts:
        lists.append(rest[:count])
        rest = rest[count:]
    bias, last, state, tensors = lists
    likes = [x, *state]
    full = [like.new_zeros(like.shape) if g is None else g for g, like in zip(grads, likes, strict=True)]
    found = torch.ops.snn4.recurrent_backward(x, weight, bias, last, state, tensors, ctx.plan, ctx.waits, full)
    grad_x, grad_weight, *found = found
    taken: list[list[Tensor]] = []
    for count in ctx.counts[:3]:
        taken.append(found[:count])
        found = found[count:]
    _, _, _, learned, counts = _named(ctx.plan)
    own: list[Tensor | None] = []
    for count, total in zip(learned, counts, strict=True):
        own += [*found[:count], *(None for _ in range(total - count))]
        found = found[count:]
    return (grad_x, grad_weight, *taken, own, None, None)


_recurrent.register_autograd(_differentiate, setup_context=_save)
