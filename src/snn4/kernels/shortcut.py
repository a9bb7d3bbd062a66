"""A call from rest that is like an earlier one: its plan, layout and arguments are there already.

Between the layer and the kernel lie some forty functions of Python, which find out what the call is. Beside a layer
that has just sent its tensors through the caches they take half a millisecond, as long as the kernel itself. Here a
later call is compared with the first one in one place, and then has only three addresses to fill in.

What is compared is everything that the long way looks at: shape, strides, dtype and kind of the input, the neuron's
settings, `use`, whether a `run`, a backward(), a transform or a dispatch mode is under way, and which kernel is asked
first.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from snn4.kernels import blocks, slots, torch_facts
from snn4.kernels.choice import wish
from snn4.kernels.fused import Call, Fused
from snn4.kernels.identity import Identity
from snn4.kernels.layout import Layout
from snn4.kernels.plan import SERIAL, Keeps, Plan, Prepared, addresses, kernel
from snn4.through_time import registry
from snn4.through_time.autograd import saved_tensor_hooks
from snn4.through_time.session import idle

if TYPE_CHECKING:
    from snn4.kernels.choice import Backward
    from snn4.through_time import Kernel, Neuron

__all__ = ["FromRest", "Shortcut"]

# places in the arrays of the compiled functions
_FORWARD = slots.FORWARD_SIZES.index("x")
_THREADS = slots.FORWARD_SIZES.index("threads")
_BACKWARD = slots.BACKWARD_SIZES.index("x")
_BACK_THREADS = slots.BACKWARD_SIZES.index("threads")


class FromRest:
    """A plan for calls from rest of one form: it takes no state, and gives none.

    Args:
        plan: the plan of any call.
        steps: T.
        stride: from one step of the input to the next.
        layout: of the input's steps.
        keeps: what the forward pass keeps for the backward pass, or None where there will be none.
        rest: the number that each field of the state starts from.
    """

    def __init__(
        self, plan: Plan, steps: int, stride: int, layout: Layout, keeps: Keeps | None, rest: Sequence[float]
    ) -> None:
        self.plan, self.layout = plan, layout
        self.dtype, self.travels, self.needs_rows = plan.dtype, plan.travels, plan.needs_rows
        self.rest = ((ctypes.c_float if plan.dtype == torch.float32 else ctypes.c_double) * len(rest))(*rest)
        start, count = ctypes.addressof(self.rest), len(rest)
        # one number for all elements: it lies still
        begin = [*(start + k * plan.size for k in range(count)), *(0 for _ in rest)]
        mode, row = kernel(keeps), plan.row_of(layout)
        self.row, self.whole, self.large = row, keeps in (None, "recompute"), steps * layout.count >= SERIAL
        shape, self.strides = (steps, *layout.shape), (layout.count, *layout.strides)
        self.make_y = blocks.maker(shape, self.strides, plan.travels.y)
        self.make_x = blocks.maker(shape, self.strides, plan.travels.x)
        inputs, kept = len(plan.traced.inputs), len(plan.graph.saved()) if mode == "save" else 0
        # behind the first state come places for the last one, for states that are kept, what a step keeps, tensors
        self.ahead = _Slots([*plan.sizes(steps, stride, layout, row), 0, 0, *begin], count, count, kept, inputs)
        self.first = plan.function("snn4_forward", mode)
        if keeps is not None:
            sizes, self.sums = plan.backward_sizes(steps, stride if mode != "save" else layout.count, layout, row)
            self.back = _Slots([*sizes, 0, 0, 0, 0, 0, *begin], 2 * count, count, kept, inputs)
            self.second = plan.function("snn4_backward", mode)

    def keeps(self, wanted: Backward, steps: int) -> Keeps:
        """As the plan's."""
        return self.plan.keeps(wanted, steps)

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
        """Outputs, and what is kept for the backward pass."""
        plan = self.plan
        ready, ys = plan.ready(tensors, layout), self.make_y()
        kept: list[Tensor] = [] if self.whole else plan.room(xs, layout, keeps)
        array = self.ahead.filled(kept, ready, plan)
        array[_THREADS] = torch_facts.threads() if self.large else 1
        array[_FORWARD], array[_FORWARD + 1] = xs.data_ptr(), ys.data_ptr()
        plan.run(self.first, array)
        return ys, [], kept, ready

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
        """Gradients of the input and of the neuron's tensors."""
        plan = self.plan
        ready = plan.late_prepared(ready, layout, self.row)
        if grad_ys.stride() != self.strides:
            grad_ys = layout.arranged_sequence(grad_ys)
        grad_x = self.make_x() if need_x else None
        array = self.back.filled(kept, ready, plan)
        array[_BACK_THREADS] = torch_facts.threads() if self.large else 1
        array[_BACKWARD : _BACKWARD + 3] = addresses((xs, grad_ys, grad_x))
        if not self.sums:
            plan.run(self.second, array)
            return grad_x, [], [None] * len(plan.traced.gradients)
        sums = blocks.empty((self.sums,), (1,), torch.float64)
        array[_BACKWARD + 3], array[_BACKWARD + 4] = plan.sums_at(sums, self.row)
        plan.run(self.second, array)
        return grad_x, [], plan.gradients(ready.values, sums, layout, self.row)


class _Slots:
    """The array of a compiled function, with what is the same at every call.

    Args:
        known: the first slots, those of tensors 0.
        others: how many slots come then that stay 0.
        marks: slots for states that are kept.
        kept: slots for what a step keeps.
        inputs: slots for the neuron's tensors.
    """

    def __init__(self, known: Sequence[int], others: int, marks: int, kept: int, inputs: int) -> None:
        whole = [*known, *(0,) * (others + marks + kept + inputs)]
        self.kind: Any = ctypes.c_int64 * len(whole)
        self.array = self.kind(*whole)
        self.kept_at, self.inputs_at = len(known) + others + (marks if kept else 0), len(whole) - inputs

    def filled(self, kept: Sequence[Tensor], ready: Prepared, plan: Plan) -> Any:
        """A copy, which no other thread fills, with what is kept and the neuron's tensors."""
        array = self.kind.from_buffer_copy(self.array)
        if kept:
            array[self.kept_at : self.kept_at + len(kept)] = addresses(kept)
        if ready.rows:
            array[self.inputs_at :] = addresses(map(ready.rows.get, plan.traced.inputs))
        return array


class Shortcut:
    """Runs a call that is like the one it was made of; None for any other.

    Args:
        asked: the kernel that was asked first, and took the call.
        neuron: which one.
        xs: its input, dense and in the layout in which the kernel reads it.
        seen: who the neuron is.
        same: tells whether it still is that.
        plan: its kernels.
        layout: of the input's steps.
        rest: the number that each field of the state starts from.
    """

    def __init__(
        self,
        asked: Kernel,
        neuron: Neuron,
        xs: Tensor,
        seen: Identity,
        same: Callable[[], bool],
        plan: Plan,
        layout: Layout,
        rest: Sequence[float],
    ) -> None:
        # weak: what is known about a neuron must not keep it alive
        self.neuron, self.asked, self.same = weakref.ref(neuron), asked, same
        self.wish = wish()
        self.shape, self.strides, self.dtype, self.low = xs.shape, xs.stride(), xs.dtype, xs.dtype != plan.dtype
        self.layout = layout
        keeps = plan.keeps(self.wish.backward, len(xs))
        learned = [t for t in seen.tensors.values() if t.requires_grad]
        self.learned = bool(learned)
        self.tensors = [*learned, *(t for t in seen.tensors.values() if not t.requires_grad)]
        training = FromRest(plan, len(xs), xs.stride(0), layout, keeps, rest)
        self.call = Call(neuron, seen, training, layout, keeps, 0, False)
        self.alone = FromRest(plan, len(xs), xs.stride(0), layout, None, rest)

    def __call__(self, neuron: Neuron, xs: Tensor) -> Tensor | None:
        """Outputs from rest, or None where this is another call."""
        kind = type(xs)
        if (
            (kind is not Tensor and kind is not torch.nn.Parameter)
            or xs.dtype is not self.dtype
            or xs.layout is not torch.strided
            or not xs.is_cpu
            or xs.shape != self.shape
            or xs.stride() != self.strides
            or self.neuron() is not neuron
            or wish() is not self.wish
            or registry.first() is not self.asked
            or (self.low and not torch.is_autocast_enabled("cpu"))
            or not idle(neuron)
            or torch_facts.watched() is not None
            or not self.same()
        ):
            return None
        if torch.is_grad_enabled() and (self.learned or xs.requires_grad):
            if saved_tensor_hooks() is not None:
                # a checkpoint's recomputation, which takes the long way, must keep as many tensors as this call
                return None
            apply = cast("Callable[..., tuple[Tensor, ...]]", Fused.apply)
            return apply(self.call, xs, *self.tensors)[0]
        tensors = [t.detach() for t in self.tensors]
        return self.alone.forward(xs.detach(), (), tensors, self.layout, None, last=False)[0]
