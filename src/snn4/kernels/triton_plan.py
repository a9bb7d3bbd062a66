"""From a neuron to its Triton kernels, and from a call to their arguments."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from snn4.kernels import triton_print, triton_source
from snn4.kernels.build import BuildError, notice
from snn4.kernels.graph import Number, Op, StepGraph
from snn4.kernels.host import needed_calls, run_calls
from snn4.kernels.identity import Identity
from snn4.kernels.layout import Layout
from snn4.kernels.plan import Keeps, Prepared, kernel
from snn4.kernels.slots import Mode
from snn4.kernels.split import HostCall, Traced, host_name
from snn4.kernels.trace import traced_step

if TYPE_CHECKING:
    from snn4.kernels.choice import Backward
    from snn4.through_time import Neuron

__all__ = ["OPTIONS", "TritonPlan", "divided_as_on_cuda", "triton_plan_for"]

# IEEE arithmetic, as torch's own kernels: no contraction of a product and a sum, no flushing of what is denormal
OPTIONS: dict[str, Any] = {"enable_fp_fusion": False, "enable_reflect_ftz": False}
# elements of a program: many for large layers, few so that small ones still fill the device
_BLOCKS = {"forward": (512, 128), "backward": (256, 128)}
# the interpreter takes one program after the other
_INTERPRETED = (1024, 1024)
_WARPS = 4
# from how many elements on the larger block is taken
_LARGE = 1 << 19
# shortest row of parameters that differ between neurons; shorter ones are repeated, so that blocks are full
_ROW = 4096
# parts of a sum per neuron: enough to fill a device, and the same on every one, so that sums are too
_UNITS = 4096
_TOTAL = 1024
_PLANS = 1024
# a first launch that takes longer has compiled something
_SLOW = 0.2


class TritonPlan:
    """The Triton kernels of one neuron's step for one shape of features, one dtype and one kind of device.

    Args:
        traced: its step.
        label: the neuron's name.
        dtype: of the state and of arithmetic.
        device: where it runs.
    """

    def __init__(self, traced: Traced, label: str, dtype: torch.dtype, device: torch.device) -> None:
        self.label, self.dtype, self.device = label, dtype, device
        self.graph = divided_as_on_cuda(traced.graph, dtype) if device.type == "cuda" else traced.graph
        self.traced = dataclasses.replace(traced, calls=_moved(traced.calls, device), tail=_moved(traced.tail, device))
        self.real: triton_print.Real = "float32" if dtype == torch.float32 else "float64"
        self.numbers = torch.tensor(self.graph.numbers or (0.0,), dtype=torch.float64).to(device, dtype)
        roots = self.graph.roots
        self.wide_roots = [k for k, root in enumerate(roots) if root.per_neuron]
        self.scalar_roots = [k for k, root in enumerate(roots) if not root.per_neuron]
        self.needs_rows = bool(self.wide_roots) or any(p.per_neuron for p in self.graph.parameters)
        self._modules: dict[Mode, Any] = {}
        self._launched: set[tuple[str, Mode]] = set()
        # why Triton could not run it after all
        self.broken: str | None = None
        forward = {a for op in self.graph.forward for a in op.args} | {self.graph.y, *self.graph.new_states}
        named = zip(self.graph.parameters, self.traced.inputs, strict=True)
        # a backward pass may need tensors of which the forward pass knows nothing
        self.early = needed_calls(self.traced.calls, [source for p, source in named if p.name in forward])
        done = {call.out for call in self.early}
        self.late = [call for call in self.traced.calls if call.out not in done]

    def source(self, mode: Mode) -> str:
        """The text of the kernels."""
        return triton_print.print_triton(self.graph, mode, self.real)

    def module(self, mode: Mode) -> Any:
        """The kernels."""
        known = self._modules.get(mode)
        if known is None:
            known = self._modules[mode] = triton_source.module(self.source(mode))
        return known

    # --------------------------------------------------------------------------------------------------- arguments

    def row_of(self, layout: Layout) -> int:
        """How many elements share no parameter: a row of parameters is repeated after so many."""
        if not self.needs_rows:
            return max(1, layout.count)
        features = math.prod(layout.shape[1:])
        # a multiple of 16 elements, so that every row begins where wide loads may begin
        times = 16 // math.gcd(features, 16)
        return features * times * max(1, _ROW // (features * times))

    def _parameters(self, values: Mapping[str, Tensor], layout: Layout, row: int) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        features = layout.shape[1:]
        for p, source in zip(self.graph.parameters, self.traced.inputs, strict=True):
            value = values.get(source)
            if value is None:
                continue
            value = value.to(self.dtype)
            if p.per_neuron:
                value = value[0] if value.ndim > len(features) else value
                spread = value.expand(features).permute(layout.order).reshape(-1)
                value = spread.repeat(row // spread.numel())
            found[p.name] = value.contiguous()
        return found

    def _common(self, steps: int, xs: Tensor | None, state: Sequence[Tensor], layout: Layout) -> dict[str, Any]:
        row = self.row_of(layout)
        given: dict[str, Any] = {"T": steps, "N": layout.count, "P": row, "x": xs, "numbers": self.numbers}
        given["XS"] = layout.count if xs is None else xs.stride(0)
        for k, value in enumerate(state):
            # one number for all elements, as rest often is, needs no memory
            same = not any(value.stride())
            given[f"first{k}"] = value if same else layout.arranged(value)
            given[f"step{k}"] = int(not same)
        return given

    def keeps(self, wanted: Backward, steps: int) -> Keeps:
        """What the forward pass keeps for a sequence of `steps`; these kernels always need a state a segment."""
        if wanted == "save":
            return "save"
        return (
            "checkpoint" if steps > triton_print.segment(self.graph, "recompute") and self.graph.states else "recompute"
        )

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
        """Outputs, last state, and what is kept for a backward pass; `None` says that there will be none.

        That is, with "save", a minimum cut of every step, and else a state at every segment but the first.
        """
        steps, mode = len(xs), kernel(keeps)
        ready = Prepared({host_name(k): t for k, t in enumerate(tensors)}, {})
        run_calls(self.early, ready.values)
        given = self._common(steps, xs, state, layout)
        given.update(self._parameters(ready.values, layout, given["P"]))
        ys = given["y"] = layout.empty(xs, steps)
        after = [layout.empty(field) for field in state]
        given.update((f"last{k}", value) for k, value in enumerate(after))
        kept: list[Tensor] = []
        if keeps is not None:
            word, count, rows = "kept", len(self.graph.saved()), steps
            if mode == "recompute":
                word, count = "mark", len(state)
                rows = (steps - 1) // triton_print.segment(self.graph, mode)
            if rows:
                shape = (rows, layout.count)
                kept = [torch.empty(shape, dtype=self.dtype, device=xs.device) for _ in range(count)]
                given.update((f"{word}{k}", value) for k, value in enumerate(kept))
        chunks = self._chunks("forward", given)
        units = chunks * -(-layout.count // given["P"])
        self._launch("snn4_forward", mode, triton_print.forward_arguments(self.graph, mode), units, given)
        return ys, after if last else [], kept, ready

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
        steps, mode = len(grad_ys), kernel(keeps)
        given = self._common(steps, xs, state, layout)
        row: int = given["P"]
        # a copy: the graph may be gone through again
        values = dict(ready.values)
        run_calls(self.late, values)
        given.update(self._parameters(values, layout, row))
        grad_ys = given["gy"] = layout.arranged_sequence(grad_ys)
        grad_x = given["gx"] = layout.empty(grad_ys, steps) if need_x else None
        grad_first: list[Tensor | None] = []
        for k, (field, grad) in enumerate(zip(state, grad_last, strict=True)):
            given[f"glast{k}"] = None if grad is None else layout.arranged(grad)
            grad_first.append(layout.empty(field) if need_state else None)
            given[f"gfirst{k}"] = grad_first[-1]
        word = "kept" if mode == "save" else "mark"
        given.update((f"{word}{k}", value) for k, value in enumerate(kept))
        chunks, periods = self._chunks("backward", given), -(-layout.count // row)
        given["G"] = groups = min(periods, max(1, _UNITS // chunks)) if self.wide_roots else periods
        units, scalars, wide = chunks * groups, len(self.scalar_roots), len(self.wide_roots)
        size = scalars * units + wide * groups * row
        partial = given["partial"] = torch.empty(max(1, size), dtype=torch.float64, device=grad_ys.device)
        self._launch("snn4_backward", mode, triton_print.backward_arguments(self.graph, mode), units, given)
        sums = partial.new_empty(scalars + wide * row)
        if scalars:
            self._run("snn4_total", mode, (scalars,), [partial, sums, units, units], _TOTAL)
        if wide:
            arguments = [partial[scalars * units :], sums[scalars:], groups, wide * row]
            self._run("snn4_total_wide", mode, (-(-wide * row // _TOTAL),), arguments, _TOTAL)
        return grad_x, grad_first, self._gradients(values, sums, layout, row)

    def _gradients(self, values: dict[str, Tensor], sums: Tensor, layout: Layout, row: int) -> list[Tensor | None]:
        """The gradients of the neuron's tensors, from sums over time and elements."""
        if not self.traced.roots:
            return [None] * len(self.traced.gradients)
        features = layout.shape[1:]
        inverse = sorted(range(len(features)), key=layout.order.__getitem__)
        scalars, wide = iter(self.scalar_roots), iter(range(len(self.wide_roots)))
        for about, root in zip(self.traced.roots, self.graph.roots, strict=True):
            if not root.per_neuron:
                total = sums[self.scalar_roots.index(next(scalars))]
            else:
                start = len(self.scalar_roots) + next(wide) * row
                kept = about.kept or ()
                part = sums[start : start + row].view(-1, *(features[d] for d in layout.order)).sum(0)
                gone = tuple(d for d in range(len(features)) if d + 1 not in kept)
                total = part.permute(inverse)
                total = total.sum(gone) if gone else total
            values[about.name] = total.to(self.dtype).reshape(about.shape)
        run_calls(self.traced.tail, values)
        return [None if name is None else values[name] for name in self.traced.gradients]

    # --------------------------------------------------------------------------------------------------- launches

    def _chunks(self, which: str, given: dict[str, Any]) -> int:
        """Choose a block, and tell how many make a row."""
        many, few = _BLOCKS[which] if self.device.type == "cuda" else _INTERPRETED
        given["BLOCK"] = many if given["N"] >= _LARGE else few
        return -(-given["P"] // given["BLOCK"])

    def _launch(self, name: str, mode: Mode, order: Sequence[str], units: int, given: Mapping[str, Any]) -> None:
        self._run(name, mode, (units,), [given.get(argument) for argument in order], given["BLOCK"])

    def _run(self, name: str, mode: Mode, grid: tuple[int, ...], arguments: Sequence[Any], block: int) -> None:
        if (name, mode) in self._launched:
            self._start(name, mode, grid, arguments, block)
            return
        began = time.perf_counter()
        try:
            self._start(name, mode, grid, arguments, block)
        except torch.OutOfMemoryError:
            raise
        except Exception as problem:
            said = str(problem).strip().splitlines() or [type(problem).__name__]
            self.broken = f"Triton failed on {name} of {self.label}: {said[0]}"
            came = f"{self.broken} ({triton_source.module(self.source(mode)).__file__})"
            advice = "with snn4.kernels.use('reference') it runs without Triton."
            raise BuildError(came, "a Triton that can compile and launch it", advice) from problem
        self._launched.add((name, mode))
        taken = time.perf_counter() - began
        if taken > _SLOW and self.device.type == "cuda":
            notice(f"compiled {name.removeprefix('snn4_')} of {self.label} for this GPU in {taken:.1f} s")

    def _start(self, name: str, mode: Mode, grid: tuple[int, ...], arguments: Sequence[Any], block: int) -> None:
        kernel = getattr(self.module(mode), name)
        if self.device.type == "cuda":
            with torch.cuda.device(self.device):
                kernel[grid](*arguments, BLOCK=block, num_warps=_WARPS, **OPTIONS)
        else:
            # the interpreter knows no options, and numpy is louder than a processor about overflow
            with np.errstate(all="ignore"):
                kernel[grid](*arguments, BLOCK=block)


def divided_as_on_cuda(graph: StepGraph, dtype: torch.dtype) -> StepGraph:
    """The graph with a division by a number as torch does it on CUDA: a product with the number's reciprocal."""
    numbers, real = list(graph.numbers), np.float32 if dtype == torch.float32 else np.float64
    ops: list[Op] = []
    for op in graph.ops:
        divisor = op.args[1] if op.name == "div" else None
        if isinstance(divisor, Number):
            with np.errstate(all="ignore"):
                numbers.append(float(real(1) / real(graph.numbers[divisor.index])))
            op = dataclasses.replace(op, name="mul", args=(op.args[0], Number(len(numbers) - 1)))
        ops.append(op)
    return dataclasses.replace(graph, ops=tuple(ops), numbers=tuple(numbers))


def _moved(calls: Sequence[HostCall], device: torch.device) -> tuple[HostCall, ...]:
    """The host's calls, which were traced on the CPU, for tensors on `device`."""

    def moved(arg: Any) -> Any:
        if isinstance(arg, Tensor):
            return arg.to(device)
        if isinstance(arg, torch.device):
            return device
        if isinstance(arg, (list, tuple)):
            return type(arg)(moved(a) for a in arg)  # pyright: ignore[reportUnknownVariableType]
        return arg

    return tuple(
        dataclasses.replace(call, args=moved(call.args), kwargs={k: moved(v) for k, v in call.kwargs.items()})
        for call in calls
    )


_lock = threading.RLock()
_plans: OrderedDict[Any, TritonPlan | str] = OrderedDict()


def triton_plan_for(
    neuron: Neuron, seen: Identity, features: Sequence[int], dtype: torch.dtype, device: torch.device
) -> TritonPlan | str:
    """The plan for a call, made at its first use; or why there is none."""
    key = (seen.key, tuple(features), dtype, device)
    plan = _plans.get(key)
    if plan is None:
        with _lock:
            plan = _plans.get(key)
            if plan is None:
                traced = traced_step(neuron, seen, features, dtype)
                named = type(neuron).__name__
                plan = traced if isinstance(traced, str) else TritonPlan(traced, named, dtype, device)
                _plans[key] = plan
                while len(_plans) > _PLANS:
                    _plans.popitem(last=False)
    return plan
