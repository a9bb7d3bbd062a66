"""The kernel that `snn4.through_time.registry` asks: a compiled step for every elementwise neuron on the CPU."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.func import functional_call

from snn4.core.errors import GraphError, OptionError
from snn4.kernels import torch_facts
from snn4.kernels.choice import wish
from snn4.kernels.identity import Identity, identity
from snn4.kernels.layout import Layout, layout_of
from snn4.kernels.plan import Plan, plan_for
from snn4.kernels.split import Refused

if TYPE_CHECKING:
    from snn4.kernels.cpp import Mode
    from snn4.through_time import Neuron

__all__ = ["CPP", "Call", "CppKernel", "Fused", "Runs", "common_refusal", "launch"]

_DTYPES = (torch.float32, torch.float64)


class Runs(Protocol):
    """A plan: the kernels of one neuron's step for one shape of features and one dtype."""

    dtype: torch.dtype
    needs_rows: bool

    def forward(
        self,
        xs: Tensor,
        state: Sequence[Tensor],
        tensors: Sequence[Tensor],
        layout: Layout,
        mode: Mode,
        *,
        keep: bool,
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Outputs, last state, and what the backward pass needs beside the input."""
        ...

    def backward(
        self,
        xs: Tensor | None,
        state: Sequence[Tensor],
        kept: Sequence[Tensor],
        tensors: Sequence[Tensor],
        grad_ys: Tensor,
        grad_last: Sequence[Tensor | None],
        layout: Layout,
        mode: Mode,
        *,
        need_x: bool,
        need_state: bool,
    ) -> tuple[Tensor | None, list[Tensor | None], list[Tensor | None]]:
        """Gradients of the input, of the first state and of the neuron's tensors."""
        ...


class _Local(threading.local):
    """The call that was accepted last, so that a plan is looked up once."""

    # weak: an input must not live longer because somebody asked who would run it
    accepted: tuple[weakref.ref[Neuron], weakref.ref[Tensor], Identity, Plan] | None = None


class CppKernel:
    """All steps of a layer in one pass over memory, in C++ generated from the neuron's own `step`."""

    def __init__(self) -> None:
        self._local = _Local()

    @property
    def name(self) -> str:
        """What `snn4.explain` prints."""
        return "c++"

    def refuses(self, neuron: Neuron, xs: Tensor, state: Any) -> str | None:
        """Why this call goes elsewhere, or None. At a neuron's first call this traces and compiles it."""
        if torch.compiler.is_compiling():
            return "inside torch.compile, which makes its own kernels"
        wanted = wish()
        if wanted.implementation not in ("auto", self.name):
            return f"use({wanted.implementation!r}) is in force"
        reason = self._refuses(neuron, xs, state, wanted.backward)
        if reason is not None and wanted.implementation == "c++":
            raise OptionError(
                f"use('c++') is in force, but {type(neuron).__name__} cannot run as a kernel ({reason})",
                "a neuron and a call that the compiler can take",
                "Use 'auto' to fall back on the reference loop.",
            )
        return reason

    def _refuses(self, neuron: Neuron, xs: Tensor, state: Any, mode: Mode) -> str | None:
        self._local.accepted = None
        if xs.device.type != "cpu":
            return f"the input lies on {xs.device}"
        if xs.dtype not in _DTYPES:
            return f"the input is {str(xs.dtype).removeprefix('torch.')}"
        seen = common_refusal(neuron, xs, state, xs.dtype)
        if isinstance(seen, str):
            return seen
        plan = plan_for(neuron, seen, xs.shape[2:], xs.dtype, mode)
        if isinstance(plan, str):
            return plan
        self._local.accepted = (weakref.ref(neuron), weakref.ref(xs), seen, plan)
        return None

    def __call__(self, neuron: Neuron, xs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Outputs and last state."""
        accepted = self._local.accepted
        self._local.accepted = None
        if accepted is None or accepted[0]() is not neuron or accepted[1]() is not xs:
            reason = self.refuses(neuron, xs, state)
            accepted, self._local.accepted = self._local.accepted, None
            if accepted is None:
                came = f"the kernel of {type(neuron).__name__} was called although it refuses"
                raise OptionError(came, "no call", str(reason))
        _, _, seen, plan = accepted
        return launch(neuron, xs, state, seen, plan)


def common_refusal(neuron: Neuron, xs: Tensor, state: Any, dtype: torch.dtype) -> Identity | str:
    """Why no kernel takes this call, on whatever device; or who the neuron is.

    Args:
        neuron: whose step.
        xs: inputs. Shape (T, B, *features).
        state: the state before the first step.
        dtype: the one that the state must have.
    """
    if any(type(t) not in (Tensor, torch.nn.Parameter) for t in (xs, *state)):
        return "a tensor subclass"
    if reason := torch_facts.watched():
        return reason
    if any(t.dtype != dtype or t.shape != xs.shape[1:] or t.device != xs.device for t in state):
        return "a state field of another shape, dtype or device than the input's steps"
    if xs.numel() == 0:
        return "an empty input"
    try:
        seen = identity(neuron)
    except Refused as reason:
        return str(reason)
    if any(t.device != xs.device for t in seen.tensors.values()):
        return "a parameter on another device than the input"
    if any(type(t) not in (Tensor, torch.nn.Parameter) for t in seen.tensors.values()):
        return "a parameter that is a tensor subclass"
    return seen


def launch(neuron: Neuron, xs: Tensor, state: Any, seen: Identity, plan: Runs) -> tuple[Tensor, Any]:
    """Run a plan, with a gradient where one is asked for. Outputs and last state."""
    layout = layout_of(xs)
    if layout is None or (plan.needs_rows and not layout.batch_first):
        xs = xs.contiguous()
        layout = layout_of(xs)
        assert layout is not None
    learned = [t for t in seen.tensors.values() if t.requires_grad]
    tensors = [*learned, *(t for t in seen.tensors.values() if not t.requires_grad)]
    mode = wish().backward
    if torch.is_grad_enabled() and any(t.requires_grad for t in (xs, *state, *learned)):
        call = Call(neuron, seen, plan, layout, mode, len(state))
        ys, *last = Fused.apply(call, xs, *state, *tensors)
    else:
        ys, last, _ = plan.forward(
            xs.detach(), [s.detach() for s in state], [t.detach() for t in tensors], layout, mode, keep=False
        )
    return ys, type(state)(*last)


class Call:
    """What one call of a kernel remembers for its backward pass."""

    def __init__(self, neuron: Neuron, seen: Identity, plan: Runs, layout: Layout, mode: Mode, fields: int) -> None:
        self.neuron, self.plan, self.layout, self.fields = neuron, plan, layout, fields
        self.mode: Mode = mode
        self.key = seen.key
        learned = [name for name, t in seen.tensors.items() if t.requires_grad]
        self.names = [*learned, *(name for name in seen.tensors if name not in learned)]


class Fused(torch.autograd.Function):
    """A layer over all steps, and its gradient."""

    @staticmethod
    def forward(ctx: Any, call: Call, xs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """Outputs and last state fields; `rest` is the state and the neuron's tensors."""
        state, tensors = rest[: call.fields], rest[call.fields :]
        ys, last, kept = call.plan.forward(xs, state, tensors, call.layout, call.mode, keep=True)
        ctx.call = call
        ctx.set_materialize_grads(False)
        # what is kept in mode "save" makes the input superfluous, but a second derivative starts from it
        ctx.save_for_backward(xs, *rest, *kept) if call.mode == "recompute" else ctx.save_for_backward(*rest, *kept)
        return (ys, *last)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        """The gradients of what `forward` got."""
        call: Call = ctx.call
        saved: tuple[Tensor, ...] = ctx.saved_tensors
        if all(g is None for g in grads):
            return (None,) * (2 + call.fields + len(call.names))
        xs = None
        if call.mode == "recompute":
            xs, saved = saved[0], saved[1:]
        state, tensors = saved[: call.fields], saved[call.fields : call.fields + len(call.names)]
        kept = saved[call.fields + len(call.names) :]
        if torch.is_grad_enabled():
            return (None, *_again(call, xs, state, tensors, grads, ctx.needs_input_grad[1:]))
        grad_ys = grads[0]
        if grad_ys is None:
            some = next(g for g in grads if g is not None)
            steps = len(kept[0]) if xs is None else len(xs)
            grad_ys = some.new_zeros(()).expand(steps, *call.layout.shape)
        needs = ctx.needs_input_grad[1:]
        grad_x, grad_state, grad_tensors = call.plan.backward(
            xs,
            state,
            kept,
            tensors,
            grad_ys,
            grads[1:],
            call.layout,
            call.mode,
            need_x=needs[0],
            need_state=any(needs[1 : 1 + call.fields]),
        )
        return (None, grad_x, *grad_state, *grad_tensors)


def _again(
    call: Call,
    xs: Tensor | None,
    state: Sequence[Tensor],
    tensors: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """The gradient as a differentiable function, for derivatives of higher order: through the reference loop."""
    name = type(call.neuron).__name__
    if xs is None:
        raise GraphError(
            f"create_graph=True for {name}, which ran with use(backward='save')",
            "its input, which that mode does not keep",
            "Take use(backward='recompute') for second derivatives.",
        )
    if identity(call.neuron).key != call.key:
        raise GraphError(
            f"create_graph=True for {name}, whose settings have changed since it ran",
            "the neuron as it was in the forward pass",
            "Call backward() before changing it.",
        )
    module = torch_facts.Stepper(call.neuron)
    given = {f"neuron.{n}": t for n, t in zip(call.names, tensors, strict=True)}
    inputs = [xs, *state, *tensors]
    # views, so that the gradient of the loop stops here and goes on through the caller's graph
    views = [t.view_as(t) if need else t for t, need in zip(inputs, needs, strict=True)]
    given = dict(zip(given, views[1 + call.fields :], strict=True))
    ys: list[Tensor] = []
    now: tuple[Tensor, ...] = tuple(views[1 : 1 + call.fields])
    # an input may travel in fewer bits than the step computes in
    for x in views[0].to(call.plan.dtype).unbind(0):
        y, *fields = functional_call(module, given, (x, now), tie_weights=False)
        ys.append(y)
        now = tuple(fields)
    outs = [torch.stack(ys).to(xs.dtype), *now]
    pairs = [(o, g) for o, g in zip(outs, grads, strict=True) if g is not None and o.requires_grad]
    wanted = [v for v, need in zip(views, needs, strict=True) if need]
    found = iter(
        torch.autograd.grad([o for o, _ in pairs], wanted, [g for _, g in pairs], create_graph=True, allow_unused=True)
    )
    return [next(found) if need else None for need in needs]


CPP = CppKernel()
