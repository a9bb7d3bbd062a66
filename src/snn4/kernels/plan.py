"""From a neuron to its kernels, and from a call to their arguments."""

from __future__ import annotations

import ctypes
import functools
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from snn4.core.errors import MissingLibraryError
from snn4.kernels import blocks, build, cpp, slots, torch_facts
from snn4.kernels.host import needed_calls, run_calls
from snn4.kernels.identity import Identity
from snn4.kernels.layout import Layout
from snn4.kernels.split import HostCall, Traced, host_name
from snn4.kernels.trace import traced_step

if TYPE_CHECKING:
    from snn4.kernels.choice import Backward
    from snn4.through_time import Neuron

__all__ = [
    "SERIAL",
    "Keeps",
    "Plan",
    "Prepared",
    "Travels",
    "addresses",
    "kernel",
    "plan_for",
    "starts",
]

# what a forward pass keeps for its backward pass beside its arguments: nothing, a state now and then, or every step
Keeps: TypeAlias = Literal["recompute", "checkpoint", "save"]

# below, one thread is faster than waking others
SERIAL = 32_768
# above, what is written would not stay in the cache anyway
_STREAM_BYTES = 8 << 20
# shortest row of parameters that differ between neurons; shorter ones are repeated
_ROW = slots.TILE
# elements that a piece of work of a backward pass reads in one run, where there are enough pieces for many threads
_RUN, _PIECES = 4096, 32
# steps that one group of a sum has at least: its float64 parts are then little beside what the steps read
_STEPS = 128
_PLANS = 1024
_TRAVELS: dict[torch.dtype, slots.Travels] = {torch.bfloat16: "bf16"}


class Travels(NamedTuple):
    """In which dtypes numbers come and go, where these are not the one of arithmetic.

    Args:
        x: of inputs, and of their gradients.
        y: of outputs, and of their gradients.
    """

    x: torch.dtype
    y: torch.dtype


class Prepared(NamedTuple):
    """What the host has made of a neuron's tensors: values by name, and as a kernel reads them."""

    values: dict[str, Tensor]
    rows: dict[str, Tensor]


class Plan:
    """The kernels of one neuron's step for one shape of features and one dtype.

    Args:
        traced: its step.
        label: the neuron's name.
        dtype: of states and arithmetic.
        travels: the dtypes of inputs and outputs, each `dtype` or bfloat16; `None` is `dtype` for both.
    """

    def __init__(self, traced: Traced, label: str, dtype: torch.dtype, travels: Travels | None = None) -> None:
        self.traced, self.label, self.dtype = traced, label, dtype
        self.travels = travels or Travels(dtype, dtype)
        self.graph = traced.graph
        self.real: Any = "float" if dtype == torch.float32 else "double"
        self.size = dtype.itemsize
        numbers = traced.graph.numbers or (0.0,)
        self.numbers = (ctypes.c_double * len(numbers))(*numbers)
        self.numbers_at = ctypes.addressof(self.numbers)
        self.wide = any(p.per_neuron for p in self.graph.parameters)
        self.wide_roots = [k for k, root in enumerate(self.graph.roots) if root.per_neuron]
        self.scalar_roots = [k for k, root in enumerate(self.graph.roots) if not root.per_neuron]
        self.needs_rows = self.wide or bool(self.wide_roots)
        self.libraries: dict[str, ctypes.CDLL] = {}
        self.functions: dict[tuple[str, slots.Mode], Callable[[Any], int]] = {}
        # nothing but numbers and states: the host has nothing to do
        self.bare = not (self.graph.parameters or self.graph.roots or traced.calls)
        forward = {a for op in self.graph.forward for a in op.args} | {self.graph.y, *self.graph.new_states}
        # a backward pass may need tensors of which the forward pass knows nothing
        named = zip(self.graph.parameters, traced.inputs, strict=True)
        self.early = needed_calls(traced.calls, [i for p, i in named if p.name in forward])
        done = {call.out for call in self.early}
        self.late = [call for call in traced.calls if call.out not in done]

    def library(self, mode: slots.Mode) -> ctypes.CDLL:
        """The compiled kernels."""
        known = self.libraries.get(mode)
        if known is None:
            known = self.libraries[mode] = build.library(self.source(mode), label=self.label)
        return known

    def source(self, mode: slots.Mode) -> str:
        """The C++ of the kernels."""
        takes, gives = _TRAVELS.get(self.travels.x, "real"), _TRAVELS.get(self.travels.y, "real")
        return cpp.print_cpp(self.graph, mode, self.real, takes, gives)

    @functools.cached_property
    def segment(self) -> int:
        """Steps between two states that are kept."""
        return slots.segment(self.graph)

    def keeps(self, wanted: Backward, steps: int) -> Keeps:
        """What the forward pass keeps for a sequence of `steps`."""
        if wanted in ("auto", "checkpoint"):
            return "checkpoint" if steps > self.segment and self.graph.states else "recompute"
        return wanted

    # --------------------------------------------------------------------------------------------------- arguments

    def row_of(self, layout: Layout) -> int:
        """How many elements share no parameter: a row of parameters is repeated after so many."""
        if not self.needs_rows:
            return max(1, layout.count)
        features = math.prod(layout.shape[1:])
        return features * max(1, _ROW // features)

    def rows(self, value: Tensor, layout: Layout, row: int) -> Tensor:
        """A parameter along memory, repeated to a row. Shape (row,)."""
        features = layout.shape[1:]
        value = value.to(self.dtype)
        if value.ndim > len(features):
            value = value[0]
        if value.shape == features and layout.in_order:
            spread = value.reshape(-1)
        else:
            spread = value.expand(features).permute(layout.order).reshape(-1)
        times = row // spread.numel()
        return spread.contiguous() if times == 1 else spread.repeat(times)

    def ready(self, tensors: Sequence[Tensor], layout: Layout) -> Prepared:
        """What a forward pass needs of the neuron's tensors."""
        if self.bare:
            return Prepared({}, {})
        values = {host_name(k): t for k, t in enumerate(tensors)}
        return self.prepared(Prepared(values, {}), self.early, layout, self.row_of(layout))

    def prepared(self, ready: Prepared, calls: Sequence[HostCall], layout: Layout, row: int) -> Prepared:
        """The host's values after `calls`, and those of them that a kernel reads as it reads them."""
        values, rows = ready
        run_calls(calls, values)
        for p, source in zip(self.graph.parameters, self.traced.inputs, strict=True):
            value = values.get(source)
            if value is not None and source not in rows:
                rows[source] = self.rows(value, layout, row) if p.per_neuron else value.to(self.dtype).contiguous()
        return ready

    def sizes(self, steps: int, stride: int, layout: Layout, row: int, *more: int) -> list[int]:
        """The first slots of a call: sizes and settings."""
        elements = steps * layout.count
        return [
            *(steps, layout.count, row, stride, slots.width(steps, self.travels.x.itemsize), self.segment, *more),
            elements * self.travels.y.itemsize > _STREAM_BYTES,
            torch_facts.threads() if elements >= SERIAL else 1,
            self.numbers_at,
        ]

    # --------------------------------------------------------------------------------------------------- calls

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
        row, steps = self.row_of(layout), len(xs)
        ready = self.ready(tensors, layout)
        ys = layout.empty(xs, steps, self.travels.y)
        after = [layout.empty(xs, dtype=self.dtype) for _ in state] if last else []
        kept = self.room(xs, layout, keeps)
        first, begin = starts(state, layout)
        self._call(
            "snn4_forward",
            kernel(keeps),
            (
                *self.sizes(steps, xs.stride(0), layout, row),
                *(xs.data_ptr(), ys.data_ptr(), *begin, *addresses(after or [None] * len(state))),
                *self._kept_slots(kept, keeps),
                *addresses(map(ready.rows.get, self.traced.inputs)),
            ),
        )
        del first
        return ys, after, kept, ready

    def room(self, xs: Tensor, layout: Layout, keeps: Keeps | None) -> list[Tensor]:
        """Memory for what the forward pass keeps."""
        if keeps == "save":
            return [layout.empty(xs, len(xs), self.dtype) for _ in self.graph.saved()]
        if keeps == "checkpoint":
            return [layout.empty(xs, (len(xs) - 1) // self.segment, self.dtype) for _ in self.graph.states]
        return []

    def _kept_slots(self, kept: Sequence[Tensor], keeps: Keeps | None) -> list[int]:
        marks = [0] * len(self.graph.states)
        return [*marks, *addresses(kept)] if keeps == "save" else addresses(kept) or marks

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
        steps, row = len(grad_ys), self.row_of(layout)
        ready = self.late_prepared(ready, layout, row)
        stride = layout.count if xs is None else xs.stride(0)
        sizes, room = self.backward_sizes(steps, stride, layout, row)
        sums = blocks.empty((room,), (1,), torch.float64)
        first, begin = starts(state, layout)
        grad_ys = layout.arranged_sequence(grad_ys)
        grad_x = layout.empty(grad_ys, steps, self.travels.x) if need_x else None
        last = [None if grad is None else layout.arranged(grad) for grad in grad_last]
        grad_first = [layout.empty(grad_ys, dtype=self.dtype) if need_state else None for _ in self.graph.states]
        self._call(
            "snn4_backward",
            kernel(keeps),
            (
                *(*sizes, *addresses((xs, grad_ys, grad_x)), *self.sums_at(sums, row)),
                *(*begin, *addresses(last), *addresses(grad_first), *self._kept_slots(kept, keeps)),
                *addresses(map(ready.rows.get, self.traced.inputs)),
            ),
        )
        del first, last
        return grad_x, grad_first, self.gradients(ready.values, sums, layout, row)

    def backward_sizes(self, steps: int, stride: int, layout: Layout, row: int) -> tuple[list[int], int]:
        """The first slots of a backward pass, and how many numbers its sums are."""
        width = slots.width(steps, self.travels.x.itemsize)
        tiles, periods, most = -(-row // width), -(-layout.count // row), _RUN // width
        # the same for any number of threads: it is the order of the sums
        groups = periods
        if self.wide_roots:
            groups = max(1, min(periods, steps * periods // _STEPS, -(-_PIECES // -(-tiles // most))))
        block = min(most, max(1, tiles * groups // _PIECES))
        units = -(-tiles // block) * groups
        parts = groups + 1 if groups > 1 else 1
        room = len(self.scalar_roots) * (units + 1) + len(self.wide_roots) * parts * row
        return self.sizes(steps, stride, layout, row, block, groups), room

    def sums_at(self, sums: Tensor, row: int) -> tuple[int, int]:
        """Where the parts of the sums begin, and where the sums themselves do."""
        at = sums.data_ptr()
        return at + 8 * (len(self.scalar_roots) + len(self.wide_roots) * row), at

    def late_prepared(self, ready: Prepared, layout: Layout, row: int) -> Prepared:
        """What a backward pass needs of the neuron's tensors."""
        if self.bare:
            return ready
        # a copy: the graph may be gone through again
        return self.prepared(Prepared(dict(ready.values), dict(ready.rows)), self.late, layout, row)

    def _call(self, name: str, mode: slots.Mode, given: tuple[int, ...]) -> None:
        self.run(self.function(name, mode), (ctypes.c_int64 * len(given))(*given))

    def function(self, name: str, mode: slots.Mode) -> Callable[[Any], int]:
        """A compiled function; its argument is the array of slots."""
        known = self.functions.get((name, mode))
        if known is None:
            known = self.functions[name, mode] = getattr(self.library(mode), name)
        return known

    def run(self, function: Callable[[Any], int], array: Any) -> None:
        """Call a compiled function."""
        if function(array):
            raise MemoryError(f"the {self.label} kernel found no room for the states of a tile")

    def gradients(self, values: dict[str, Tensor], sums: Tensor, layout: Layout, row: int) -> list[Tensor | None]:
        """The gradients of the neuron's tensors, from sums over time and elements."""
        if not self.traced.roots:
            return [None] * len(self.traced.gradients)
        features = layout.shape[1:]
        flat = sums.numpy()
        scalars, wide = iter(range(len(self.scalar_roots))), iter(range(len(self.wide_roots)))
        for about, root in zip(self.traced.roots, self.graph.roots, strict=True):
            if not root.per_neuron:
                total = sums[next(scalars)].to(self.dtype)
            else:
                start = len(self.scalar_roots) + next(wide) * row
                kept = about.kept or ()
                left = [d for d in layout.order if d + 1 in kept]
                gone = tuple(place + 1 for place, d in enumerate(layout.order) if d not in left)
                # numpy adds in one order, with any number of threads
                part = flat[start : start + row].reshape(-1, *(features[d] for d in layout.order)).sum((0, *gone))
                part = part.transpose(sorted(range(len(left)), key=left.__getitem__))
                total = torch.as_tensor(part.copy()).to(self.dtype)
            values[about.name] = total.reshape(about.shape)
        run_calls(self.traced.tail, values)
        return [None if name is None else values[name] for name in self.traced.gradients]


def addresses(tensors: Iterable[Tensor | None]) -> list[int]:
    """Where they lie; 0 for what is not there."""
    return [0 if t is None else t.data_ptr() for t in tensors]


def starts(state: Sequence[Tensor], layout: Layout) -> tuple[list[Tensor], list[int]]:
    """The first state where a kernel can read it; addresses, and whether each has a value per element."""
    arranged: list[Tensor] = []
    own: list[int] = []
    for value in state:
        # one number for all elements, as rest often is, needs no memory
        same = not any(value.stride())
        arranged.append(value if same else layout.arranged(value))
        own.append(not same)
    return arranged, [*addresses(arranged), *own]


def kernel(keeps: str | None) -> slots.Mode:
    """Which kernels do it."""
    return "save" if keeps == "save" else "recompute"


_lock = threading.RLock()
_plans: OrderedDict[Any, Plan | str] = OrderedDict()


def plan_for(
    neuron: Neuron,
    seen: Identity,
    features: Sequence[int],
    dtype: torch.dtype,
    mode: slots.Mode,
    travels: Travels | None = None,
) -> Plan | str:
    """The plan for a call, made at its first use; or why there is none."""
    key = (seen.key, tuple(features), dtype, travels)
    plan = _plans.get(key)
    if plan is None:
        with _lock:
            plan = _plans.get(key)
            if plan is None:
                plan = _plans[key] = _made(neuron, seen, features, dtype, travels)
                while len(_plans) > _PLANS:
                    _plans.popitem(last=False)
    if isinstance(plan, Plan) and mode not in plan.libraries:
        try:
            with _lock:
                plan.library(mode)
        except MissingLibraryError as problem:
            # one that is installed later is found
            return build.no_compiler_reason() or str(problem)
        except build.BuildError as problem:
            build.notice(f"{type(neuron).__name__} has no C++ kernel: {problem}")
            _plans[key] = str(problem)
            return str(problem)
    return plan


def _made(
    neuron: Neuron, seen: Identity, features: Sequence[int], dtype: torch.dtype, travels: Travels | None
) -> Plan | str:
    # a trace knows nothing of how numbers travel
    known = None if travels is None else _plans.get((seen.key, tuple(features), dtype, None))
    traced = known.traced if isinstance(known, Plan) else traced_step(neuron, seen, features, dtype)
    return traced if isinstance(traced, str) else Plan(traced, type(neuron).__name__, dtype, travels)
