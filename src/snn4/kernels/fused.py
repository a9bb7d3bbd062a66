"""The kernel that `snn4.through_time.registry` asks: a compiled step for every elementwise neuron on the CPU."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.func import functional_call

from snn4.core.errors import GraphError, OptionError
from snn4.kernels import torch_facts
from snn4.kernels.choice import wish
from snn4.kernels.identity import Identity, identity, watch
from snn4.kernels.layout import Layout, layout_of
from snn4.kernels.numba_plan import NumbaPlan, numba_plan_for
from snn4.kernels.plan import Plan, Prepared, Travels, kernel, plan_for
from snn4.kernels.split import Refused
from snn4.through_time import registry

if TYPE_CHECKING:
    from snn4.kernels.choice import Backward
    from snn4.kernels.plan import Keeps
    from snn4.kernels.slots import Mode
    from snn4.through_time import Neuron
    from snn4.through_time.again import Again

__all__ = [
    "CPP",
    "NUMBA",
    "Call",
    "CpuKernel",
    "Fused",
    "Runs",
    "accepted",
    "differentiable",
    "launch",
    "unfit",
]

AnyPlan: TypeAlias = Plan | NumbaPlan
PlanFor: TypeAlias = "Callable[[Neuron, Identity, Sequence[int], torch.dtype, Mode, Travels | None], AnyPlan | str]"
_DTYPES = (torch.float32, torch.float64)
_LOW_PRECISION = (torch.bfloat16, torch.float16)


class Runs(Protocol):
    """A plan: the kernels of one neuron's step for one shape of features and one dtype."""

    dtype: torch.dtype
    needs_rows: bool

    def keeps(self, wanted: Backward, steps: int) -> Keeps:
        """What the forward pass keeps for a sequence of `steps`."""
        ...

    def forward(
        self,
        xs: Tensor,
        state: Sequence[Tensor],
        tensors: Sequence[Tensor],
        layout: Layout,
        keeps: Keeps | None,
        *,
        last: bool,
    ) -> tuple[Tensor, list[Tensor], list[Tensor], Prepared]:
        """Outputs, last state, and what is kept for a backward pass; `None` says that there will be none."""
        ...

    def backward(
        self,
        xs: Tensor | None,
        state: Sequence[Tensor],
        kept: Sequence[Tensor],
        ready: Prepared,
        grad_ys: Tensor,
        grad_last: Sequence[Tensor | None],
        layout: Layout,
        keeps: Keeps,
        *,
        need_x: bool,
        need_state: bool,
    ) -> tuple[Tensor | None, list[Tensor | None], list[Tensor | None]]:
        """Gradients of the input, of the first state and of the neuron's tensors."""
        ...


class _Local(threading.local):
    """The call that was accepted last, so that a plan is looked up once."""

    # weak: an input must not live longer because somebody asked who would run it
    accepted: tuple[weakref.ref[Neuron], weakref.ref[Tensor], Identity, AnyPlan] | None = None


class CpuKernel:
    """All steps of a layer in one pass over memory, in machine code generated from the neuron's own `step`.

    Args:
        name: what `snn4.explain` prints and `use` takes.
        plan_for: makes the kernels of a call, or tells why there are none.
    """

    def __init__(self, name: str, plan_for: PlanFor) -> None:
        self._name, self._plan_for = name, plan_for
        self._local = _Local()

    @property
    def name(self) -> str:
        """What `snn4.explain` prints."""
        return self._name

    def refuses(self, neuron: Neuron, xs: Tensor, state: Any) -> str | None:
        """Why this call goes elsewhere, or None. At a neuron's first call this traces and compiles it."""
        wanted = wish()
        if wanted.implementation not in ("auto", self._name):
            return f"use({wanted.implementation!r}) is in force"
        if torch.compiler.is_compiling():
            if torch.compiler.is_exporting():
                return "inside torch.export, whose graph must stand alone"
            from snn4.kernels import compiled

            return compiled.refuses(self._plan_for, neuron, xs, state)
        reason = self._refuses(neuron, xs, state, wanted.backward)
        # under autocast the neuron asks again, in float32
        again = xs.dtype in _LOW_PRECISION and torch.is_autocast_enabled(xs.device.type)
        if reason is not None and wanted.implementation == self._name and not again:
            raise OptionError(
                f"use({self._name!r}) is in force, but {type(neuron).__name__} cannot run as a kernel ({reason})",
                "a neuron and a call that the compiler can take",
                "Use 'auto' to fall back on the reference loop.",
            )
        return reason

    def _refuses(self, neuron: Neuron, xs: Tensor, state: Any, backward: Backward) -> str | None:
        self._local.accepted = None
        if xs.device.type != "cpu":
            return f"the input lies on {xs.device}"
        travels = _travels_of(neuron, xs)
        if isinstance(travels, str):
            return travels
        real = xs.dtype if travels is None else torch.float32
        seen = accepted(neuron, xs, state, real)
        if isinstance(seen, str):
            return seen
        note = (self._name, xs.shape[2:], real, kernel(backward), travels)
        plan = seen.notes.get(note)
        if plan is None:
            if (reason := unfit(seen, xs.device)) is not None:
                return reason
            plan = self._plan_for(neuron, seen, *note[1:])
            if isinstance(plan, str):
                return plan
            seen.notes[note] = plan
        self._local.accepted = (weakref.ref(neuron), weakref.ref(xs), seen, plan)
        return None

    def __call__(self, neuron: Neuron, xs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Outputs and last state."""
        if torch.compiler.is_compiling():
            from snn4.kernels import compiled

            return compiled.call(self._plan_for, neuron, xs, state)
        ys, *last = self._run(neuron, xs, state, last=True)
        return ys, type(state)(*last)

    def outputs(self, neuron: Neuron, xs: Tensor, state: Any) -> Tensor:
        """Outputs alone: no last state is written."""
        if torch.compiler.is_compiling():
            return self(neuron, xs, state)[0]
        return self._run(neuron, xs, state, last=False)[0]

    def again(self, neuron: Neuron, xs: Tensor, state: Any) -> Again | None:
        """A function for calls like this one, which has been taken, from rest; None where there is none."""
        if registry.first() is not self or self.refuses(neuron, xs, state) is not None:
            return None
        found, self._local.accepted = self._local.accepted, None
        layout, rest = layout_of(xs), neuron.rest()
        # a tensor among them could change its value and still be the same
        plain = all(type(value) in (int, float) for value in rest)
        if found is None or layout is None or not plain:
            return None
        _, _, seen, plan = found
        same = watch(neuron, seen)
        if same is None or not isinstance(plan, Plan) or (plan.needs_rows and not layout.batch_first):
            return None
        from snn4.kernels.shortcut import Shortcut

        return Shortcut(self, neuron, xs, seen, same, plan, layout, rest)

    def _run(self, neuron: Neuron, xs: Tensor, state: Any, *, last: bool) -> tuple[Tensor, ...]:
        found = self._local.accepted
        self._local.accepted = None
        if found is None or found[0]() is not neuron or found[1]() is not xs:
            reason = self.refuses(neuron, xs, state)
            found, self._local.accepted = self._local.accepted, None
            if found is None:
                came = f"the kernel of {type(neuron).__name__} was called although it refuses"
                raise OptionError(came, "no call", str(reason))
        _, _, seen, plan = found
        return launch(neuron, xs, state, seen, plan, last=last)


def _travels_of(neuron: Neuron, xs: Tensor) -> Travels | str | None:
    """How the numbers of a call travel, None for in its own dtype; or why a kernel on the CPU cannot read them.

    Under autocast a state is float32, and inputs come in few bits. Outputs go on so where they lose nothing by it.
    """
    if xs.dtype in _DTYPES:
        return None
    if xs.dtype != torch.bfloat16:
        return f"the input is {str(xs.dtype).removeprefix('torch.')}"
    if not torch.is_autocast_enabled("cpu"):
        return "the input is bfloat16 and autocast is off, so that arithmetic is to be bfloat16 as well"
    return Travels(xs.dtype, torch.float32 if neuron.alphabet is None else xs.dtype)


def accepted(neuron: Neuron, xs: Tensor, state: Any, dtype: torch.dtype) -> Identity | str:
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
        return identity(neuron)
    except Refused as reason:
        return str(reason)


def unfit(seen: Identity, device: torch.device) -> str | None:
    """Why a neuron's tensors cannot be read by a kernel on `device`, or None."""
    if any(t.device != device for t in seen.tensors.values()):
        return "a parameter on another device than the input"
    if any(type(t) not in (Tensor, torch.nn.Parameter) for t in seen.tensors.values()):
        return "a parameter that is a tensor subclass"
    return None


def launch(
    neuron: Neuron, xs: Tensor, state: Any, seen: Identity, plan: Runs, *, last: bool = True
) -> tuple[Tensor, ...]:
    """Run a plan, with a gradient where one is asked for. Outputs, and the fields of the last state if asked for."""
    layout = layout_of(xs)
    if layout is None or (plan.needs_rows and not layout.batch_first):
        xs = xs.contiguous()
        layout = layout_of(xs)
        assert layout is not None
    learned = [t for t in seen.tensors.values() if t.requires_grad]
    tensors = [*learned, *(t for t in seen.tensors.values() if not t.requires_grad)]
    keeps = plan.keeps(wish().backward, len(xs))
    if torch.is_grad_enabled() and any(t.requires_grad for t in (xs, *state, *learned)):
        return Fused.apply(Call(neuron, seen, plan, layout, keeps, len(state), last), xs, *state, *tensors)
    ys, after, _, _ = plan.forward(
        xs.detach(), [s.detach() for s in state], [t.detach() for t in tensors], layout, None, last=last
    )
    return (ys, *after)


class Call:
    """What calls of one form remember for their backward pass."""

    def __init__(
        self, neuron: Neuron, seen: Identity, plan: Runs, layout: Layout, keeps: Keeps, fields: int, last: bool
    ) -> None:
        # weak: a call that is kept for the next one must not keep its neuron
        self._neuron = weakref.ref(neuron)
        self.plan, self.layout, self.fields, self.last = plan, layout, fields, last
        self.keeps: Keeps = keeps
        self.key = seen.key
        learned = [name for name, t in seen.tensors.items() if t.requires_grad]
        self.names = [*learned, *(name for name in seen.tensors if name not in learned)]

    @property
    def neuron(self) -> Neuron:
        """Whose call it is; a graph that needs it for its backward pass holds it."""
        found = self._neuron()
        assert found is not None
        return found


class Fused(torch.autograd.Function):
    """A layer over all steps, and its gradient."""

    @staticmethod
    def forward(ctx: Any, call: Call, xs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """Outputs and last state fields; `rest` is the state and the neuron's tensors."""
        state, tensors = rest[: call.fields], rest[call.fields :]
        ys, last, kept, ctx.ready = call.plan.forward(xs, state, tensors, call.layout, call.keeps, last=call.last)
        ctx.call, ctx.neuron, ctx.gives = call, call.neuron, ys.dtype
        ctx.set_materialize_grads(False)
        # what is kept by "save" makes the input superfluous, but a second derivative starts from it
        ctx.save_for_backward(xs, *rest, *kept) if call.keeps != "save" else ctx.save_for_backward(*rest, *kept)
        return (ys, *last)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        """The gradients of what `forward` got."""
        call: Call = ctx.call
        saved: tuple[Tensor, ...] = ctx.saved_tensors
        if all(g is None for g in grads):
            return (None,) * (2 + call.fields + len(call.names))
        xs = None
        if call.keeps != "save":
            xs, saved = saved[0], saved[1:]
        state, tensors = saved[: call.fields], saved[call.fields : call.fields + len(call.names)]
        kept = saved[call.fields + len(call.names) :]
        if torch.is_grad_enabled():
            return (None, *differentiable(call, xs, state, tensors, grads, ctx.needs_input_grad[1:], ctx.gives))
        grad_ys = grads[0]
        if grad_ys is None:
            some = next(g for g in grads if g is not None)
            steps = len(kept[0]) if xs is None else len(xs)
            grad_ys = some.new_zeros((), dtype=ctx.gives).expand(steps, *call.layout.shape)
        needs = ctx.needs_input_grad[1:]
        grad_x, grad_state, grad_tensors = call.plan.backward(
            xs,
            state,
            kept,
            ctx.ready,
            grad_ys,
            grads[1:] or (None,) * call.fields,
            call.layout,
            call.keeps,
            need_x=needs[0],
            need_state=any(needs[1 : 1 + call.fields]),
        )
        return (None, grad_x, *grad_state, *grad_tensors)


def differentiable(
    call: Call,
    xs: Tensor | None,
    state: Sequence[Tensor],
    tensors: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    needs: Sequence[bool],
    gives: torch.dtype,
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
    if not now:
        # a call that took no state began at rest
        now = tuple(call.neuron.initial(views[0][0].to(call.plan.dtype)))
    # an input may travel in fewer bits than the step computes in
    for x in views[0].to(call.plan.dtype).unbind(0):
        y, *fields = functional_call(module, given, (x, now), tie_weights=False)
        ys.append(y)
        now = tuple(fields)
    outs = [torch.stack(ys).to(gives), *now][: len(grads)]
    pairs = [(o, g) for o, g in zip(outs, grads, strict=True) if g is not None and o.requires_grad]
    wanted = [v for v, need in zip(views, needs, strict=True) if need]
    found = iter(
        torch.autograd.grad([o for o, _ in pairs], wanted, [g for _, g in pairs], create_graph=True, allow_unused=True)
    )
    return [next(found) if need else None for need in needs]


CPP = CpuKernel("c++", plan_for)
NUMBA = CpuKernel("numba", numba_plan_for)
