"""Print a `StepGraph` as C++: all steps of a layer in one pass over memory.

A tile of elements goes through all steps before the next tile starts, so that its state stays in the first cache. The
backward pass goes through a tile segment by segment, from the last: it repeats the steps of a segment from the state
before it ("recompute"), or reads what the forward pass has kept ("save"), and either way a step's derivative starts
from a minimum cut: in memory the fewest values that give it, in the caches the cheapest. States before segments come
from the forward pass ("marks"), or are made first. T, the number of elements, the numbers of the neuron and its
tensors are arguments; only the structure of a step is compiled.

Inputs and their gradients (`takes`), outputs and theirs (`gives`), may travel in bfloat16 where arithmetic is float32:
they are widened where they are read, which is exact, and rounded once where they are written. States, parameters, sums
and whatever is kept between the two passes have all bits.

Both functions take one array of 64-bit integers, sizes and addresses, in the order of
`snn4.kernels.slots`.
"""

from __future__ import annotations

from typing import Literal

from snn4.kernels.cpp_backward import SUMS, Backward
from snn4.kernels.cpp_pieces import AHEAD
from snn4.kernels.graph import Arg, StepGraph
from snn4.kernels.prelude import PRELUDE
from snn4.kernels.slots import TILE, Mode, Travels, forward_slots

__all__ = ["print_cpp"]


class _Printer(Backward):
    """Writes both functions."""

    def forward(self) -> None:
        graph = self.graph
        cut = self.cut if self.mode == "save" else ()
        targets = (graph.y, *graph.new_states, *cut)
        ops = graph.needed(targets)
        slots = forward_slots(graph, self.mode)
        self.put(
            "template <bool FAST>",
            "static void forward_tile(const i64* a, const i64 n0, const i64 j0, const i64 len) {",
        )
        self.opening(slots, ops, targets)
        self.put("  const i64 bytes = len * (i64)sizeof(real); (void)j0; (void)bytes;")
        for k in self.states:
            self.put(f"  alignas(64) real s{k}_b[TILE]; start<real>(s{k}_b, first{k}, step{k}, n0, len);")
        self.put("  for (i64 t = 0; t < T; t++) {", "    const xreal* __restrict xt = x + t * XS + n0;")
        # a row of this tile, or one of the next tile, which lies behind ours
        self.put(f"    if (t + {AHEAD} < T) ahead(xt + {AHEAD} * XS, len);")
        self.put(f"    else if (t + {AHEAD} < 2 * T) ahead(x + (t + {AHEAD} - T) * XS + n0 + len, len);")
        for k in self.states:
            self.put(f"    if (mark{k} && t && t % K == 0) leave(mark{k} + (t / K - 1) * N + n0, s{k}_b, bytes, FAST);")
        self.put("    yreal* __restrict yt = y + t * N + n0;")
        self.put(*(f"    real* __restrict k{k}t = kept{k} + t * N + n0;" for k in self.kept))
        known = {graph.x: "wide(xt[i])", **{name: f"s{k}_b[i]" for k, name in enumerate(graph.states)}}
        out: dict[str, Arg] = {"yt": graph.y, **{f"k{k}t": self.cut[k] for k in self.kept}}
        self.loop(self.values(ops, targets, known), out, {f"s{k}_b": graph.new_states[k] for k in self.states})
        self.put("  }", *(f"  if (last{k}) leave(last{k} + n0, s{k}_b, bytes, FAST);" for k in self.states), "}", "")
        self.put('extern "C" int snn4_forward(const i64* a) {', "  const i64 j0 = 0; (void)j0;")
        self.opening(slots, (), ())
        aligned = "".join(f" && aligned(kept{k})" for k in self.kept)
        self.put(
            "  const i64 per = (P + W - 1) / W, periods = (N + P - 1) / P;",
            f"  const bool fast = stream && N % LANES == 0 && P % LANES == 0 && aligned(y){aligned};",
            "  #pragma omp parallel num_threads((int)threads) if(threads > 1)",
            "  {",
            "  #pragma omp for schedule(static) nowait",
            "  for (i64 u = 0; u < per * periods; u++) {",
            "    const i64 j0 = (u % per) * W, n0 = (u / per) * P + j0;",
            "    const i64 len = std::min<i64>(std::min<i64>(W, P - j0), N - n0);",
            "    if (len <= 0) continue;",
            "    if (fast && len % LANES == 0) { forward_tile<true>(a, n0, j0, len); }",
            "    else forward_tile<false>(a, n0, j0, len);",
            "  }",
            "  fence();",
            "  }",
            "  return 0;",
            "}",
        )


def print_cpp(
    graph: StepGraph,
    mode: Mode,
    real: Literal["float", "double"],
    takes: Travels = "real",
    gives: Travels = "real",
) -> str:
    """The C++ of a step's kernels, forward and backward.

    Args:
        graph: the step.
        mode: where the backward pass gets the values of a step from.
        real: the type of arithmetic and of states.
        takes: the type of inputs and their gradients, in memory; 16 bits for `"float"` alone.
        gives: the type of outputs and their gradients, in memory; likewise.
    """
    printer = _Printer(graph, mode)
    printer.put(
        PRELUDE,
        f"typedef {real} real;",
        f"typedef {takes} xreal;",
        f"typedef {gives} yreal;",
        # what comes and goes in few bits is streamed in whole cache lines, too
        "constexpr size_t FEWEST = std::min(sizeof(real), std::min(sizeof(xreal), sizeof(yreal)));",
        f"enum : i64 {{ TILE = {TILE}, LANES = 64 / FEWEST }};",
        SUMS if graph.roots else "",
    )
    printer.forward()
    printer.put("")
    printer.backward()
    return "\n".join(printer.lines) + "\n"
