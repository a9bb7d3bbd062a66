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

from snn4.kernels import blocks, torch_facts
from snn4.kernels.choice import wish
from snn4.kernels.fused import Call, Fused
from snn4.kernels.identity import Identity
from snn4.kernels.layout import Layout
from snn4.kernels.plan import SERIAL, Keeps, Plan, Prepared, addresses, kernel
from snn4.through_time import registry
from snn4.through_time.session import idle

if TYPE_CHECKING:
    from snn4.kernels.choice import Backward
    from snn4.through_time import Kernel, Neuron

__all__ = ["FromRest", "Shortcut"]


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
        count, size = len(rest), plan.dtype.itemsize
        self.rest = ((ctypes.c_float if plan.dtype == torch.float32 else ctypes.c_double) * count)(*rest)
        start = ctypes.addressof(self.rest)
        # one number for all elements: it lies still
        self.begin = [*(start + k * size for k in range(count)), *(0 for _ in rest)]
        mode = kernel(keeps)
        self.function = plan.function("snn4_forward", mode)
        sizes = plan.sizes(steps, stride, layout, plan.row_of(layout))
        kept = len(plan.graph.saved()) if mode == "save" else 0
        slots = [*sizes, 0, 0, *self.begin, *(0,) * (2 * count + kept + len(plan.traced.inputs))]
        self.kind: Any = ctypes.c_int64 * len(slots)
        self.array = self.kind(*slots)
        self.threads_at, self.x_at = len(sizes) - 2, len(sizes)
        # states that are kept come first, what a step keeps behind them
        self.kept_at = len(sizes) + 2 + 3 * count + (count if mode == "save" else 0)
        self.given_at = len(slots) - len(plan.traced.inputs)
        self.many = steps * layout.count >= SERIAL
        self.make = blocks.maker((steps, *layout.shape), (layout.count, *layout.strides), plan.travels.y)
        self.whole = keeps in (None, "recompute")

    def keeps(self, wanted: Backward, steps: int) -> Keeps:
        """As the plan's."""
        return self.plan.keeps(wanted, steps)

    def forward(
        self,
        xs: Tensor,
        state: Sequence[Tensor],  # noqa: ARG002  (there is none)
        tensors: Sequence[Tensor],
        layout: Layout,
        keeps: Keeps | None,
        *,
        last: bool,  # noqa: ARG002
    ) -> tuple[Tensor, list[Tensor], list[Tensor], Prepared]:
        """Outputs, and what is kept for the backward pass."""
        ready = self.plan.ready(tensors, layout)
        ys = self.make()
        # a copy, which no other thread fills
        array = self.kind.from_buffer_copy(self.array)
        array[self.threads_at] = torch_facts.threads() if self.many else 1
        array[self.x_at], array[self.x_at + 1] = xs.data_ptr(), ys.data_ptr()
        kept: list[Tensor] = [] if self.whole else self.plan.room(xs, layout, keeps)
        if kept:
            array[self.kept_at : self.kept_at + len(kept)] = addresses(kept)
        if ready.rows:
            array[self.given_at :] = addresses(map(ready.rows.get, self.plan.traced.inputs))
        self.plan.run(self.function, array)
        return ys, [], kept, ready

    def backward(
        self,
        xs: Tensor | None,
        state: Sequence[Tensor],  # noqa: ARG002
        kept: Sequence[Tensor],
        ready: Prepared,
        grad_ys: Tensor,
        grad_last: Sequence[Tensor | None],  # noqa: ARG002
        layout: Layout,
        keeps: Keeps,
        *,
        need_x: bool,
        need_state: bool,  # noqa: ARG002
    ) -> tuple[Tensor | None, list[Tensor | None], list[Tensor | None]]:
        """Gradients of the input and of the neuron's tensors."""
        last = (None,) * len(self.rest)
        grad_x, _, grads = self.plan.backward_from(
            xs, self.begin, kept, ready, grad_ys, last, layout, keeps, need_x=need_x, need_state=False
        )
        return grad_x, [], grads


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
        self.neuron, self.asked, self.seen, self.same = weakref.ref(neuron), asked, seen, same
        self.wish = wish()
        self.shape, self.strides, self.dtype, self.low = xs.shape, xs.stride(), xs.dtype, xs.dtype != plan.dtype
        self.layout = layout
        self.keeps = plan.keeps(self.wish.backward, len(xs))
        learned = [t for t in seen.tensors.values() if t.requires_grad]
        self.learned = bool(learned)
        self.tensors = [*learned, *(t for t in seen.tensors.values() if not t.requires_grad)]
        self.training = FromRest(plan, len(xs), xs.stride(0), layout, self.keeps, rest)
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
            call = Call(neuron, self.seen, self.training, self.layout, self.keeps, 0, False)
            apply = cast("Callable[..., tuple[Tensor, ...]]", Fused.apply)
            return apply(call, xs, *self.tensors)[0]
        tensors = [t.detach() for t in self.tensors]
        return self.alone.forward(xs.detach(), (), tensors, self.layout, None, last=False)[0]
