"""Batch norm and neuron in one kernel: the neuron's input is made where it is used, and kept nowhere.

    x[t] = a z[t] + b        a, b per channel, from the batch's statistics (training) or the running ones (eval)
    s[t], state = step(x[t], state)

z is what comes out of the convolution. The kernel is the neuron's own traced step with this line put in front, so that
any neuron that has a kernel has this one too. For backward() only z is kept: the kernel repeats x and the states from
it, and torch's own backward of batch norm takes the gradient on from x to z.

Statistics are torch's own as well, and x is rounded as torch rounds it, which is found out on a small example: spikes,
states, running statistics and gradients are those of the layers run one by one, bit for bit.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from snn4.kernels import build
from snn4.kernels.fused import CPP, Call, differentiable
from snn4.kernels.graph import Arg, Op, Parameter
from snn4.kernels.identity import identity
from snn4.kernels.layout import layout_of
from snn4.kernels.plan import Plan, plan_for
from snn4.kernels.spikes.source import address, library
from snn4.kernels.split import Refused, Traced, host_name
from snn4.through_time import registry

if TYPE_CHECKING:
    from snn4.through_time import Neuron

__all__ = ["Norm", "normed", "with_line"]


class Norm:
    """A batch norm at one call: y = a z + b per channel.

    Args:
        weight: its scale, or None.
        bias: its shift, or None.
        mean: running mean, or None.
        variance: running variance, or None.
        batch: whether the batch's own statistics are taken; the running ones, where there are, then follow them.
        momentum: how fast; None for the mean over all calls.
        eps: added to the variance.
        calls: counts the calls that moved the running statistics, or None.
    """

    def __init__(
        self,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor | None,
        variance: Tensor | None,
        *,
        batch: bool,
        momentum: float | None,
        eps: float,
        calls: Tensor | None = None,
    ) -> None:
        self.weight, self.bias, self.mean, self.variance = weight, bias, mean, variance
        self.batch, self.momentum, self.eps, self.calls = batch, momentum, eps, calls

    def refuses(self, zs: Tensor) -> str | None:
        """Why it cannot run inside a neuron's kernel, or None."""
        tensors = [t for t in (self.weight, self.bias, self.mean, self.variance) if t is not None]
        if any(t.dtype != zs.dtype or t.device != zs.device for t in tensors):
            return "batch norm and its input differ in dtype or device"
        if any(type(t) not in (Tensor, torch.nn.Parameter) for t in tensors):
            return "a parameter of the batch norm is a tensor subclass"
        if self.batch and zs.numel() == zs.shape[2]:
            return "one value a channel"  # which torch refuses, in its own words
        if library() is None:
            return "no compiler"
        return None if _rounding(zs.dtype) is not None else "this torch rounds batch norm in a way of its own"

    def line(self, zs: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """a and b; in training also mean and 1 / deviation. It moves the running statistics. All of shape (C,)."""
        channels = zs.shape[2]
        one, zero = zs.new_ones(channels), zs.new_zeros(channels)
        weight = one if self.weight is None else self.weight.detach()
        bias = zero if self.bias is None else self.bias.detach()
        if self.batch:
            momentum = self.momentum or 0.0
            if self.calls is not None:
                self.calls.add_(1)
                momentum = 1.0 / float(self.calls) if self.momentum is None else self.momentum
            flat = zs.detach().flatten(0, 1)
            found: tuple[Tensor, Tensor] = torch.batch_norm_update_stats(flat, self.mean, self.variance, momentum)
            mean, variance = found
            inverse = (1 / (variance.double() + self.eps).sqrt()).to(zs.dtype)
            a = inverse * weight
            once = _rounding(zs.dtype)
            assert once is not None
            return a, _line(-mean, a, bias, once=once[0]), mean, inverse
        assert self.mean is not None
        assert self.variance is not None
        # torch itself, at 0 and 1
        b = F.batch_norm(zero[None], self.mean, self.variance, weight, bias, False, 0.0, self.eps)[0]
        a = F.batch_norm(one[None], zero, self.variance, weight, zero, False, 0.0, self.eps)[0]
        return a, b, None, None


def with_line(traced: Traced, tensors: int, *, once: bool) -> Traced:
    """The same step on a x + b in the place of x, with a and b as two more tensors of the neuron.

    Args:
        traced: a step.
        tensors: how many tensors it has.
        once: whether a x + b is rounded once, as a fused multiply-add does, or twice.
    """
    graph = traced.graph
    count = len(graph.parameters)
    a, b = Parameter(f"p{count}", True), Parameter(f"p{count + 1}", True)

    def seen(arg: Arg) -> Arg:
        return "line" if arg == graph.x else arg

    ops = (
        [Op("line", "fma", (graph.x, a.name, b.name))]
        if once
        else [Op("scaled", "mul", (graph.x, a.name)), Op("line", "add", ("scaled", b.name))]
    )
    ops += [replace(op, args=tuple(seen(arg) for arg in op.args)) for op in graph.ops]
    graph = replace(
        graph,
        ops=tuple(ops),
        y=seen(graph.y),
        new_states=tuple(map(seen, graph.new_states)),
        grad_x=seen(graph.grad_x),
        grad_states=tuple(map(seen, graph.grad_states)),
        roots=tuple(replace(root, value=seen(root.value)) for root in graph.roots),
        parameters=(*graph.parameters, a, b),
    )
    return replace(
        traced,
        graph=graph,
        inputs=(*traced.inputs, host_name(tensors), host_name(tensors + 1)),
        gradients=(*traced.gradients, None, None),
    )


def normed(norm: Norm, neuron: Neuron, zs: Tensor, state: Any, *, last: bool = True) -> tuple[Tensor, Any] | str:
    """Outputs and last state of `neuron` on what `norm` makes of `zs`; or why they cannot run together.

    Args:
        norm: the batch norm, over T, B and all axes behind the channels.
        neuron: any neuron that runs as a C++ kernel.
        zs: input of the batch norm. Shape (T, B, C, *).
        state: the neuron's state before the first step.
        last: whether the last state is asked for; else it is None.
    """
    kernel, refused = registry.choose(neuron, zs, state)
    if kernel is not CPP:
        return refused[-1][1] if refused else "it has no C++ kernel"
    if (reason := norm.refuses(zs)) is not None:
        return reason
    try:
        seen = identity(neuron)
    except Refused as problem:
        return str(problem)
    plain = plan_for(neuron, seen, zs.shape[2:], zs.dtype, "recompute")
    if isinstance(plain, str):
        return plain
    once = _rounding(zs.dtype)
    assert once is not None
    plan = _plan(plain, len(seen.tensors), once=once[1])
    if isinstance(plan, str):
        return plan
    layout = layout_of(zs)
    if layout is None or not layout.batch_first:
        zs = zs.contiguous()
        layout = layout_of(zs)
        assert layout is not None
    learned = [t for t in seen.tensors.values() if t.requires_grad]
    tensors = [*learned, *(t for t in seen.tensors.values() if not t.requires_grad)]
    with torch.no_grad():
        a, b, mean, inverse = norm.line(zs)
        shape = (-1,) + (1,) * (zs.ndim - 3)
        a, b = a.view(shape), b.view(shape)
    inputs = [t for t in (zs, norm.weight, norm.bias, *state, *learned) if t is not None]
    if torch.is_grad_enabled() and any(t.requires_grad for t in inputs):
        call = Call(neuron, seen, plan, layout, plan.keeps("auto", len(zs)), len(state), last)
        apply = cast("Callable[..., tuple[Tensor, ...]]", _Normed.apply)
        ys, *after = apply(call, norm, (mean, inverse, a, b), zs, norm.weight, norm.bias, *state, *tensors)
    else:
        given = [t.detach() for t in (*tensors, a, b)]
        first = [s.detach() for s in state]
        ys, after, _, _ = plan.forward(zs.detach(), first, given, layout, None, last=last)
    return ys, type(state)(*after) if last else None


class _Normed(torch.autograd.Function):
    """A layer over all steps behind a batch norm, and the gradient of both."""

    @staticmethod
    def forward(
        ctx: Any,
        call: Call,
        norm: Norm,
        made: tuple[Tensor | None, Tensor | None, Tensor, Tensor],
        zs: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        *rest: Tensor,
    ) -> tuple[Tensor, ...]:
        mean, inverse, a, b = made
        state, tensors = rest[: call.fields], rest[call.fields :]
        given = (*tensors, a, b)
        ys, last, kept, ctx.ready = call.plan.forward(zs, state, given, call.layout, call.keeps, last=call.last)
        ctx.call, ctx.neuron, ctx.norm, ctx.count = call, call.neuron, norm, len(rest)
        ctx.set_materialize_grads(False)
        running = (None, None) if norm.batch else (norm.mean, norm.variance)
        ctx.save_for_backward(zs, weight, bias, mean, inverse, *running, *rest, *kept)
        return (ys, *last)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        call, norm = cast("Call", ctx.call), cast("Norm", ctx.norm)
        saved: Sequence[Tensor] = ctx.saved_tensors
        zs, weight, bias, mean, inverse, *running = saved[:7]
        rest, kept = saved[7 : 7 + ctx.count], saved[7 + ctx.count :]
        state, tensors = rest[: call.fields], rest[call.fields :]
        needs = ctx.needs_input_grad[3:]
        if all(g is None for g in grads):
            return (None,) * (6 + len(rest))
        if torch.is_grad_enabled():
            return (None, None, None, *_differentiable(call, norm, zs, weight, bias, running, rest, grads, needs))
        grad_ys = grads[0]
        if grad_ys is None:
            grad_ys = zs.new_zeros(()).expand(len(zs), *call.layout.shape)
        need_line = any(needs[:3])
        grad_xs, grad_state, grad_tensors = call.plan.backward(
            zs,
            state,
            kept,
            ctx.ready,
            grad_ys,
            grads[1:] or (None,) * call.fields,
            call.layout,
            call.keeps,
            need_x=need_line,
            need_state=any(needs[3 : 3 + call.fields]),
        )
        found: tuple[Tensor | None, ...] = (None, None, None)
        if grad_xs is not None:
            flat, given = grad_xs.flatten(0, 1), zs.flatten(0, 1)
            found = torch.ops.aten.native_batch_norm_backward(
                flat, given, weight, *running, mean, inverse, norm.batch, norm.eps, list(needs[:3])
            )
            if found[0] is not None:
                found = (found[0].unflatten(0, zs.shape[:2]), *found[1:])
        return (None, None, None, *found, *grad_state, *grad_tensors[: len(tensors)])


def _differentiable(
    call: Call,
    norm: Norm,
    zs: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running: Sequence[Tensor | None],
    rest: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """The gradient as a differentiable function, for derivatives of higher order: layer by layer."""
    views = [t.view_as(t) if need and t is not None else t for t, need in zip((zs, weight, bias), needs, strict=False)]
    first = views[0]
    assert first is not None
    flat = F.batch_norm(first.flatten(0, 1), running[0], running[1], views[1], views[2], norm.batch, 0.0, norm.eps)
    xs = flat.unflatten(0, zs.shape[:2])
    need_line = any(needs[:3])
    state, tensors = rest[: call.fields], rest[call.fields :]
    grad_xs, *others = differentiable(call, xs, state, tensors, grads, [need_line, *needs[3:]], xs.dtype)
    found: list[Tensor | None] = [None, None, None]
    if grad_xs is not None:
        wanted = [v for v, need in zip(views, needs, strict=False) if need and v is not None]
        parts = iter(torch.autograd.grad(xs, wanted, grad_xs, create_graph=True, allow_unused=True))
        found = [next(parts) if need and v is not None else None for v, need in zip(views, needs, strict=False)]
    return [*found, *others]


_plans: weakref.WeakKeyDictionary[Plan, Plan | str] = weakref.WeakKeyDictionary()


def _plan(plain: Plan, tensors: int, *, once: bool) -> Plan | str:
    """The plan of a neuron behind a batch norm, from the neuron's own; or why it cannot be compiled."""
    found = _plans.get(plain)
    if found is None:
        found = Plan(with_line(plain.traced, tensors, once=once), f"{plain.label} behind a batch norm", plain.dtype)
        try:
            found.library("recompute")
        except build.BuildError as problem:
            build.notice(f"{plain.label} and its batch norm run one by one: {problem}")
            found = str(problem)
        _plans[plain] = found
    return found


def _line(x: Tensor, a: Tensor, b: Tensor, *, once: bool) -> Tensor:
    """a x + b, element by element, rounded once or twice."""
    compiled = library()
    assert compiled is not None
    x, a, b = x.contiguous(), a.contiguous(), b.contiguous()
    y = torch.empty_like(x)
    function = getattr(compiled, f"line{x.dtype.itemsize}")
    function(*map(address, (x, a, b, y)), ctypes.c_int64(x.numel()), ctypes.c_int(once))
    return y


@functools.cache
def _rounding(dtype: torch.dtype) -> tuple[bool, bool] | None:
    """Whether this torch rounds once when it makes b, and when it applies a x + b; None where it does neither."""
    draw = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw, dtype=dtype, device="cpu")

    x, weight, bias = random(6, 37, 5, 7) * 1.3 + 0.4, random(37), random(37)
    for once_b in (True, False):
        for once in (True, False):
            if all(_same(x.to(memory_format=f), weight, bias, once_b, once) for f in _FORMATS):
                return once_b, once
    return None


_FORMATS = (torch.contiguous_format, torch.channels_last)


def _same(x: Tensor, weight: Tensor, bias: Tensor, once_b: bool, once: bool) -> bool:
    expected = torch.native_batch_norm(x, weight, bias, None, None, True, 0.1, 1e-5)[0]
    mean, variance = torch.batch_norm_update_stats(x, None, None, 1.0)
    a = (1 / (variance.double() + 1e-5).sqrt()).to(x.dtype) * weight
    b = _line(-mean, a, bias, once=once_b)
    spread = [v.view(1, -1, 1, 1).expand(x.shape) for v in (a, b)]
    return torch.equal(_line(x, *spread, once=once), expected)
