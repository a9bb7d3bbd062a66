"""Print a `StepGraph` as C++: all steps of a layer in one pass over memory.

A tile of elements goes through all steps before the next tile starts, so that its state stays in the first cache. The
backward pass either repeats the states of a tile from the input ("recompute": nothing but the input is kept) or reads
what the forward pass has kept ("save": a minimum cut of the step). T, the number of elements, the numbers of the neuron
and its tensors are arguments; only the structure of a step is compiled.

Both functions take one array of 64-bit integers, sizes and addresses, in the order of `forward_slots` and
`backward_slots`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

from snn4.kernels.graph import Arg, Constant, Number, Op, StepGraph
from snn4.kernels.prelude import PRELUDE

__all__ = ["TILE", "Mode", "backward_slots", "forward_slots", "print_cpp"]

Mode: TypeAlias = Literal["recompute", "save"]

# elements of a tile: flat between 128 and 512 in measurements, and 2048 loses 15 %
TILE = 256
# how many steps before it is needed a row is asked for
AHEAD = 2

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
_COMPARE = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "eq": "==", "ne": "!="}
_LIBRARY = {
    **{name: f"std::{name}" for name in ("floor", "ceil", "trunc", "sqrt", "expm1", "log", "log1p", "fmod", "pow")},
    **{name: f"std::{name}" for name in ("sin", "cos", "tan", "atan", "erf", "abs")},
    **{name: f"f_{name}" for name in ("exp", "tanh", "sigmoid", "fma")},
    # round half to even, as torch does
    "round": "std::nearbyint",
}


def forward_slots(graph: StepGraph, mode: Mode) -> tuple[str, ...]:
    """What the forward function reads from its array, in order."""
    states = range(len(graph.states))
    kept = range(len(graph.saved()) if mode == "save" else 0)
    return (
        *("T", "N", "P", "XS", "stream", "threads", "numbers", "x", "y"),
        *(f"first{k}" for k in states),
        *(f"step{k}" for k in states),
        *(f"last{k}" for k in states),
        *(f"kept{k}" for k in kept),
        *(p.name for p in graph.parameters),
    )


def backward_slots(graph: StepGraph, mode: Mode) -> tuple[str, ...]:
    """What the backward function reads from its array, in order."""
    states = range(len(graph.states))
    kept = range(len(graph.saved()) if mode == "save" else 0)
    return (
        *("T", "N", "P", "XS", "K", "G", "stream", "threads", "numbers", "x", "gy", "gx", "partial", "sums"),
        *(f"first{k}" for k in states),
        *(f"step{k}" for k in states),
        *(f"glast{k}" for k in states),
        *(f"gfirst{k}" for k in states),
        *(f"kept{k}" for k in kept),
        *(p.name for p in graph.parameters),
    )


def _atom(arg: Arg) -> str:
    if isinstance(arg, Number):
        return f"c{arg.index}"
    if isinstance(arg, Constant):
        value = arg.value
        if value != value:
            return "(real)NAN"
        if value in (float("inf"), -float("inf")):
            return f"(real){'-' * (value < 0)}INFINITY"
        return f"(real){value!r}"
    return arg


def _expression(op: Op) -> str:
    a = [_atom(arg) for arg in op.args]
    name = op.name
    if name in _INFIX:
        return f"({a[0]} {_INFIX[name]} {a[1]})"
    if name in _COMPARE:
        return f"({a[0]} {_COMPARE[name]} {a[1]} ? (real)1 : (real)0)"
    if name == "where":
        return f"({a[0]} != (real)0 ? {a[1]} : {a[2]})"
    if name in ("max", "min"):
        # as torch: NaN wins, from either side
        sign = "<" if name == "max" else ">"
        nan = "" if isinstance(op.args[1], (Number, Constant)) else f" || {a[1]} != {a[1]}"
        return f"(({a[0]} {sign} {a[1]}{nan}) ? {a[1]} : {a[0]})"
    table = {
        "neg": "(-{0})",
        "copy": "{0}",
        "sign": "((real)({0} > (real)0) - (real)({0} < (real)0))",
        "not": "({0} != (real)0 ? (real)0 : (real)1)",
        "and": "(({0} != (real)0) & ({1} != (real)0) ? (real)1 : (real)0)",
        "or": "(({0} != (real)0) | ({1} != (real)0) ? (real)1 : (real)0)",
        "xor": "(({0} != (real)0) != ({1} != (real)0) ? (real)1 : (real)0)",
    }
    if name in table:
        return table[name].format(*a)
    return f"{_LIBRARY[name]}({', '.join(a)})"


def _uses(ops: Iterable[Op], more: Iterable[Arg]) -> tuple[set[str], set[int]]:
    """The names and numbers that a loop body reads."""
    names: set[str] = set()
    numbers: set[int] = set()
    for arg in (*(a for op in ops for a in op.args), *more):
        if isinstance(arg, str):
            names.add(arg)
        elif isinstance(arg, Number):
            numbers.add(arg.index)
    return names, numbers


class _Printer:
    def __init__(self, graph: StepGraph, mode: Mode, real: str) -> None:
        self.graph, self.real = graph, real
        self.mode: Mode = mode
        self.saved = graph.saved() if mode == "save" else ()
        self.lines: list[str] = []

    def put(self, *lines: str) -> None:
        self.lines.extend(lines)

    # ------------------------------------------------------------------------------------------------- pieces

    def opening(self, name: str, slots: Sequence[str], ops: Iterable[Op], more: Iterable[Arg]) -> None:
        """A function's head: sizes, addresses, numbers and parameters from the array."""
        names, numbers = _uses(ops, more)
        self.put(f'extern "C" int {name}(const i64* a) {{')
        integers = {"T", "N", "P", "XS", "K", "G", "stream", "threads", "numbers"}
        integers |= {f"step{k}" for k in range(len(self.graph.states))}
        per_neuron = {p.name: p.per_neuron for p in self.graph.parameters}
        for place, slot in enumerate(slots):
            if slot in integers:
                self.put(f"  const i64 {slot} = a[{place}]; (void){slot};")
            elif slot in ("partial", "sums"):
                self.put(f"  double* const {slot} = (double*)a[{place}]; (void){slot};")
            elif slot in per_neuron:
                if slot not in names:
                    continue
                suffix, star = ("_all", "") if per_neuron[slot] else ("", "*")
                kind = "const real* const" if per_neuron[slot] else "const real"
                self.put(f"  {kind} {slot}{suffix} = {star}(const real*)a[{place}];")
            else:
                self.put(f"  real* const {slot} = (real*)a[{place}]; (void){slot};")
        for index in sorted(numbers):
            self.put(f"  const real c{index} = (real)((const double*)numbers)[{index}];")
        self.put(f"  const i64 per = (P + {TILE - 1}) / {TILE}, periods = (N + P - 1) / P; (void)periods;")

    def rows(self, names: set[str]) -> str:
        """Where a tile finds parameters that differ between neurons."""
        wanted = [p.name for p in self.graph.parameters if p.per_neuron and p.name in names]
        return "".join(f" const real* __restrict {p}_row = {p}_all + j0;" for p in wanted)

    def body(self, ops: Sequence[Op], more: Sequence[Arg], states: str, grads: bool = False) -> None:
        """Loads and operations of one element; `states` is how a state's row is called."""
        names, _ = _uses(ops, more)
        if self.graph.x in names and self.graph.x not in self.hidden:
            self.put("        const real x = xt[i];")
        for k, name in enumerate(self.graph.states):
            if name in names and name not in self.hidden:
                self.put(f"        const real {name} = {states.format(k)}[i];")
        if grads:
            for k, name in enumerate(self.saved):
                self.put(f"        const real {name} = keep{k}[i];")
            self.put("        const real gy = gt[i];")
            self.put("".join(f"        const real g{k} = g{k}_b[i];" for k in range(len(self.graph.states))))
        for p in self.graph.parameters:
            if p.per_neuron and p.name in names:
                self.put(f"        const real {p.name} = {p.name}_row[i];")
        self.put(*(f"        const real {op.out} = {_expression(op)};" for op in ops))

    # values that a loop body has under its own name already
    hidden: frozenset[str] = frozenset()

    # ------------------------------------------------------------------------------------------------ forward

    def forward(self) -> None:
        graph = self.graph
        targets = (graph.y, *graph.new_states, *self.saved)
        ops = graph.needed(targets)
        names, _ = _uses(ops, targets)
        states = range(len(graph.states))
        self.opening("snn4_forward", forward_slots(graph, self.mode), ops, targets)
        self.put(
            "  #pragma omp parallel for schedule(static) num_threads((int)threads) if(threads > 1)",
            "  for (i64 u = 0; u < per * periods; u++) {",
            f"    const i64 j0 = (u % per) * {TILE}, n0 = (u / per) * P + j0;",
            f"    const i64 len = std::min<i64>(std::min<i64>({TILE}, P - j0), N - n0);",
            "    if (len <= 0) continue;",
            f"   {self.rows(names)}",
            f"    alignas(64) real y_b[{TILE}];",
        )
        for k in states:
            self.put(f"    alignas(64) real s{k}_b[{TILE}]; start<real>(s{k}_b, first{k}, step{k}, n0, len);")
        for k in range(len(self.saved)):
            self.put(f"    alignas(64) real k{k}_b[{TILE}];")
        self.put("    for (i64 t = 0; t < T; t++) {", "      const real* __restrict xt = x + t * XS + n0;")
        self.put(f"      if (t + {AHEAD} < T) ahead(xt + {AHEAD} * XS, len * (i64)sizeof(real));")
        # and the next tile's first rows, which lie behind ours
        self.put(f"      if (t + {AHEAD} >= T && t + {AHEAD} < 2 * T)")
        self.put(f"        ahead(x + (t + {AHEAD} - T) * XS + n0 + len, len * (i64)sizeof(real));")
        self.put("      real* __restrict yt = stream ? y_b : y + t * N + n0;")
        for k in range(len(self.saved)):
            self.put(f"      real* __restrict k{k}t = stream ? k{k}_b : kept{k} + t * N + n0;")
        self.put("      #pragma omp simd", "      for (i64 i = 0; i < len; i++) {")
        self.body(ops, targets, "s{}_b")
        self.put(f"        yt[i] = {_atom(graph.y)};")
        self.put(*(f"        k{k}t[i] = {name};" for k, name in enumerate(self.saved)))
        self.put(*(f"        s{k}_b[i] = {_atom(graph.new_states[k])};" for k in states), "      }")
        self.put("      if (stream) {", "        flush(y + t * N + n0, y_b, len * (i64)sizeof(real));")
        bytes_ = "len * (i64)sizeof(real)"
        self.put(*(f"        flush(kept{k} + t * N + n0, k{k}_b, {bytes_});" for k in range(len(self.saved))))
        self.put("      }", "    }")
        self.put(*(f"    if (last{k}) leave(last{k} + n0, s{k}_b, len * (i64)sizeof(real), stream);" for k in states))
        self.put("    if (stream) fence();", "  }", "  return 0;", "}")

    # ----------------------------------------------------------------------------------------------- backward

    def advance(self) -> None:
        """One step of the states, from row t - t0 of the history to the next."""
        graph = self.graph
        ops = graph.advance
        self.put("      const real* __restrict xt = x + t * XS + n0; (void)xt;")
        self.put(f"      if (t + {AHEAD} < T) ahead(xt + {AHEAD} * XS, len * (i64)sizeof(real));")
        for k in range(len(graph.states)):
            self.put(f"      const real* __restrict h{k} = hist + ({k} * (K + 1) + t - t0) * {TILE}; (void)h{k};")
            self.put(f"      real* __restrict h{k}n = hist + ({k} * (K + 1) + t - t0 + 1) * {TILE};")
        self.put("      #pragma omp simd", "      for (i64 i = 0; i < len; i++) {")
        self.body(ops, graph.new_states, "h{}")
        self.put(*(f"        h{k}n[i] = {_atom(new)};" for k, new in enumerate(graph.new_states)), "      } }")

    def backward(self) -> None:
        graph = self.graph
        targets = graph.backward_targets()
        late = graph.needed(targets, self.saved)
        # a flag of its own: states that are only moved need no operation, and are repeated all the same
        repeats = self.mode == "recompute"
        again = graph.advance if repeats else ()
        more = (*targets, *(graph.new_states if repeats else ()))
        names, _ = _uses((*late, *again), more)
        states, count = range(len(graph.states)), len(graph.states)
        scalar = [k for k, root in enumerate(graph.roots) if not root.per_neuron]
        wide = [k for k, root in enumerate(graph.roots) if root.per_neuron]
        self.opening("snn4_backward", backward_slots(graph, self.mode), (*late, *again), more)
        # room: states at the start of each segment of K steps, and within one segment
        room = f"(size_t){TILE} * {count} * (size_t)(S + K + 1)" if repeats else "1"
        self.put(
            "  const i64 S = (T + K - 1) / K; (void)S;",
            f"  const i64 units = per * G, scalars = units * {len(scalar)};  (void)scalars;",
            "  int failed = 0;",
            "  #pragma omp parallel num_threads((int)threads) if(threads > 1)",
            "  {",
            f"  real* const room = (real*)std::aligned_alloc(64, (({room}) * sizeof(real) + 63) / 64 * 64);",
            f"  real* const hist = room; real* const mark = room + (size_t){TILE} * {count} * (size_t)(K + 1);"
            " (void)hist; (void)mark;",
            "  if (!room) {",
            "    #pragma omp atomic write",
            "    failed = 1;",
            "  }",
            "  #pragma omp for schedule(static)",
            "  for (i64 u = 0; u < units; u++) {",
            "    if (!room) continue;",
            f"    const i64 j0 = (u % per) * {TILE}, group = u / per;",
            f"   {self.rows(names)}",
        )
        for k in range(len(graph.roots)):
            self.put(f"    alignas(64) double r{k}_b[{TILE}]; std::memset(r{k}_b, 0, sizeof(r{k}_b));")
        self.put(
            "    for (i64 p = group * periods / G; p < (group + 1) * periods / G; p++) {",
            "    const i64 n0 = p * P + j0;",
            f"    const i64 len = std::min<i64>(std::min<i64>({TILE}, P - j0), N - n0);",
            "    if (len <= 0) continue;",
            f"    alignas(64) real gx_b[{TILE}];",
        )
        for k in states:
            self.put(
                f"    alignas(64) real g{k}_b[{TILE}];",
                f"    if (glast{k}) std::memcpy(g{k}_b, glast{k} + n0, sizeof(real) * (size_t)len);"
                f" else std::memset(g{k}_b, 0, sizeof(g{k}_b));",
            )
        if repeats:
            for k in states:
                self.put(f"    start<real>(mark + {k} * S * {TILE}, first{k}, step{k}, n0, len);")
            self.put("    for (i64 s = 0; s + 1 < S; s++) { const i64 t0 = s * K;")
            self.copy_rows(f"hist + {{k}} * (K + 1) * {TILE}", f"mark + ({{k}} * S + s) * {TILE}")
            self.put("     for (i64 t = t0; t < t0 + K; t++) {")
            self.advance()
            self.copy_rows(f"mark + ({{k}} * S + s + 1) * {TILE}", f"hist + ({{k}} * (K + 1) + K) * {TILE}")
            self.put("    }", "    for (i64 s = S - 1; s >= 0; s--) {")
            self.put("    const i64 t0 = s * K, t1 = std::min<i64>(T, t0 + K);")
            self.copy_rows(f"hist + {{k}} * (K + 1) * {TILE}", f"mark + ({{k}} * S + s) * {TILE}")
            self.put("     for (i64 t = t0; t + 1 < t1; t++) {")
            self.advance()
        else:
            self.put("    { const i64 t0 = 0, t1 = T;")
        self.put(
            "    for (i64 t = t1 - 1; t >= t0; t--) {",
            "      const real* __restrict xt = x + t * XS + n0; (void)xt;",
            "      const real* __restrict gt = gy + t * N + n0;",
            "      real* __restrict gxt = (stream || !gx) ? gx_b : gx + t * N + n0;",
            f"      if (t >= {AHEAD}) ahead(gt - {AHEAD} * N, len * (i64)sizeof(real));",
            f"      else if (t + T >= {AHEAD}) ahead(gy + (t + T - {AHEAD}) * N + n0 + len, len * (i64)sizeof(real));",
        )
        if repeats:
            self.put(f"      if (t < {AHEAD} && t < T) ahead(x + t * XS + n0 + len, len * (i64)sizeof(real));")
        if repeats:
            for k in states:
                self.put(f"      const real* __restrict h{k} = hist + ({k} * (K + 1) + t - t0) * {TILE}; (void)h{k};")
        for k in range(len(self.saved)):
            self.put(f"      const real* __restrict keep{k} = kept{k} + t * N + n0;")
            self.put(f"      if (t >= {AHEAD}) ahead(keep{k} - {AHEAD} * N, len * (i64)sizeof(real));")
            self.put(f"      else if (t + T >= {AHEAD})")
            self.put(f"        ahead(kept{k} + (t + T - {AHEAD}) * N + n0 + len, len * (i64)sizeof(real));")
        self.put("      #pragma omp simd", "      for (i64 i = 0; i < len; i++) {")
        self.hidden = frozenset(self.saved)
        self.body(late, targets, "h{}", grads=True)
        self.hidden = frozenset()
        self.put(f"        gxt[i] = {_atom(graph.grad_x)};")
        self.put(*(f"        r{k}_b[i] += (double){_atom(root.value)};" for k, root in enumerate(graph.roots)))
        self.put(*(f"        g{k}_b[i] = {_atom(grad)};" for k, grad in enumerate(graph.grad_states)), "      }")
        self.put("      if (stream && gx) flush(gx + t * N + n0, gx_b, len * (i64)sizeof(real));", "    }", "    }")
        for k in states:
            self.put(f"    if (gfirst{k}) leave(gfirst{k} + n0, g{k}_b, len * (i64)sizeof(real), stream);")
        self.put("    }")
        for place, k in enumerate(scalar):
            self.put(f"    {{ double sum = 0; for (i64 i = 0; i < {TILE}; i++) sum += r{k}_b[i];")
            self.put(f"      partial[{place} * units + u] = sum; }}")
        for place, k in enumerate(wide):
            self.put(f"    {{ double* q = partial + scalars + (group * {len(wide)} + {place}) * P + j0;")
            self.put(f"      std::memcpy(q, r{k}_b, sizeof(double) * (size_t)std::min<i64>({TILE}, P - j0)); }}")
        self.put("    if (stream) fence();", "  }", "  std::free(room);", "  }", "  if (failed) return 1;")
        # always in the same order, however many threads have made the parts
        for place, _ in enumerate(scalar):
            self.put(f"  {{ double sum = 0; for (i64 u = 0; u < units; u++) sum += partial[{place} * units + u];")
            self.put(f"    sums[{place}] = sum; }}")
        for place, _ in enumerate(wide):
            self.put(f"  {{ double* q = sums + {len(scalar)} + {place} * P;")
            self.put("    for (i64 g = 0; g < G; g++) {")
            self.put(f"      const double* r = partial + scalars + (g * {len(wide)} + {place}) * P;")
            self.put("      for (i64 j = 0; j < P; j++) q[j] = g ? q[j] + r[j] : r[j]; } }")
        self.put("  return 0;", "}")

    def copy_rows(self, to: str, source: str) -> None:
        for k in range(len(self.graph.states)):
            self.put(f"     std::memcpy({to.format(k=k)}, {source.format(k=k)}, sizeof(real) * (size_t)len);")


def print_cpp(graph: StepGraph, mode: Mode, real: Literal["float", "double"]) -> str:
    """The C++ of a step's kernels, forward and backward."""
    printer = _Printer(graph, mode, real)
    printer.put(PRELUDE, f"typedef {real} real;", "")
    printer.forward()
    printer.put("")
    printer.backward()
    return "\n".join(printer.lines) + "\n"
