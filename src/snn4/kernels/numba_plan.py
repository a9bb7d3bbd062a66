"""A neuron's kernels by Numba: what `Plan` is for C++."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from snn4.core.errors import MissingLibraryError
from snn4.kernels import build, torch_facts
from snn4.kernels.identity import Identity
from snn4.kernels.layout import Layout
from snn4.kernels.numba_build import NumbaLibrary, load_numba, no_numba_reason
from snn4.kernels.numba_print import NUMBA_TILE, NumbaMode, print_numba, room_of, slots
from snn4.kernels.plan import SERIAL, Plan, traced_step
from snn4.kernels.split import Traced

if TYPE_CHECKING:
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

    def forward(
        self,
        xs: Tensor,
        state: Sequence[Tensor],
        tensors: Sequence[Tensor],
        layout: Layout,
        mode: NumbaMode,
        *,
        keep: bool,
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Outputs, last state, and what the backward pass needs in mode "save"."""
        host, row = self.host, self.host.row_of(layout)
        parameters = host.parameters(host.environment(tensors, host.early), layout, row) if tensors else {}
        mode = mode if keep else "recompute"
        ys = layout.empty(xs, len(xs))
        last = [layout.empty(xs) for _ in state]
        kept = [layout.empty(xs, len(xs)) for _ in self.graph.saved()] if mode == "save" else []
        given = host.common(len(xs), xs, layout, row)
        alive = host.first(given, state, layout)
        given["y"] = ys.data_ptr()
        given.update((f"last{k}", value.data_ptr()) for k, value in enumerate(last))
        given.update((f"kept{k}", value.data_ptr()) for k, value in enumerate(kept))
        given.update((name, value.data_ptr()) for name, value in parameters.items())
        units = -(-row // NUMBA_TILE) * -(-layout.count // row)
        self._call("forward", mode, given, units, len(xs), 1)
        del alive
        return ys, last, kept

    def backward(
        self,
        xs: Tensor | None,
        state: Sequence[Tensor],
        kept: Sequence[Tensor],
        tensors: Sequence[Tensor],
        grad_ys: Tensor,
        grad_last: Sequence[Tensor | None],
        layout: Layout,
        mode: NumbaMode,
        *,
        need_x: bool,
        need_state: bool,
    ) -> tuple[Tensor | None, list[Tensor | None], list[Tensor | None]]:
        """Gradients of the input, of the first state and of the neuron's tensors."""
        host, steps, row = self.host, len(grad_ys), self.host.row_of(layout)
        values = host.environment(tensors, host.traced.calls)
        parameters = host.parameters(values, layout, row) if tensors else {}
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
        given = host.common(steps, xs, layout, row)
        given.update(K=segment, G=groups, gy=grad_ys.data_ptr(), gx=grad_x.data_ptr(), partial=partial.ctypes.data)
        alive = [*host.first(given, state, layout), *parameters.values()]
        grad_first: list[Tensor | None] = []
        for k, grad in enumerate(grad_last):
            arranged = None if grad is None else layout.arranged(grad)
            first = layout.empty(grad_ys) if need_state else None
            alive += [t for t in (arranged,) if t is not None]
            grad_first.append(first)
            given[f"glast{k}"] = 0 if arranged is None else arranged.data_ptr()
            given[f"gfirst{k}"] = 0 if first is None else first.data_ptr()
        given.update((f"kept{k}", value.data_ptr()) for k, value in enumerate(kept))
        given.update((name, value.data_ptr()) for name, value in parameters.items())
        self._call("backward", mode, given, units, steps, segment)
        del alive
        # always in the same order, however many threads have made the parts
        sums = partial[: scalars * units].reshape(scalars, units).sum(1)
        rows = partial[scalars * units : scalars * units + groups * wide * row].reshape(groups, wide * row)
        whole = torch.from_numpy(np.concatenate([sums, np.add.reduce(rows, 0)]))
        return grad_x if need_x else None, grad_first, host.gradients(values, whole, layout, row)

    def _call(self, name: str, mode: NumbaMode, given: Mapping[str, int], units: int, steps: int, segment: int) -> None:
        backward = name == "backward"
        order = slots(self.graph, mode, backward)
        room = room_of(self.graph, mode, backward, steps, segment, self.host.size)
        threads = torch_facts.threads() if given["T"] * given["N"] >= SERIAL else 1
        self.library(mode).call(name, [given.get(slot, 0) for slot in order], units, threads, room)


_lock = threading.RLock()
_plans: OrderedDict[Any, NumbaPlan | str] = OrderedDict()


def numba_plan_for(
    neuron: Neuron, seen: Identity, features: Sequence[int], dtype: torch.dtype, mode: NumbaMode
) -> NumbaPlan | str:
    """The plan for a call, made at its first use; or why there is none."""
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
