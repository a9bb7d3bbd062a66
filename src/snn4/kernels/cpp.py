"""Print a `StepGraph` as C++: all steps of a layer in one pass over memory.

A tile of elements goes through all steps before the next tile starts, so that its state stays in the first cache. The
backward pass goes through a tile segment by segment, from the last: it repeats the steps of a segment from the state
before it ("recompute"), or reads what the forward pass has kept ("save"), and either way a step's derivative starts
from the fewest values that give it, a minimum cut. States before segments come from the forward pass ("marks"), or are
made first. T, the number of elements, the numbers of the neuron and its tensors are arguments; only the structure of a
step is compiled.

Inputs and their gradients (`takes`), outputs and theirs (`gives`), may travel in bfloat16 where arithmetic is float32:
they are widened where they are read, which is exact, and rounded once where they are written. States, parameters, sums
and whatever is kept between the two passes have all bits.

Both functions take one array of 64-bit integers, sizes and addresses, in the order of
`snn4.kernels.slots`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from snn4.kernels.expression import atom, expression
from snn4.kernels.graph import Arg, Number, Op, StepGraph
from snn4.kernels.prelude import PRELUDE
from snn4.kernels.slots import BLOCK, TILE, Mode, Travels, backward_slots, forward_slots

__all__ = ["print_cpp"]

# how many rows before it is needed one is asked for
AHEAD = 4

# what does not have the type of arithmetic
_TYPES = {"x": "xreal", "gx": "xreal", "gxt": "xreal", "y": "yreal", "gy": "yreal", "yt": "yreal"}
_INTEGERS = frozenset(("T", "N", "P", "XS", "W", "K", "B", "G", "stream", "threads", "numbers"))


def _narrow(row: str, value: Arg) -> str:
    """A value as a row in memory has it."""
    return f"Narrow<{_TYPES[row]}>::of({atom(value)})" if row in _TYPES else atom(value)


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
    def __init__(self, graph: StepGraph, mode: Mode) -> None:
        self.graph = graph
        self.mode: Mode = mode
        # what a step's derivative starts from
        self.cut = graph.saved()
        self.kept = range(len(self.cut) if mode == "save" else 0)
        self.states = range(len(graph.states))
        self.lines: list[str] = []

    def put(self, *lines: str) -> None:
        self.lines.extend(lines)

    # ------------------------------------------------------------------------------------------------- pieces

    def opening(self, slots: Sequence[str], ops: Iterable[Op], more: Iterable[Arg]) -> None:
        """Sizes, addresses, numbers and parameters from the array."""
        names, numbers = _uses(ops, more)
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
                kind = _TYPES.get(slot, "real")
                self.put(f"  {kind}* const {slot} = ({kind}*)a[{place}]; (void){slot};")
        for index in sorted(numbers):
            self.put(f"  const real c{index} = (real)((const double*)numbers)[{index}];")

    def values(self, ops: Sequence[Op], more: Sequence[Arg], known: dict[str, str]) -> list[str]:
        """The lines that compute one element, loading `known` values as they say."""
        names, _ = _uses(ops, more)
        rows = {p.name: f"{p.name}_row[i]" for p in self.graph.parameters if p.per_neuron}
        loads = [f"const real {name} = {source};" for name, source in {**known, **rows}.items() if name in names]
        return [*loads, *(f"const real {op.out} = {expression(op)};" for op in ops)]

    def loop(self, lines: Sequence[str], out: dict[str, Arg], stay: dict[str, Arg]) -> None:
        """Over a tile's elements: `out` goes to memory, streaming where that is fast, `stay` to rows in the cache."""
        kept = [f"{row}[i] = {atom(value)};" for row, value in stay.items()]
        inner = " ".join([*lines, *kept])
        if out:
            self.put("    if constexpr (FAST) {", "      for (i64 b = 0; b < len; b += LANES) {")
            self.put(*(f"        alignas(64) {_TYPES.get(row, 'real')} {row}_o[LANES];" for row in out))
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

    # ------------------------------------------------------------------------------------------------ forward

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

    # ----------------------------------------------------------------------------------------------- backward

    def backward(self) -> None:
        graph, cut, states = self.graph, self.cut, self.states
        again = self.mode == "recompute"
        count, values = len(states), len(cut)
        targets = graph.backward_targets()
        late = graph.needed(targets, cut)
        repeated = (*graph.new_states, *cut) if again else ()
        early = graph.needed(repeated)
        slots = backward_slots(graph, self.mode)
        sums = "".join(f", double* __restrict r{k}_b" for k in range(len(graph.roots)))
        self.put(
            "template <bool FAST>",
            "static void backward_tile(const i64* a, const i64 n0, const i64 j0, const i64 len, const i64 next,",
        )
        self.put(f"                          real* const room{sums}) {{")
        self.opening(slots, (*late, *early), (*targets, *repeated))
        self.put(
            "  const i64 bytes = len * (i64)sizeof(real), S = (T + K - 1) / K; (void)j0; (void)next;",
            f"  real* const hist = room; real* const local = room + TILE * {values} * K; (void)hist; (void)local;",
        )
        for k in states:
            self.put(
                f"  alignas(64) real g{k}_b[TILE];",
                f"  if (glast{k}) std::memcpy(g{k}_b, glast{k} + n0, (size_t)bytes);",
                f"  else std::memset(g{k}_b, 0, sizeof(g{k}_b));",
            )
            if again:
                self.put(f"  alignas(64) real s{k}_b[TILE];")
        for k in range(len(graph.roots)):
            self.put(f"  alignas(64) real q{k}_b[TILE];")
        if again:
            marks = " && ".join(f"mark{k}" for k in states) or "true"
            self.put(f"  if (S > 1 && !({marks})) {{")
            self.put(*(f"    start<real>(s{k}_b, first{k}, step{k}, n0, len);" for k in states))
            self.put(
                "    for (i64 t = 0; t < (S - 1) * K; t++) {",
                "    const xreal* __restrict xt = x + t * XS + n0; (void)xt;",
            )
            self.put(f"    if (t + {AHEAD} < T) ahead(xt + {AHEAD} * XS, len);")
            self.advance(graph.advance, graph.new_states, {})
            self.put("    if ((t + 1) % K == 0) {")
            self.put(
                *(
                    f"      std::memcpy(local + (((t + 1) / K - 1) * {count} + {k}) * TILE, s{k}_b, (size_t)bytes);"
                    for k in states
                )
            )
            self.put("    } }", "  }")
        self.put(
            "  for (i64 s = S - 1; s >= 0; s--) {", "    const i64 t0 = s * K, t1 = std::min<i64>(T, t0 + K); (void)t0;"
        )
        if again:
            for k in states:
                self.put(f"    if (s == 0) start<real>(s{k}_b, first{k}, step{k}, n0, len);")
                self.put(f"    else if (mark{k}) std::memcpy(s{k}_b, mark{k} + (s - 1) * N + n0, (size_t)bytes);")
                self.put(f"    else std::memcpy(s{k}_b, local + ((s - 1) * {count} + {k}) * TILE, (size_t)bytes);")
            self.put(
                "    for (i64 t = t0; t < t1; t++) {", "    const xreal* __restrict xt = x + t * XS + n0; (void)xt;"
            )
            # of this segment an input, or the gradients that follow on them
            self.put(f"    if (t + {AHEAD} < t1) ahead(xt + {AHEAD} * XS, len);")
            self.put(
                f"    else if (2 * t1 - 1 - t - {AHEAD} >= t0) ahead(gy + (2 * t1 - 1 - t - {AHEAD}) * N + n0, len);"
            )
            self.put(*(f"    real* __restrict keep{k} = hist + ({k} * K + t - t0) * TILE;" for k in range(values)))
            self.advance(early, repeated, {f"keep{k}": cut[k] for k in range(values)})
            self.put("    }")
        for k in range(len(graph.roots)):
            self.put(f"    std::memset(q{k}_b, 0, sizeof(q{k}_b));")
        self.put(
            "    for (i64 t = t1 - 1; t >= t0; t--) {",
            "    const yreal* __restrict gt = gy + t * N + n0;",
            "    xreal* __restrict gxt = gx + t * N + n0; (void)gxt;",
        )
        for k in range(values):
            if again:
                self.put(f"    const real* __restrict keep{k} = hist + ({k} * K + t - t0) * TILE;")
            else:
                self.put(f"    const real* __restrict keep{k} = kept{k} + t * N + n0;")
                self.put(f"    if (t >= {AHEAD}) ahead(keep{k} - {AHEAD} * N, len);")
                self.put(f"    else if (t + T >= {AHEAD}) ahead(kept{k} + (t + T - {AHEAD}) * N + next, len);")
        if again:
            # a gradient, or an input of the next segment, of this tile or the next
            self.put(f"    if (t - {AHEAD} >= t0) ahead(gt - {AHEAD} * N, len);")
            self.put(f"    else {{ const i64 ts = (s ? t0 - K : (S - 1) * K) + {AHEAD} - 1 - (t - t0);")
            self.put("      if (ts < T) ahead(x + ts * XS + (s ? n0 : next), len); }")
        else:
            self.put(f"    if (t >= {AHEAD}) ahead(gt - {AHEAD} * N, len);")
            self.put(f"    else if (t + T >= {AHEAD}) ahead(gy + (t + T - {AHEAD}) * N + next, len);")
        known = {"gy": "wide(gt[i])", **{f"g{k}": f"g{k}_b[i]" for k in states}}
        known.update((name, f"keep{k}[i]") for k, name in enumerate(cut))
        stay: dict[str, Arg] = {f"g{k}_b": grad for k, grad in enumerate(graph.grad_states)}
        lines = self.values(late, targets, known)
        lines += [f"q{k}_b[i] += {atom(root.value)};" for k, root in enumerate(graph.roots)]
        self.put("    if (gx) {")
        self.loop(lines, {"gxt": graph.grad_x}, stay)
        self.put("    } else {")
        self.loop(lines, {}, stay)
        self.put("    } }")
        for k in range(len(graph.roots)):
            self.put(f"    for (i64 i = 0; i < len; i++) r{k}_b[i] += (double)q{k}_b[i];")
        self.put("  }", *(f"  if (gfirst{k}) leave(gfirst{k} + n0, g{k}_b, bytes, FAST);" for k in states), "}", "")
        self.backward_head(slots, f"TILE * ({values} * K + {count} * S)" if again else "1")

    def advance(self, ops: Sequence[Op], targets: Sequence[Arg], more: dict[str, Arg]) -> None:
        """One step of a tile's states, and what is noted beside."""
        graph = self.graph
        known = {graph.x: "wide(xt[i])", **{name: f"s{k}_b[i]" for k, name in enumerate(graph.states)}}
        self.loop(
            self.values(ops, targets, known), {}, {**{f"s{k}_b": new for k, new in enumerate(graph.new_states)}, **more}
        )

    def backward_head(self, slots: Sequence[str], room: str) -> None:
        """The function that hands out tiles and adds up their sums.

        A unit of work is up to B neighbouring tiles in a group of periods, so that memory is read in longer runs.
        """
        graph = self.graph
        scalar = [k for k, root in enumerate(graph.roots) if not root.per_neuron]
        wide = [k for k, root in enumerate(graph.roots) if root.per_neuron]
        passed = "".join(f", r{k}_b + (j - j0)" for k in range(len(graph.roots)))
        self.put('extern "C" int snn4_backward(const i64* a) {', "  const i64 j0 = 0; (void)j0;")
        self.opening(slots, (), ())
        self.put(
            "  const i64 U = B * W, per = (P + U - 1) / U, periods = (N + P - 1) / P, S = (T + K - 1) / K; (void)S;",
            f"  const i64 units = per * G, scalars = units * {len(scalar)}; (void)scalars;",
            "  const bool fast = stream && gx && N % LANES == 0 && P % LANES == 0 && aligned(gx);",
            "  int failed = 0;",
            "  #pragma omp parallel num_threads((int)threads) if(threads > 1)",
            "  {",
            f"  real* const room = (real*)std::aligned_alloc(64, ((size_t)({room}) * sizeof(real) + 63) / 64 * 64);",
            "  if (!room) {",
            "    #pragma omp atomic write",
            "    failed = 1;",
            "  }",
            "  #pragma omp for schedule(static)",
            "  for (i64 u = 0; u < units; u++) {",
            "    if (!room) continue;",
            "    const i64 j0 = (u % per) * U, j1 = std::min<i64>(j0 + U, P), group = u / per;",
        )
        for k in range(len(graph.roots)):
            self.put(
                f"    alignas(64) double r{k}_b[BLOCK * TILE];",
                f"    std::memset(r{k}_b, 0, sizeof(double) * (size_t)(j1 - j0));",
            )
        self.put(
            "    const i64 p1 = (group + 1) * periods / G;",
            "    for (i64 p = group * periods / G; p < p1; p++) for (i64 j = j0; j < j1; j += W) {",
            "      const i64 n0 = p * P + j, len = std::min<i64>(std::min<i64>(W, P - j), N - n0);",
            "      if (len <= 0) continue;",
            "      const i64 next = j + W < j1 || p + 1 == p1 ? n0 + len : (p + 1) * P + j0;",
            f"      if (fast && len % LANES == 0) backward_tile<true>(a, n0, j, len, next, room{passed});",
            f"      else backward_tile<false>(a, n0, j, len, next, room{passed});",
            "    }",
        )
        for place, k in enumerate(scalar):
            self.put(f"    {{ double sum = 0; for (i64 i = 0; i < j1 - j0; i++) sum += r{k}_b[i];")
            self.put(f"      partial[{place} * units + u] = sum; }}")
        for place, k in enumerate(wide):
            self.put(f"    std::memcpy(partial + scalars + (group * {len(wide)} + {place}) * P + j0, r{k}_b,")
            self.put("                sizeof(double) * (size_t)(j1 - j0));")
        self.put("  }", "  fence();", "  std::free(room);", "  }", "  if (failed) return 1;")
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
        f"enum : i64 {{ TILE = {TILE}, BLOCK = {BLOCK}, LANES = 64 / FEWEST }};",
        "",
    )
    printer.forward()
    printer.put("")
    printer.backward()
    return "\n".join(printer.lines) + "\n"
