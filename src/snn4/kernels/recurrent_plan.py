"""From a recurrent layer to its kernels, and from a call to their arguments."""

from __future__ import annotations

import ctypes
import functools
import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from snn4.core.errors import MissingLibraryError
from snn4.kernels import blocks, build, torch_facts
from snn4.kernels.host import run_calls
from snn4.kernels.recurrent_cpp import most, print_recurrent, slots
from snn4.kernels.recurrent_kind import Array, Kind, kind_of
from snn4.kernels.recurrent_text import SAMPLES
from snn4.kernels.split import host_name

if TYPE_CHECKING:
    from snn4.kernels.identity import Identity
    from snn4.through_time import Neuron

__all__ = ["Gradients", "Plan", "Ran", "Shape", "recurrent_plan"]

# what is made again of a segment of a tile should fit into the second cache
_SEGMENT_BYTES = 128 << 10
# below so many elements one thread is faster than waking others
_SERIAL = 8_192
# below this share of neurons that gave something, the weights' gradient is summed over those alone
_SPARSE = 0.2
# parts of that sum: never more than so many, and so many bytes
_PARTS, _PART_BYTES = 32, 64 << 20
_PLANS = 256


class Shape(NamedTuple):
    """What a call of a layer is made of, beside its tensors.

    Args:
        steps: T.
        batch: B.
        samples: of a tile.
        segment: steps between two states that are kept.
        skip: whether the bias is left out at the first step.
        dense: whether products go through all terms: where a weight is not finite, 0 times it is not 0.
    """

    steps: int
    batch: int
    samples: int
    segment: int
    skip: bool
    dense: bool


class Ran(NamedTuple):
    """What a forward pass gives.

    Args:
        ys: outputs. Shape (T, B, N).
        last: the fields of the last state, each over all kinds. Shape (B, N) each.
        kept: for the backward pass.
        share: of outputs that are not zero.
        values: what the host has made of each kind's tensors.
    """

    ys: Tensor
    last: list[Tensor]
    kept: list[Tensor]
    share: float
    values: list[dict[str, Tensor]]


class Gradients(NamedTuple):
    """What a backward pass gives."""

    x: Tensor
    weight: Tensor | None
    bias: Tensor | None
    start: Tensor | None
    first: list[Tensor]
    tensors: list[list[Tensor | None]]


class Plan:
    """The kernels of one recurrent layer for one dtype.

    Args:
        kinds: its neurons, in the order in which they stand side by side.
        dtype: of inputs, states and weights.
    """

    def __init__(self, kinds: Sequence[Kind], dtype: torch.dtype) -> None:
        self.kinds, self.dtype = tuple(kinds), dtype
        self.graphs = [kind.graph for kind in kinds]
        self.fields, self.cut, self.roots = most(self.graphs)
        self.size = sum(kind.size for kind in kinds)
        self.label = "recurrent " + " and ".join(kind.label for kind in kinds)
        numbers = [n for graph in self.graphs for n in graph.numbers] or [0.0]
        self.numbers = (ctypes.c_double * len(numbers))(*numbers)
        self.slots = slots(self.graphs)
        self._library: ctypes.CDLL | None = None

    def compiled(self) -> ctypes.CDLL:
        """The machine code."""
        if self._library is None:
            self._library = build.library(self.source(), label=self.label)
        return self._library

    def source(self) -> str:
        """The C++ of the kernels."""
        return print_recurrent(self.graphs, "float" if self.dtype == torch.float32 else "double")

    @functools.cached_property
    def widths(self) -> list[int]:
        """Numbers of a row of ours that each kind takes: whole vectors."""
        lanes = int(self.compiled().snn4_lanes())
        return [-(-kind.size // lanes) * lanes for kind in self.kinds]

    @functools.cached_property
    def places(self) -> Tensor:
        """Where each neuron of the layer stands in a row of ours. Shape (N,)."""
        starts = [sum(self.widths[:k]) for k in range(len(self.kinds))]
        return torch.cat(
            [torch.arange(at, at + kind.size, device="cpu") for at, kind in zip(starts, self.kinds, strict=True)]
        )

    def shape(self, steps: int, batch: int, *, skip: bool, weight: Tensor) -> Shape:
        """How a call is cut into tiles and segments; the same for any number of threads."""
        dense = not math.isfinite(float(weight.detach().sum()))
        samples = min(SAMPLES, -(-batch // SAMPLES))
        step = samples * max(1, self.cut) * sum(self.widths) * self.dtype.itemsize
        return Shape(steps, batch, samples, max(8, min(64, _SEGMENT_BYTES // step)), skip, dense)

    def _padded(self, value: Tensor) -> Tensor:
        """The last axis in our order. Shape (*, N) -> (*, width)."""
        width = sum(self.widths)
        if value.shape[-1] == width:
            return value.contiguous()
        padded = value.new_zeros(*value.shape[:-1], width)
        padded[..., self.places] = value
        return padded

    def _call(self, name: str, shape: Shape, arrays: dict[str, Tensor | None], numbers: dict[str, int]) -> None:
        given = {
            "T": shape.steps,
            "B": shape.batch,
            "N": self.size,
            "NP": sum(self.widths),
            "S": shape.samples,
            "K": shape.segment,
            "skip": shape.skip,
            "dense": shape.dense,
            "threads": torch_facts.threads() if shape.steps * shape.batch * self.size >= _SERIAL else 1,
            "numbers": ctypes.addressof(self.numbers),
            **{f"n{m}": kind.size for m, kind in enumerate(self.kinds)},
            **{f"w{m}": width for m, width in enumerate(self.widths)},
            **{key: 0 if value is None else value.data_ptr() for key, value in arrays.items()},
            **numbers,
        }
        values = [given.get(slot, 0) for slot in self.slots]
        if self.compiled()[name]((ctypes.c_int64 * len(values))(*values)):
            raise MemoryError(f"the kernel of a {self.label} layer found no room for the states of a tile")

    def _parameters(self, values: Sequence[dict[str, Tensor]]) -> dict[str, Tensor | None]:
        found: dict[str, Tensor | None] = {}
        for m, (kind, width, own) in enumerate(zip(self.kinds, self.widths, values, strict=True)):
            rows = kind.rows(own, width, self.dtype)
            found |= {f"m{m}_{p.name}": row for p, row in zip(kind.graph.parameters, rows, strict=True)}
        return found

    def forward(
        self,
        shape: Shape,
        xs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        start: Tensor | None,
        first: Sequence[Tensor],
        tensors: Sequence[Sequence[Tensor]],
        keeps: str | None,
    ) -> Ran:
        """Outputs and last state, and what is kept: nothing (None), states ("checkpoint") or every step ("save").

        Args:
            shape: of the call.
            xs: inputs, rows dense and one behind the other. Shape (T, B, N).
            weight: recurrent weights. Shape (N, N).
            bias: of the feedback. Shape (N,).
            start: what neurons gave before the first step; None for nothing. Shape (B, N).
            first: the fields of the first state, each over all kinds. Shape (B, N) each.
            tensors: of each kind.
            keeps: for a backward pass.
        """
        width = sum(self.widths)
        values = [{host_name(k): t.detach() for k, t in enumerate(own)} for own in tensors]
        for kind, own in zip(self.kinds, values, strict=True):
            run_calls(kind.early, own)
        ys = self._empty(shape.steps, shape.batch, self.size)
        last = [torch.empty(shape.batch, self.size, dtype=self.dtype, device="cpu") for _ in range(self.fields)]
        kept: list[Tensor] = []
        if keeps == "save":
            kept = [self._empty(self.cut, shape.steps, shape.batch, width)]
        elif keeps is not None:
            marks = (shape.steps - 1) // shape.segment
            kept = [self._empty(marks, shape.batch, self.size) for _ in range(self.fields)]
        counts = torch.zeros(-(-shape.batch // shape.samples), dtype=torch.int64, device="cpu")
        arrays: dict[str, Tensor | None] = {
            "x": xs,
            "y": ys,
            "start": start,
            "rows": self._padded(weight.t()),
            "bias": None if bias is None else self._padded(bias),
            "counts": counts,
            **{f"first{k}": field for k, field in enumerate(first)},
            **{f"last{k}": field for k, field in enumerate(last)},
            **self._kept(kept, keeps),
            **self._parameters(values),
        }
        self._call("snn4_recurrent", shape, arrays, {"XS": xs.stride(0), "keep": keeps == "save"})
        return Ran(ys, last, kept, int(counts.sum()) / ys.numel(), values)

    def _empty(self, *shape: int) -> Tensor:
        strides = [math.prod(shape[k + 1 :]) for k in range(len(shape))]
        return blocks.empty(shape, strides, self.dtype)

    def _kept(self, kept: Sequence[Tensor], keeps: str | None) -> dict[str, Tensor | None]:
        if keeps == "save":
            return {"kept": kept[0]}
        return {f"mark{k}": field for k, field in enumerate(kept)}

    def backward(
        self,
        shape: Shape,
        xs: Tensor | None,
        ys: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        start: Tensor | None,
        first: Sequence[Tensor],
        ran: tuple[Sequence[Tensor], float, Sequence[dict[str, Tensor]]],
        grad_ys: Tensor,
        grad_last: Sequence[Tensor | None],
        keeps: str,
        *,
        need_weight: bool,
        need_bias: bool,
    ) -> Gradients:
        """Gradients of all that `forward` got; `ran` is what it kept, its share of spikes, and the host's values."""
        kept, share, made = ran
        width, batch = sum(self.widths), shape.batch
        # a copy: the graph may be gone through again
        values = [dict(own) for own in made]
        for kind, own in zip(self.kinds, values, strict=True):
            run_calls(kind.late, own)
        # a width of whole vectors has rows of ours in the layer's order already, but never the layer's transposed
        back = weight.new_zeros(width, width)
        back[self.places[:, None], self.places] = weight.detach()
        tiles = -(-batch // shape.samples)
        part = self.size * width * self.dtype.itemsize
        sparse = need_weight and not shape.dense and share < _SPARSE and part <= _PART_BYTES
        groups = min(tiles, _PARTS, max(1, _PART_BYTES // part)) if sparse else tiles
        parts = back.new_zeros(groups, self.size, width) if sparse else None
        grad_x = self._empty(*ys.shape)
        grad_first = [torch.empty(batch, self.size, dtype=self.dtype, device="cpu") for _ in range(self.fields)]
        grad_start = None if start is None else torch.empty_like(start)
        sums = torch.zeros(max(1, self.roots), batch, width, dtype=torch.float64, device="cpu")
        arrays: dict[str, Tensor | None] = {
            "x": xs,
            "y": ys,
            "start": start,
            "rows": self._padded(weight.t()),
            "back": back,
            "bias": None if bias is None else self._padded(bias),
            "gy": grad_ys,
            "gx": grad_x,
            "gstart": grad_start,
            "parts": parts,
            "sums": sums,
            **{f"first{k}": field for k, field in enumerate(first)},
            **{f"glast{k}": grad for k, grad in enumerate(grad_last)},
            **{f"gfirst{k}": grad for k, grad in enumerate(grad_first)},
            **self._kept(kept, keeps),
            **self._parameters(values),
        }
        stride = 0 if xs is None else xs.stride(0)
        self._call("snn4_recurrent_backward", shape, arrays, {"XS": stride, "keep": keeps == "save", "G": groups})
        grad_weight = None
        if parts is not None:
            grad_weight = parts.sum(0)[:, self.places].t()
        elif need_weight:
            grad_weight = _outer(grad_x, ys, start)
        grad_bias = grad_x[int(shape.skip) :].sum((0, 1)) if need_bias else None
        flat: Array = sums.numpy()
        tensors: list[list[Tensor | None]] = []
        at = 0
        for kind, own, wide in zip(self.kinds, values, self.widths, strict=True):
            tensors.append(kind.gradients(own, flat[:, :, at : at + kind.size], self.dtype))
            at += wide
        return Gradients(grad_x, grad_weight, grad_bias, grad_start, grad_first, tensors)


def _outer(grad_x: Tensor, ys: Tensor, start: Tensor | None) -> Tensor:
    """The weights' gradient as one product: dL/dcurrent[t] times s[t-1], over steps and samples."""
    found = grad_x[1:].flatten(0, 1).t() @ ys[:-1].flatten(0, 1)
    return found if start is None else found + grad_x[0].t() @ start


_lock = threading.RLock()
_plans: OrderedDict[Any, Plan | str] = OrderedDict()


def recurrent_plan(kinds: Sequence[tuple[Neuron, Identity, int]], dtype: torch.dtype) -> Plan | str:
    """The plan for a layer of such neurons, so many of each, compiled at its first use; or why there is none."""
    key = (tuple((seen.key, size) for _, seen, size in kinds), dtype)
    with _lock:
        plan = _plans.get(key)
        if plan is None:
            plan = _plans[key] = _made(kinds, dtype)
            while len(_plans) > _PLANS:
                _plans.popitem(last=False)
        if isinstance(plan, Plan):
            try:
                plan.compiled()
            except MissingLibraryError as problem:
                # one that is installed later is found
                return build.no_compiler_reason() or str(problem)
            except build.BuildError as problem:
                build.notice(f"a {plan.label} layer has no C++ kernel: {problem}")
                _plans[key] = str(problem)
                return str(problem)
    return plan


def _made(kinds: Sequence[tuple[Neuron, Identity, int]], dtype: torch.dtype) -> Plan | str:
    found: list[Kind] = []
    for neuron, seen, size in kinds:
        kind = kind_of(neuron, seen, size, dtype)
        if isinstance(kind, str):
            return kind
        found.append(kind)
    return Plan(found, dtype)
