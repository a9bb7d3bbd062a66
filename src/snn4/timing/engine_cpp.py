"""The event-driven engine: exact spikes and their gradients in one pass over the sorted events, in C++.

Neurons lie side by side: an event reads one row of the transposed weights, and what time does to potential and current
between two events is computed once for all of them. Work grows linearly with events times neurons, memory with events
plus spikes. Samples are shared among torch's threads; results do not depend on how many there are.
"""

from __future__ import annotations

import ctypes
import functools
import math
from array import array
from typing import Any

import torch
from torch import Tensor

from snn4.kernels import build, torch_facts
from snn4.kernels.prelude import PRELUDE
from snn4.timing.cpp_answer import ANSWER
from snn4.timing.cpp_backward import BACKWARD
from snn4.timing.cpp_events import EVENTS
from snn4.timing.cpp_forward import FORWARD
from snn4.timing.cpp_segment import SEGMENT
from snn4.timing.types import Constants, Fired, rates

__all__ = ["adjoint", "answer", "answer_back", "ordered", "refusal", "solve", "sort", "source", "spread"]

_SOURCE = PRELUDE + "#include <limits>\n" + SEGMENT + EVENTS + FORWARD + BACKWARD + ANSWER
_FUNCTIONS = ("count_events", "sort_events", "spread_events", "solve", "adjoint", "answer", "answer_back", "ordered")
_DTYPES = (torch.float32, torch.float64)
# the types whose functions are in this process
_here: set[torch.dtype] = set()
# below so many pairs of event and neuron a second thread costs more than it brings
_SERIAL = 1 << 15
# strips of neurons times groups of samples: what can run at the same time in the adjoint
_UNITS = 4
_STRIP = 128


def refusal(*tensors: Tensor) -> str | None:
    """Why these tensors cannot be solved here, or None."""
    if torch.compiler.is_compiling():
        return "inside torch.compile, which makes its own kernels"
    if reason := torch_facts.watched():
        return reason
    for t in tensors:
        if type(t) not in (Tensor, torch.nn.Parameter):
            return "a tensor subclass"
        if t.device.type != "cpu":
            return f"a tensor lies on {t.device}"
        if t.dtype not in _DTYPES:
            return f"a tensor is {str(t.dtype).removeprefix('torch.')}"
    missing = {t.dtype for t in tensors} - _here
    reason = build.no_compiler_reason() if missing else None
    if reason is None or all(build.prebuilt(source(dtype)) is not None for dtype in missing):
        return None
    return reason


def source(dtype: torch.dtype) -> str:
    """The C++ for one type of numbers; few people need both."""
    ends = (f'extern "C" int run_{one}(const i64* p) {{ return {one}<{_real(dtype)}>(p); }}\n' for one in _FUNCTIONS)
    return _SOURCE + "".join(ends)


def _real(dtype: torch.dtype) -> str:
    return "float" if dtype == torch.float32 else "double"


@functools.cache
def _compiled(dtype: torch.dtype) -> ctypes.CDLL:
    library = build.library(source(dtype), label=f"exact spike times, {_real(dtype)}")
    _here.add(dtype)
    return library


def _call(name: str, dtype: torch.dtype, slots: list[int]) -> None:
    passed = array("q", slots)
    run: Any = getattr(_compiled(dtype), f"run_{name}")
    if run(ctypes.c_void_p(passed.buffer_info()[0])):
        raise MemoryError(f"exact spike times: no memory for what {name} works in")


def _rows(weight: Tensor) -> Tensor:
    """One contiguous row per input neuron, padded with zeros to whole vector registers."""
    outputs, inputs = weight.shape
    lanes = 64 // weight.element_size()
    padded = -(-outputs // lanes) * lanes
    rows = weight.new_zeros(inputs, padded) if padded > outputs else weight.new_empty(inputs, padded)
    rows[:, :outputs] = weight.detach().t()
    return rows


def _numbers(constants: Constants, window: float) -> Tensor:
    return torch.tensor([*rates(constants), window], dtype=torch.float64)


def _threads(events: int, outputs: int) -> int:
    return torch.get_num_threads() if events * outputs > _SERIAL else 1


def _pairs(times: Tensor) -> list[int]:
    """Rows, spikes a row, threads."""
    k = times.shape[-1]
    return [times.numel() // max(1, k), k, torch.get_num_threads() if times.numel() > _SERIAL else 1]


def _address(t: Tensor | None) -> int:
    return 0 if t is None else t.data_ptr()


def sort(times: Tensor, window: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The spikes before the end of the window in the order of time, stable; `inf`, source and order 0 fill the rest.

    Shape: (B, N, K) -> times, sources and orders (B, E), E at least 1, and how many there are, (B,).
    """
    batch, neurons, k = times.shape
    times = times.detach().contiguous()
    counts = torch.empty(batch, dtype=torch.int64)
    end = torch.tensor(window, dtype=torch.float64)
    sizes = [batch, neurons, k, torch.get_num_threads() if times.numel() > _SERIAL else 1]
    _call("count_events", times.dtype, [*sizes, *(_address(one) for one in (end, times, counts))])
    most = max(1, int(counts.max()) if batch else 0)
    t = times.new_empty(batch, most)
    source, order = (torch.empty(batch, most, dtype=torch.int64) for _ in range(2))
    tensors = (end, times, counts, t, source, order)
    _call("sort_events", times.dtype, [*sizes, most, *(_address(one) for one in tensors)])
    return t, source, order, counts


def spread(grad: Tensor, order: Tensor, counts: Tensor, shape: torch.Size) -> Tensor:
    """Gradients of sorted times, brought back to where the times came from."""
    batch, most = order.shape
    out, grad = grad.new_empty(shape), grad.contiguous()
    sizes = [batch, out[0].numel() if batch else 0, torch.get_num_threads() if out.numel() > _SERIAL else 1, most]
    _call("spread_events", grad.dtype, [*sizes, *(_address(one) for one in (counts, order, grad, out))])
    return out


def ordered(times: Tensor) -> bool:
    """Whether no time of (..., K) is NaN or negative, and every row ascends."""
    times, bad = times.detach().contiguous(), torch.ones(1, dtype=torch.int64)
    _call("ordered", times.dtype, [*_pairs(times), times.data_ptr(), bad.data_ptr()])
    return not bad.item()


def answer(times: Tensor, constants: Constants, at: float) -> Tensor:
    """The summed answers to each neuron's spikes: (..., K) -> (...)."""
    times, numbers = times.detach().contiguous(), _numbers(constants, at)
    out, sizes = times.new_empty(times.shape[:-1]), _pairs(times)
    numbers[2] = at
    _call("answer", times.dtype, [*sizes, *(_address(one) for one in (numbers, times, out))])
    return out


def answer_back(times: Tensor, constants: Constants, at: float, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `answer`: of the times, and of tau_v and tau_i together, (2,)."""
    times, grad, numbers = times.detach().contiguous(), grad.contiguous(), _numbers(constants, at)
    out, sizes = torch.empty_like(times), _pairs(times)
    numbers[2] = at
    sums = torch.zeros(-(-grad.numel() // 1024), 2, dtype=torch.float64)
    _call("answer_back", times.dtype, [*sizes, *(_address(one) for one in (numbers, times, grad, out, sums))])
    a, b, _ = rates(constants)
    return out, sums.sum(0) * sums.new_tensor([-a * a, -b * b])


def solve(
    t: Tensor,
    source: Tensor,
    weight: Tensor,
    constants: Constants,
    max_spikes: int,
    window: float,
    want_max: bool = False,
) -> Fired:
    """All spikes of a layer within the window.

    Args:
        t: input spikes, ascending in every row, `inf` at the end. Shape (B, E).
        source: the input neuron of each. Shape (B, E).
        weight: Shape (N_out, N_in).
        constants: time constants and threshold.
        max_spikes: K, the most spikes that a neuron may fire.
        window: where time ends, finite.
        want_max: also find the largest potential of every neuron.
    """
    (batch, events), outputs, k = t.shape, len(weight), max_spikes
    t, source, rows = t.detach().contiguous(), source.contiguous(), _rows(weight)
    times, current, slope = (t.new_empty(batch, outputs, k) for _ in range(3))
    truncated = torch.empty(batch, outputs, dtype=torch.bool)
    v_max, t_max = (t.new_empty(batch, outputs if want_max else 0) for _ in range(2))
    numbers = _numbers(constants, window)
    sizes = [batch, events, outputs, rows.shape[1], k, _threads(t.numel(), outputs)]
    found = (times, current, slope, truncated, *((v_max, t_max) if want_max else (None, None)))
    given = (numbers, t, source, rows, *found)
    _call("solve", t.dtype, [*sizes, *(_address(one) for one in given)])
    return Fired(times, current, slope, truncated, v_max, t_max)


def adjoint(
    t: Tensor,
    source: Tensor,
    weight: Tensor,
    constants: Constants,
    fired: Fired,
    grad_times: Tensor,
    grad_v_max: Tensor | None = None,
    *,
    want_t: bool = True,
    want_tau: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """From the gradients of the output times to those of the events, the weights and the constants.

    Args:
        t: as they were given to `solve`.
        source: likewise.
        weight: likewise.
        constants: likewise.
        fired: what `solve` found; its slopes are divided by as they are.
        grad_times: read where a spike exists only.
        grad_v_max: read for silent neurons only.
        want_t: without it, and without `want_tau`, the gradient of t is an empty tensor: a first layer needs none.
        want_tau: without it the gradients of the two time constants are 0.
    """
    (batch, events), (outputs, inputs) = t.shape, weight.shape
    t, source, rows = t.detach().contiguous(), source.contiguous(), _rows(weight)
    times, slope, grad = fired.times.contiguous(), fired.slope.contiguous(), grad_times.contiguous()
    largest = (None, None, None)
    if grad_v_max is not None:
        largest = (fired.t_max.contiguous(), fired.v_max.contiguous(), grad_v_max.contiguous())
    strips, back = -(-rows.shape[1] // _STRIP), want_t or want_tau
    groups = max(1, min(batch, -(-_UNITS // max(1, strips))))
    grad_t = t.new_empty((strips, batch, events) if back else (1, 0))
    # every strip has its own block: threads that write side by side slow each other down
    grad_rows = t.new_zeros(groups, strips, inputs, _STRIP)
    parts = torch.zeros(groups * strips, 3, dtype=torch.float64)
    numbers = _numbers(constants, math.inf)
    sizes = [batch, events, outputs, rows.shape[1], grad.shape[2], _threads(t.numel(), outputs), inputs, groups]
    tensors = (numbers, t, source, rows, times, slope, grad, *largest, grad_t, grad_rows, parts)
    _call("adjoint", t.dtype, [*sizes, *(_address(one) for one in tensors), int(back), int(want_tau)])
    # in a fixed order, so that the result does not depend on the number of threads
    blocks = grad_rows[0] if groups == 1 else grad_rows.sum(0)
    grad_weight = blocks.transpose(1, 2).reshape(strips * _STRIP, inputs)[:outputs]
    a, b, _ = rates(constants)
    scale = parts.new_tensor([a * a * want_tau, b * b * want_tau, 1.0])
    return grad_t[0] if len(grad_t) == 1 else grad_t.sum(0), grad_weight, parts.sum(0) * scale
