"""A neuron's kernels by Numba: what `Plan` is for C++."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from snn4.core.errors import MissingLibraryError
from snn4.kernels import build, torch_facts
from snn4.kernels.identity import Identity
from snn4.kernels.layout import Layout
from snn4.kernels.numba_build import NumbaLibrary, load_numba, no_numba_reason
from snn4.kernels.numba_print import NUMBA_TILE, NumbaMode, print_numba, room_of, slots
from snn4.kernels.plan import SERIAL, Keeps, Plan, Prepared, Travels, addresses, kernel, starts
from snn4.kernels.split import Traced
from snn4.kernels.trace import traced_step

if TYPE_CHECKING:
    from snn4.kernels.choice import Backward
    from snn4.through_time import Neuron

__all__ = ["NumbaPlan", "numba_plan_for"]

# states of a tile that are kept at once in a backward pass; more steps are taken segment by segment
_HISTORY_BYTES = 256 << 10
# pieces of work of a backward pass that sums per neuron
_UNITS = 64
_PLANS = 1024


class NumbaPlan:
    """The kernels of one neuron's step for one shape of features and one dtype.

    Args:
        host: what surrounds the kernels: the neuron's tensors, and the sums that become their gradients.
    """

    def __init__(self, host: Plan) -> None:
        self.host, self.graph, self.label, self.dtype = host, host.graph, host.label, host.dtype
        self.needs_rows = host.needs_rows
        self.libraries: dict[str, NumbaLibrary] = {}

    @property
    def traced(self) -> Traced:
        """The neuron's step."""
        return self.host.traced

    def library(self, mode: NumbaMode) -> NumbaLibrary:
        """The compiled kernels."""
        known = self.libraries.get(mode)
        if known is None:
            source = print_numba(self.graph, mode, "float32" if self.dtype == torch.float32 else "float64")
            known = self.libraries[mode] = load_numba(source, label=self.label)
        return known

    def keeps(self, wanted: Backward, steps: int) -> Literal["recompute", "save"]:
        """What the forward pass keeps: these kernels repeat states segment by segment, from the input alone."""
        return kernel(wanted)

    def ready(self, tensors: Sequence[Tensor], layout: Layout) -> Prepared:
        """What a forward pass needs of the neuron's tensors."""
        return self.host.ready(tensors, layout)

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
        row, mode = self.host.row_of(layout), kernel(keeps)
        ready = self.ready(tensors, layout)
        ys = layout.empty(xs, len(xs))
        after = [layout.empty(xs) for _ in state]
        kept = [layout.empty(xs, len(xs)) for _ in self.graph.saved()] if mode == "save" else []
        given, alive = self._given(xs, state, ready, layout, len(xs))
        given["y"] = ys.data_ptr()
        given.update(_numbered("last", after), **_numbered("kept", kept))
        units = -(-row // NUMBA_TILE) * -(-layout.count // row)
        self._call("forward", mode, given, units, len(xs), 1)
        del alive
        return ys, after if last else [], kept, ready

    def _given(
        self, xs: Tensor | None, state: Sequence[Tensor], ready: Prepared, layout: Layout, steps: int
    ) -> tuple[dict[str, int], list[Tensor]]:
        """What both passes read, by name; and what must live until the call is over."""
        host = self.host
        first, begin = starts(state, layout)
        count = len(state)
        given = {
            "T": steps,
            "N": layout.count,
            "P": host.row_of(layout),
            "XS": layout.count if xs is None else xs.stride(0),
            "numbers": host.numbers_at,
            "x": 0 if xs is None else xs.data_ptr(),
            **{f"first{k}": at for k, at in enumerate(begin[:count])},
            **{f"step{k}": int(own) for k, own in enumerate(begin[count:])},
        }
        names = (p.name for p in self.graph.parameters)
        given.update(zip(names, addresses(map(ready.rows.get, host.traced.inputs)), strict=True))
        return given, first

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
        host, steps, row = self.host, len(grad_ys), self.host.row_of(layout)
        # a copy: the graph may be gone through again
        ready = host.prepared(Prepared(dict(ready.values), dict(ready.rows)), host.late, layout, row)
        periods, chunks = -(-layout.count // row), -(-row // NUMBA_TILE)
        # what is learned per neuron is summed in as few parts as keep all threads busy; the same for any number of them
        groups = min(periods, max(1, _UNITS // chunks)) if host.wide_roots else periods
        units = chunks * groups
        scalars, wide = len(host.scalar_roots), len(host.wide_roots)
        partial = np.zeros(max(1, scalars * units + wide * groups * row))
        grad_ys = layout.arranged_sequence(grad_ys)
        grad_x = layout.empty(grad_ys, steps)
        fields = max(1, len(state))
        segment = max(1, min(steps, _HISTORY_BYTES // (NUMBA_TILE * host.size * fields)))
        last = [None if grad is None else layout.arranged(grad) for grad in grad_last]
        grad_first = [layout.empty(grad_ys) if need_state else None for _ in state]
        given, alive = self._given(xs, state, ready, layout, steps)
        given.update(K=segment, G=groups, gy=grad_ys.data_ptr(), gx=grad_x.data_ptr(), partial=partial.ctypes.data)
        given.update(_numbered("glast", last), **_numbered("gfirst", grad_first), **_numbered("kept", kept))
        self._call("backward", kernel(keeps), given, units, steps, segment)
        del alive, last
        # always in the same order, however many threads have made the parts
        sums = partial[: scalars * units].reshape(scalars, units).sum(1)
        rows = partial[scalars * units : scalars * units + groups * wide * row].reshape(groups, wide * row)
        whole = torch.from_numpy(np.concatenate([sums, np.add.reduce(rows, 0)]))
        return grad_x if need_x else None, grad_first, host.gradients(ready.values, whole, layout, row)

    def _call(self, name: str, mode: NumbaMode, given: Mapping[str, int], units: int, steps: int, segment: int) -> None:
        backward = name == "backward"
        order = slots(self.graph, mode, backward)
        room = room_of(self.graph, mode, backward, steps, segment, self.host.size)
        threads = torch_facts.threads() if given["T"] * given["N"] >= SERIAL else 1
        self.library(mode).call(name, [given.get(slot, 0) for slot in order], units, threads, room)


def _numbered(name: str, tensors: Sequence[Tensor | None]) -> dict[str, int]:
    return {f"{name}{k}": at for k, at in enumerate(addresses(tensors))}


_lock = threading.RLock()
_plans: OrderedDict[Any, NumbaPlan | str] = OrderedDict()


def numba_plan_for(
    neuron: Neuron,
    seen: Identity,
    features: Sequence[int],
    dtype: torch.dtype,
    mode: NumbaMode,
    travels: Travels | None = None,
) -> NumbaPlan | str:
    """The plan for a call, made at its first use; or why there is none."""
    if travels is not None:
        return "the input is bfloat16, which Numba does not know"
    reason = no_numba_reason()
    if reason is not None:
        return reason
    key = (seen.key, tuple(features), dtype)
    with _lock:
        plan = _plans.get(key)
        if plan is None:
            traced = traced_step(neuron, seen, features, dtype)
            made = traced if isinstance(traced, str) else NumbaPlan(Plan(traced, type(neuron).__name__, dtype))
            plan = _plans[key] = made
            while len(_plans) > _PLANS:
                _plans.popitem(last=False)
        if isinstance(plan, NumbaPlan) and mode not in plan.libraries:
            try:
                plan.library(mode)
            except (build.BuildError, MissingLibraryError) as problem:
                build.notice(f"{type(neuron).__name__} has no kernel by Numba: {problem}")
                plan = _plans[key] = str(problem)
    return plan
