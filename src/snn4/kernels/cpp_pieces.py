"""What both passes of a C++ kernel are printed from: its arguments, the values of a step, a loop over a tile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from snn4.kernels.expression import atom, expression
from snn4.kernels.graph import Arg, Number, Op, StepGraph
from snn4.kernels.slots import Mode

__all__ = ["AHEAD", "Pieces", "uses"]

# how many rows before it is needed one is asked for
AHEAD = 4

# what does not have the type of arithmetic
_TYPES = {"x": "xreal", "gx": "xreal", "gxt": "xreal", "y": "yreal", "gy": "yreal", "yt": "yreal"}
_INTEGERS = frozenset(("T", "N", "P", "XS", "W", "K", "B", "G", "stream", "threads", "numbers"))


def _type(row: str) -> str:
    """Of a row's numbers; rows of several steps at once are numbered."""
    return _TYPES.get(row.rstrip("0123456789"), "real")


def _narrow(row: str, value: Arg) -> str:
    """A value as a row in memory has it."""
    kind = _type(row)
    return atom(value) if kind == "real" else f"Narrow<{kind}>::of({atom(value)})"


def uses(ops: Iterable[Op], more: Iterable[Arg]) -> tuple[set[str], set[int]]:
    """The names and numbers that a loop body reads."""
    names: set[str] = set()
    numbers: set[int] = set()
    for arg in (*(a for op in ops for a in op.args), *more):
        if isinstance(arg, str):
            names.add(arg)
        elif isinstance(arg, Number):
            numbers.add(arg.index)
    return names, numbers


class Pieces:
    """Writes lines of a kernel.

    Args:
        graph: the step.
        mode: where the backward pass gets the values of a step from.
    """

    def __init__(self, graph: StepGraph, mode: Mode) -> None:
        self.graph = graph
        self.mode: Mode = mode
        # what a step's derivative starts from
        self.cut = graph.near() if mode == "recompute" else graph.saved()
        self.kept = range(len(self.cut) if mode == "save" else 0)
        self.states = range(len(graph.states))
        self.lines: list[str] = []

    def put(self, *lines: str) -> None:
        """Write lines."""
        self.lines.extend(lines)

    # ------------------------------------------------------------------------------------------------- pieces

    def opening(self, slots: Sequence[str], ops: Iterable[Op], more: Iterable[Arg]) -> None:
        """Sizes, addresses, numbers and parameters from the array."""
        names, numbers = uses(ops, more)
        per_neuron = {p.name: p.per_neuron for p in self.graph.parameters}
        for place, slot in enumerate(slots):
            if slot in _INTEGERS or slot.startswith("step"):
                self.put(f"  const i64 {slot} = a[{place}]; (void){slot};")
            elif slot in ("partial", "sums"):
                self.put(f"  double* const {slot} = (double*)a[{place}]; (void){slot};")
            elif slot in per_neuron:
                if slot in names and per_neuron[slot]:
                    self.put(f"  const real* const __restrict {slot}_row = (const real*)a[{place}] + j0;")
                elif slot in names:
                    self.put(f"  const real {slot} = *(const real*)a[{place}];")
            else:
                kind = _type(slot)
                self.put(f"  {kind}* const {slot} = ({kind}*)a[{place}]; (void){slot};")
        for index in sorted(numbers):
            self.put(f"  const real c{index} = (real)((const double*)numbers)[{index}];")

    def values(self, ops: Sequence[Op], more: Sequence[Arg], known: dict[str, str]) -> list[str]:
        """The lines that compute one element, loading `known` values as they say."""
        names, _ = uses(ops, more)
        rows = {p.name: f"{p.name}_row[i]" for p in self.graph.parameters if p.per_neuron}
        loads = [f"const real {name} = {source};" for name, source in {**known, **rows}.items() if name in names]
        return [*loads, *(f"const real {op.out} = {expression(op)};" for op in ops)]

    def loop(self, lines: Sequence[str], out: dict[str, Arg], stay: dict[str, Arg]) -> None:
        """Over a tile's elements: `out` goes to memory, streaming where that is fast, `stay` to rows in the cache."""
        kept = [f"{row}[i] = {atom(value)};" for row, value in stay.items()]
        inner = " ".join([*lines, *kept])
        if out:
            self.put("    if constexpr (FAST) {", "      for (i64 b = 0; b < len; b += LANES) {")
            self.put(*(f"        alignas(64) {_type(row)} {row}_o[LANES];" for row in out))
            self.put("        #pragma omp simd", "        for (i64 l = 0; l < LANES; l++) { const i64 i = b + l;")
            self.put(
                f"          {inner}",
                *(f"          {row}_o[l] = {_narrow(row, value)};" for row, value in out.items()),
                "        }",
            )
            self.put(*(f"        stream_lanes<LANES>({row} + b, {row}_o);" for row in out), "      }", "    } else {")
        else:
            self.put("    {")
        self.put("      #pragma omp simd", "      for (i64 i = 0; i < len; i++) {")
        self.put(
            f"        {inner}",
            *(f"        {row}[i] = {_narrow(row, value)};" for row, value in out.items()),
            "      }",
            "    }",
        )
