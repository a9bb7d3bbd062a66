"""From a neuron to its kernels, and from a call to their arguments."""

from __future__ import annotations

import copy
import ctypes
import math
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from snn4.kernels import build, cpp
from snn4.kernels.identity import HOOKS, Identity, identity
from snn4.kernels.layout import Layout
from snn4.kernels.split import HostCall, Ref, Refused, Traced, host_name
from snn4.kernels.trace import trace

if TYPE_CHECKING:
    from snn4.through_time import Neuron

__all__ = ["Kept", "Plan", "needed_calls", "plan_for", "run_calls", "traced_step"]

# below, one thread is faster than waking others
_SERIAL = 32_768
# above, what is written would not stay in the cache anyway
_STREAM_BYTES = 8 << 20
# states of a tile that are kept at once in a backward pass; more steps are taken segment by segment
_HISTORY_BYTES = 256 << 10
# shortest row of parameters that differ between neurons; shorter ones are repeated
_ROW = cpp.TILE
# pieces of work of a backward pass that sums per neuron
_UNITS = 64
_PLANS = 1024


@dataclass
class Kept:
    """What a forward pass hands to its backward pass beside tensors."""

    layout: Layout
    row: int
    shapes: list[torch.Size] = field(default_factory=list[torch.Size])


class Plan:
    """The kernels of one neuron's step for one shape of features and one dtype.

    Args:
        traced: its step.
        label: the neuron's name.
        dtype: of input and state.
    """

    def __init__(self, traced: Traced, label: str, dtype: torch.dtype) -> None:
        self.traced, self.label, self.dtype = traced, label, dtype
        self.graph = traced.graph
        self.real: Any = "float" if dtype == torch.float32 else "double"
        self.size = dtype.itemsize
        numbers = traced.graph.numbers or (0.0,)
        self.numbers = (ctypes.c_double * len(numbers))(*numbers)
        self.wide = any(p.per_neuron for p in self.graph.parameters)
        self.wide_roots = [k for k, root in enumerate(self.graph.roots) if root.per_neuron]
        self.scalar_roots = [k for k, root in enumerate(self.graph.roots) if not root.per_neuron]
        self.needs_rows = self.wide or bool(self.wide_roots)
        self.sources: dict[str, str] = {}
        self.libraries: dict[str, ctypes.CDLL] = {}
        self.slots = {
            mode: (cpp.forward_slots(self.graph, mode), cpp.backward_slots(self.graph, mode))
            for mode in ("recompute", "save")
        }
        forward = {a for op in self.graph.forward for a in op.args} | {self.graph.y, *self.graph.new_states}
        # a backward pass may need tensors of which the forward pass knows nothing
        self.early = needed_calls(traced.calls, [i for p, i in self._inputs() if p in forward])

    def _inputs(self) -> list[tuple[str, str]]:
        return [(p.name, i) for p, i in zip(self.graph.parameters, self.traced.inputs, strict=True)]

    def library(self, mode: cpp.Mode) -> ctypes.CDLL:
        """The compiled kernels."""
        known = self.libraries.get(mode)
        if known is None:
            source = cpp.print_cpp(self.graph, mode, self.real)
            known = self.libraries[mode] = build.library(source, label=self.label)
        return known

    def saved_count(self, mode: cpp.Mode) -> int:
        """How many values a step keeps for the backward pass."""
        return len(self.graph.saved()) if mode == "save" else 0

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
        spread = value.expand(features).permute(layout.order).reshape(-1)
        return spread.repeat(row // spread.numel()).contiguous()

    def environment(self, tensors: Sequence[Tensor], calls: Sequence[HostCall]) -> dict[str, Tensor]:
        """The host's values from the neuron's tensors."""
        values = {host_name(k): t for k, t in enumerate(tensors)}
        run_calls(calls, values)
        return values

    def parameters(self, values: Mapping[str, Tensor], layout: Layout, row: int) -> dict[str, Tensor]:
        """What the kernel reads beside input and state."""
        found: dict[str, Tensor] = {}
        for p, source in zip(self.graph.parameters, self.traced.inputs, strict=True):
            value = values.get(source)
            if value is not None:
                found[p.name] = self.rows(value, layout, row) if p.per_neuron else value.to(self.dtype).contiguous()
        return found

    def common(self, steps: int, xs: Tensor | None, layout: Layout, row: int) -> dict[str, int]:
        """Sizes and settings of a call."""
        elements = steps * layout.count
        return {
            "T": steps,
            "N": layout.count,
            "P": row,
            "XS": layout.count if xs is None else xs.stride(0),
            "stream": int(elements * self.size > _STREAM_BYTES),
            "threads": torch.get_num_threads() if elements >= _SERIAL else 1,
            "numbers": ctypes.addressof(self.numbers),
            "x": 0 if xs is None else xs.data_ptr(),
        }

    # --------------------------------------------------------------------------------------------------- calls

    def forward(
        self,
        xs: Tensor,
        state: Sequence[Tensor],
        tensors: Sequence[Tensor],
        layout: Layout,
        mode: cpp.Mode,
        *,
        keep: bool,
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Outputs, last state, and what the backward pass needs in mode "save"."""
        row = self.row_of(layout)
        parameters = self.parameters(self.environment(tensors, self.early), layout, row) if tensors else {}
        mode = mode if keep else "recompute"
        ys = layout.empty(xs, len(xs))
        last = [layout.empty(xs) for _ in state]
        kept = [layout.empty(xs, len(xs)) for _ in range(self.saved_count(mode))]
        slots = self.common(len(xs), xs, layout, row)
        slots["y"] = ys.data_ptr()
        alive = self._first(slots, state, layout)
        for k, value in enumerate(last):
            slots[f"last{k}"] = value.data_ptr()
        for k, value in enumerate(kept):
            slots[f"kept{k}"] = value.data_ptr()
        slots.update((name, value.data_ptr()) for name, value in parameters.items())
        self._call("snn4_forward", mode, 0, slots)
        del alive
        return ys, last, kept

    def _first(self, slots: dict[str, int], state: Sequence[Tensor], layout: Layout) -> list[Tensor]:
        arranged: list[Tensor] = []
        for k, value in enumerate(state):
            # one number for all elements, as rest often is, needs no memory
            same = not any(value.stride())
            value = value if same else layout.arranged(value)
            arranged.append(value)
            slots[f"first{k}"], slots[f"step{k}"] = value.data_ptr(), int(not same)
        return arranged

    def backward(
        self,
        xs: Tensor | None,
        state: Sequence[Tensor],
        kept: Sequence[Tensor],
        tensors: Sequence[Tensor],
        grad_ys: Tensor,
        grad_last: Sequence[Tensor | None],
        layout: Layout,
        mode: cpp.Mode,
        *,
        need_x: bool,
        need_state: bool,
    ) -> tuple[Tensor | None, list[Tensor | None], list[Tensor | None]]:
        """Gradients of the input, of the first state and of the neuron's tensors."""
        steps, row = len(grad_ys), self.row_of(layout)
        values = self.environment(tensors, self.traced.calls)
        parameters = self.parameters(values, layout, row) if tensors else {}
        periods = -(-layout.count // row)
        # what is learned per neuron is summed in as few parts as keep all threads busy; the same for any number of them
        chunks = -(-row // cpp.TILE)
        groups = min(periods, max(1, _UNITS // chunks)) if self.wide_roots else periods
        units = chunks * groups
        scalars, wide = len(self.scalar_roots), len(self.wide_roots)
        partial = torch.empty(max(1, scalars * units + wide * groups * row), dtype=torch.float64, device="cpu")
        sums = torch.empty(max(1, scalars + wide * row), dtype=torch.float64, device="cpu")
        grad_ys = layout.arranged_sequence(grad_ys)
        grad_x = layout.empty(grad_ys, steps) if need_x else None
        slots = self.common(steps, xs, layout, row)
        fields = max(1, len(state))
        slots["K"] = max(1, min(steps, _HISTORY_BYTES // (cpp.TILE * self.size * fields)))
        slots.update(G=groups, gy=grad_ys.data_ptr(), gx=0 if grad_x is None else grad_x.data_ptr())
        slots.update(partial=partial.data_ptr(), sums=sums.data_ptr())
        alive = [*self._first(slots, state, layout), *parameters.values()] if state else []
        grad_first: list[Tensor | None] = []
        for k, grad in enumerate(grad_last):
            arranged = None if grad is None else layout.arranged(grad)
            first = layout.empty(grad_ys) if need_state else None
            alive += [t for t in (arranged,) if t is not None]
            grad_first.append(first)
            slots[f"glast{k}"] = 0 if arranged is None else arranged.data_ptr()
            slots[f"gfirst{k}"] = 0 if first is None else first.data_ptr()
        for k, value in enumerate(kept):
            slots[f"kept{k}"] = value.data_ptr()
        slots.update((name, value.data_ptr()) for name, value in parameters.items())
        self._call("snn4_backward", mode, 1, slots)
        del alive
        return grad_x, grad_first, self._gradients(values, sums, layout, row)

    def _call(self, name: str, mode: cpp.Mode, which: int, slots: Mapping[str, int]) -> None:
        order = self.slots[mode][which]
        array = (ctypes.c_int64 * len(order))(*[slots.get(slot, 0) for slot in order])
        if self.library(mode)[name](array):
            raise MemoryError(f"the {self.label} kernel found no room for the states of a tile")

    def _gradients(self, values: dict[str, Tensor], sums: Tensor, layout: Layout, row: int) -> list[Tensor | None]:
        """The gradients of the neuron's tensors, from sums over time and elements."""
        if not self.traced.roots:
            return [None] * len(self.traced.gradients)
        features = layout.shape[1:]
        inverse = sorted(range(len(features)), key=layout.order.__getitem__)
        flat = sums.numpy()
        scalars, wide = iter(range(len(self.scalar_roots))), iter(range(len(self.wide_roots)))
        for about, root in zip(self.traced.roots, self.graph.roots, strict=True):
            if not root.per_neuron:
                total = sums[next(scalars)].to(self.dtype)
            else:
                start = len(self.scalar_roots) + next(wide) * row
                kept = about.kept or ()
                # numpy adds in one order, with any number of threads
                part = flat[start : start + row].reshape(-1, *(features[d] for d in layout.order)).sum(0)
                part = part.transpose(inverse)
                gone = tuple(d for d in range(len(features)) if d + 1 not in kept)
                total = torch.as_tensor(part.sum(gone) if gone else part.copy()).to(self.dtype)
            values[about.name] = total.reshape(about.shape)
        run_calls(self.traced.tail, values)
        return [None if name is None else values[name] for name in self.traced.gradients]


def run_calls(calls: Sequence[HostCall], values: dict[str, Tensor]) -> None:
    """Run torch operations on the host, adding their values."""

    def seen(arg: Any) -> Any:
        if isinstance(arg, Ref):
            return values[arg.name]
        if isinstance(arg, (list, tuple)):
            return [seen(a) for a in arg]  # pyright: ignore[reportUnknownVariableType]
        return arg

    for call in calls:
        values[call.out] = call.function(
            *(seen(a) for a in call.args), **{name: seen(v) for name, v in call.kwargs.items()}
        )


def needed_calls(calls: Sequence[HostCall], names: Sequence[str]) -> list[HostCall]:
    """The calls that these values need, in order."""
    wanted = set(names)
    chosen: list[HostCall] = []
    for call in reversed(calls):
        if call.out in wanted:
            chosen.append(call)
            for arg in tree_leaves((call.args, dict(call.kwargs))):
                if isinstance(arg, Ref):
                    wanted.add(arg.name)
    return chosen[::-1]


_lock = threading.RLock()
_plans: OrderedDict[Any, Plan | str] = OrderedDict()


def plan_for(neuron: Neuron, seen: Identity, features: Sequence[int], dtype: torch.dtype, mode: cpp.Mode) -> Plan | str:
    """The plan for a call, made at its first use; or why there is none."""
    key = (seen.key, tuple(features), dtype)
    plan = _plans.get(key)
    if plan is None:
        with _lock:
            plan = _plans.get(key)
            if plan is None:
                plan = _plans[key] = _made(neuron, seen, features, dtype)
                while len(_plans) > _PLANS:
                    _plans.popitem(last=False)
    if isinstance(plan, Plan) and mode not in plan.libraries:
        reason = build.no_compiler_reason()
        if reason is not None:
            return reason
        try:
            with _lock:
                plan.library(mode)
        except build.BuildError as problem:
            build.notice(f"{type(neuron).__name__} runs in the reference loop: {problem}")
            _plans[key] = str(problem)
            return str(problem)
    return plan


def _copy(neuron: Neuron) -> Neuron:
    """A copy that shares tensors, without the hooks on the neuron itself, which look at calls and not at steps."""
    memo: dict[int, Any] = {id(vars(neuron)[name]): OrderedDict() for name in HOOKS}
    # a tensor that somebody has put in a parameter's place for one call cannot be copied, and need not be
    memo.update((id(t), t) for t in (*neuron.parameters(), *neuron.buffers()))
    return copy.deepcopy(neuron, memo)


def _made(neuron: Neuron, seen: Identity, features: Sequence[int], dtype: torch.dtype) -> Plan | str:
    traced = traced_step(neuron, seen, features, dtype)
    return traced if isinstance(traced, str) else Plan(traced, type(neuron).__name__, dtype)


def traced_step(neuron: Neuron, seen: Identity, features: Sequence[int], dtype: torch.dtype) -> Traced | str:
    """The neuron's step, traced in a copy that is thrown away; or why it cannot be."""
    learned = [name for name, tensor in seen.tensors.items() if tensor.requires_grad]
    rest = [name for name in seen.tensors if name not in learned]
    tensors = {n: seen.tensors[n] for n in (*learned, *rest)}
    try:
        # a copy: a step that stores things in its module would leave the trace's own tensors in the user's neuron
        twin = _copy(neuron)
        before = identity(twin).key
        traced = trace(twin, tensors, features, dtype, learned)
    except Refused as reason:
        return str(reason)
    except (RuntimeError, TypeError, AttributeError) as problem:
        return f"it cannot be copied to be traced ({problem})"
    try:
        changed = identity(twin).key != before
    except Refused:
        changed = True
    if changed:
        return f"{type(neuron).__name__}.step changes its module"
    return traced
