"""All steps of a recurrent layer in machine code: the neuron's own traced step around a product with its weights.

    s[t], state = step(x[t] + (W s[t-1] + b), state)

Spikes, states and gradients are those of the loop over steps, up to the order in which the product is summed: where its
sums are exact, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.func import functional_call

from snn4.core.errors import GraphError
from snn4.kernels import torch_facts
from snn4.kernels.choice import wish
from snn4.kernels.fused import accepted, unfit
from snn4.kernels.identity import Identity, identity
from snn4.kernels.recurrent_plan import Gradients, Plan, Ran, Shape, recurrent_plan
from snn4.through_time import BPTT, Neuron
from snn4.through_time.registry import registered

if TYPE_CHECKING:
    from snn4.kernels.plan import Keeps

__all__ = [
    "Feedback",
    "Part",
    "apart",
    "kept_for",
    "neuron_refuses",
    "recurrent",
    "sorted_tensors",
    "together",
    "unregistered",
]

NAME = "c++"
_DTYPES = (torch.float32, torch.float64)


class Part(NamedTuple):
    """Neurons of one kind, side by side with others.

    Args:
        neuron: whose step.
        size: how many.
        state: before the first step. Fields of shape (B, size).
    """

    neuron: Neuron
    size: int
    state: Any


class Feedback(NamedTuple):
    """What comes back to the input one step later: W s + b.

    Args:
        weight: W. Shape (N, N), to which from which.
        bias: b, or None. Shape (N,).
        last: what neurons gave before the first step; None for nothing. Shape (B, N).
        waits: whether b is left out at the first step.
    """

    weight: Tensor
    bias: Tensor | None
    last: Tensor | None
    waits: bool


class _Call(NamedTuple):
    """What one call remembers for its backward pass."""

    parts: tuple[Part, ...]
    keys: tuple[tuple[Any, ...], ...]
    names: tuple[tuple[str, ...], ...]
    plan: Plan
    shape: Shape
    keeps: Keeps


def recurrent(parts: Sequence[Part], feedback: Feedback, xs: Tensor) -> tuple[Tensor, list[Any]] | str:
    """Outputs and last states of a recurrent layer, or why it has no kernel at this call.

    Args:
        parts: its neurons, in the order of their inputs.
        feedback: what comes back.
        xs: input. Shape (T, B, N).
    """
    found = _accepted(parts, feedback, xs)
    if isinstance(found, str):
        return found
    plan, seen = found
    tensors = [sorted_tensors(one) for one in seen]
    if xs.stride(2) != 1 or xs.stride(1) != xs.shape[2]:
        xs = xs.contiguous()
    shape = plan.shape(len(xs), xs.shape[1], skip=feedback.waits, weight=feedback.weight)
    inputs = (xs, feedback.weight, feedback.bias, feedback.last)
    states = [field for part in parts for field in part.state]
    own = [t for one in tensors for t in one.values()]
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (*inputs, *states, *own)):
        keeps: Keeps = "save" if wish().backward == "save" else "checkpoint"
        names = tuple(tuple(one) for one in tensors)
        # without the states, whose graphs must not live as long as this call's
        bare = tuple(Part(p.neuron, p.size, type(p.state)(*(None for _ in p.state))) for p in parts)
        call = _Call(bare, tuple(one.key for one in seen), names, plan, shape, keeps)
        apply = cast("Callable[..., tuple[Tensor, ...]]", _Recurrent.apply)
        ys, *fields = apply(call, *inputs, *states, *own)
        return ys, _as_states(parts, fields)
    with torch.no_grad():
        first = together(plan.fields, *_sizes(parts), states, xs)
        values = [list(one.values()) for one in tensors]
        weight, bias, last = (t if t is None else t.detach().contiguous() for t in inputs[1:])
        assert weight is not None
        ran = plan.forward(shape, xs.detach(), weight, bias, last, first, values, None)
    return ran.ys, _as_states(parts, apart(*_sizes(parts), ran.last))


def unregistered() -> str | None:
    """A loop goes with the kernel of its neurons: whoever took that one out gets the steps one by one."""
    return None if any(kernel.name == NAME for kernel in registered()) else f"no kernel named {NAME} is registered"


def _accepted(parts: Sequence[Part], feedback: Feedback, xs: Tensor) -> tuple[Plan, list[Identity]] | str:
    """The plan of a call, and who its neurons are; or why there is none."""
    if (asked := wish().implementation) not in ("auto", NAME):
        return f"use({asked!r}) is in force"
    if (reason := unregistered()) is not None:
        return reason
    if xs.device.type != "cpu":
        return f"the input lies on {xs.device}"
    if xs.dtype not in _DTYPES:
        return f"the input is {str(xs.dtype).removeprefix('torch.')}"
    weight, bias, last, _ = feedback
    size = sum(part.size for part in parts)
    if xs.ndim != 3 or xs.shape[2] != size or weight.shape != (size, size):
        return f"steps of shape {tuple(xs.shape[1:])}, not (B, {weight.shape[0]})"
    given = [t for t in (weight, bias, last) if t is not None]
    if any(type(t) not in (Tensor, torch.nn.Parameter) for t in given):
        return "feedback weights that are a tensor subclass"
    if any(t.dtype != xs.dtype or t.device != xs.device for t in given):
        return "feedback of another dtype or device than the input"
    seen: list[Identity] = []
    at = 0
    for part in parts:
        if (reason := neuron_refuses(part.neuron)) is not None:
            return reason
        who = accepted(part.neuron, xs[..., at : at + part.size], part.state, xs.dtype)
        if isinstance(who, str):
            return who
        if (reason := unfit(who, xs.device)) is not None:
            return reason
        seen.append(who)
        at += part.size
    plan = recurrent_plan([(p.neuron, who, p.size) for p, who in zip(parts, seen, strict=True)], xs.dtype)
    return plan if isinstance(plan, str) else (plan, seen)


def neuron_refuses(neuron: Neuron) -> str | None:
    """Why a neuron, whatever its input, does not run at all steps at once; or None."""
    if type(neuron).sequence is not Neuron.sequence:
        return neuron.own_sequence or "the neuron has a sequence() of its own"
    whole = isinstance(neuron.route, BPTT) and neuron.route.truncate is None
    return None if whole else f"the route {neuron.route}"


def sorted_tensors(seen: Identity) -> dict[str, Tensor]:
    """A neuron's tensors, those that learn first."""
    learned = {name: t for name, t in seen.tensors.items() if t.requires_grad}
    return {**learned, **{name: t for name, t in seen.tensors.items() if name not in learned}}


def together(
    rows: int, fields: Sequence[int], sizes: Sequence[int], values: Sequence[Tensor | None], like: Tensor
) -> list[Tensor]:
    """State fields of all kinds side by side, dense; None is zero, and so is what a kind with fewer lacks.

    Args:
        rows: the most fields that a kind has.
        fields: how many each kind has.
        sizes: how many neurons of each.
        values: those of the first kind, then of the second. Shape (B, size) each.
        like: gives the dtype. Shape (T, B, N).
    """
    if len(sizes) == 1 and all(v is not None for v in values):
        return [v.detach().contiguous() for v in values if v is not None]
    whole: list[Tensor] = []
    for k in range(rows):
        row: list[Tensor] = []
        at = 0
        for count, size in zip(fields, sizes, strict=True):
            own = values[at + k] if k < count else None
            row.append(like.new_zeros(like.shape[1], size) if own is None else own.detach())
            at += count
        whole.append(torch.cat(row, 1))
    return whole


def apart(fields: Sequence[int], sizes: Sequence[int], rows: Sequence[Tensor]) -> list[Tensor]:
    """The other way round: the fields of the first kind, then of the second."""
    if len(sizes) == 1:
        return list(rows)
    found: list[Tensor] = []
    at = 0
    for count, size in zip(fields, sizes, strict=True):
        found += [row[:, at : at + size].contiguous() for row in rows[:count]]
        at += size
    return found


def kept_for(ran: Ran) -> tuple[Sequence[Tensor], float, Sequence[dict[str, Tensor]]]:
    """What a backward pass needs of a forward pass, beside outputs."""
    return ran.kept, ran.share, ran.values


def _sizes(parts: Sequence[Part]) -> tuple[list[int], list[int]]:
    """How many fields each kind has, and how many neurons."""
    return [len(part.state) for part in parts], [part.size for part in parts]


def _as_states(parts: Sequence[Part], fields: Sequence[Tensor]) -> list[Any]:
    left = iter(fields)
    return [type(part.state)(*(next(left) for _ in part.state)) for part in parts]


class _Recurrent(torch.autograd.Function):
    """A recurrent layer over all steps, and its gradient."""

    @staticmethod
    def forward(
        ctx: Any, call: _Call, xs: Tensor, weight: Tensor, bias: Tensor | None, last: Tensor | None, *rest: Tensor
    ) -> tuple[Tensor, ...]:
        """Outputs and last state fields; `rest` is states and the neurons' tensors."""
        count = sum(len(part.state) for part in call.parts)
        states, left = rest[:count], iter(rest[count:])
        tensors = [[next(left) for _ in names] for names in call.names]
        last = None if last is None else last.contiguous()
        first = together(call.plan.fields, *_sizes(call.parts), states, xs)
        ran = call.plan.forward(call.shape, xs, weight, bias, last, first, tensors, call.keeps)
        ctx.call, ctx.share, ctx.values, ctx.fields = call, ran.share, ran.values, len(first)
        ctx.set_materialize_grads(False)
        # what "save" keeps makes the input superfluous, but a second derivative starts from it
        inputs = (None if call.keeps == "save" else xs, weight, bias, last)
        ctx.save_for_backward(*inputs, ran.ys, *first, *ran.kept, *rest)
        ctx.rest = len(rest)
        return (ran.ys, *apart(*_sizes(call.parts), ran.last))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        """The gradients of what `forward` got."""
        call: _Call = ctx.call
        saved: Sequence[Any] = ctx.saved_tensors
        xs, weight, bias, last, ys = saved[:5]
        kept, rest = saved[5 + ctx.fields : len(saved) - ctx.rest], saved[len(saved) - ctx.rest :]
        if all(g is None for g in grads):
            return (None,) * (5 + len(rest))
        if torch.is_grad_enabled():
            return (None, *_differentiable(call, xs, weight, bias, last, rest, grads, ctx.needs_input_grad[1:]))
        grad_ys = grads[0]
        if grad_ys is None:
            grad_ys = torch.zeros_like(ys)
        none = all(g is None for g in grads[1:])
        _, need_weight, need_bias = ctx.needs_input_grad[1:4]
        found: Gradients = call.plan.backward(
            call.shape,
            xs,
            ys,
            weight,
            bias,
            last,
            saved[5 : 5 + ctx.fields],
            (kept, ctx.share, ctx.values),
            grad_ys.contiguous(),
            () if none else together(call.plan.fields, *_sizes(call.parts), grads[1:], ys),
            call.keeps,
            need_weight=need_weight,
            need_bias=need_bias,
        )
        tensors = [g for own in found.tensors for g in own]
        first = apart(*_sizes(call.parts), found.first)
        return (None, found.x, found.weight, found.bias, found.start, *first, *tensors)


def _differentiable(
    call: _Call,
    xs: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    last: Tensor | None,
    rest: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """The gradient as a differentiable function, for derivatives of higher order: through the loop over steps."""
    if xs is None:
        raise GraphError(
            f"create_graph=True for a {call.plan.label} layer, which ran with use(backward='save')",
            "its input, which that mode does not keep",
            "Take use(backward='recompute') for second derivatives.",
        )
    if tuple(identity(part.neuron).key for part in call.parts) != call.keys:
        raise GraphError(
            f"create_graph=True for a {call.plan.label} layer, whose settings have changed since it ran",
            "the neurons as they were in the forward pass",
            "Call backward() before changing them.",
        )
    # views, so that the gradient of the loop stops here and goes on through the caller's graph
    inputs = [xs, weight, bias, last, *rest]
    views = [t.view_as(t) if need and t is not None else t for t, need in zip(inputs, needs, strict=True)]
    x, w, b, s, *others = cast("list[Any]", views)
    left = iter(others)
    states = [[next(left) for _ in part.state] for part in call.parts]
    given = [{f"neuron.{n}": next(left) for n in names} for names in call.names]
    steppers = [torch_facts.Stepper(part.neuron) for part in call.parts]
    sizes = [part.size for part in call.parts]
    ys: list[Tensor] = []
    for t, now in enumerate(x.unbind(0)):
        start = torch.zeros_like(now) if s is None else s
        back = torch.nn.functional.linear(start, w, None if call.shape.skip and t == 0 else b)
        outs: list[Tensor] = []
        for m, current in enumerate((now + back).split(sizes, -1)):
            y, *states[m] = functional_call(steppers[m], given[m], (current, states[m]), tie_weights=False)
            outs.append(y)
        s = torch.cat(outs, -1)
        ys.append(s)
    made = [torch.stack(ys), *(field for own in states for field in own)][: len(grads)]
    pairs = [(o, g) for o, g in zip(made, grads, strict=True) if g is not None and o.requires_grad]
    wanted = [v for v, need in zip(views, needs, strict=True) if need and v is not None]
    found = iter(
        torch.autograd.grad([o for o, _ in pairs], wanted, [g for _, g in pairs], create_graph=True, allow_unused=True)
    )
    return [next(found) if need and v is not None else None for v, need in zip(views, needs, strict=True)]
