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
from dataclasses import replace
from typing import Literal

from snn4.kernels.expression import atom, expression
from snn4.kernels.graph import Arg, Number, Op, StepGraph
from snn4.kernels.prelude import PRELUDE
from snn4.kernels.slots import TILE, Mode, Travels, backward_slots, forward_slots

__all__ = ["print_cpp"]

# how many rows before it is needed one is asked for
AHEAD = 4
# steps after which sums of contributions to a parameter's gradient go on in float64
EXACT = 32

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


_SUMS = r"""
// what a tile has summed goes to the exact sums
static inline void flush(double* __restrict d, real* __restrict s, i64 n) {
  for (i64 i = 0; i < n; i++) d[i] += (double)s[i];
  std::memset(s, 0, sizeof(real) * (size_t)n);
}
// in one order, eight at a time
static inline double total(const double* s, i64 n) {
  double lane[8] = {};
  i64 i = 0;
  for (; i + 8 <= n; i += 8) for (i64 l = 0; l < 8; l++) lane[l] += s[i + l];
  for (; i < n; i++) lane[0] += s[i];
  return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}
"""


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
                kind = _type(slot)
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
        targets = graph.backward_targets()
        late = graph.needed(targets, cut)
        repeated = (*graph.new_states, *cut) if again else ()
        slots = backward_slots(graph, self.mode)
        sums = "".join(f", real* const q{k}_b, double* const r{k}_b" for k in range(len(graph.roots)))
        self.put(
            "template <bool FAST>",
            "static i64 backward_tile(const i64* a, const i64 n0, const i64 j0, const i64 len, const i64 next,",
            f"                         i64 held, real* const room{sums}) {{",
        )
        self.opening(slots, (*late, *graph.needed(repeated)), (*targets, *repeated))
        self.put("  const i64 bytes = len * (i64)sizeof(real), S = (T + K - 1) / K; (void)j0; (void)next;")
        self.put("  alignas(64) xreal spare[TILE];")
        for k in states:
            self.put(
                f"  alignas(64) real g{k}_b[TILE];",
                f"  if (glast{k}) std::memcpy(g{k}_b, glast{k} + n0, (size_t)bytes);",
                f"  else std::memset(g{k}_b, 0, (size_t)bytes);",
            )
        if again:
            self.rows()
        self.put(
            "  for (i64 s = S - 1; s >= 0; s--) {", "    const i64 t0 = s * K, t1 = std::min<i64>(T, t0 + K); (void)t0;"
        )
        if again:
            self.repeat(repeated)
        self.put("    i64 t = t1 - 1;")
        for steps in (2, 1):
            self.late(late, targets, steps)
        if graph.roots:
            self.put(f"    held += t1 - t0; if (held >= {EXACT}) {{ held = 0;")
            self.put(*(f"      flush(r{k}_b, q{k}_b, len);" for k in range(len(graph.roots))), "    }")
        self.put("  }", *(f"  if (gfirst{k}) leave(gfirst{k} + n0, g{k}_b, bytes, FAST);" for k in states))
        self.put("  return held;", "}", "")
        self.backward_head(slots)

    def rows(self) -> None:
        """Memory for the steps of a segment, and the states before segments where nothing has kept them.

        A state that the derivative needs has a row for each step, from which the next step reads it.
        """
        graph, count = self.graph, len(self.states)
        for k in self.states:
            self.put(f"  real* const s{k}_b = room + {self.place(k)} * W;")
        self.put(f"  real* const hist = room + {self.place(count)} * W; (void)hist;")
        self.put(f"  real* const local = room + {self.place(count, whole=True)} * W; (void)local;")
        marks = " && ".join(f"mark{k}" for k in self.states) or "true"
        self.put(f"  if (S > 1 && !({marks})) {{")
        self.put(*(f"    start<real>(s{k}_b, first{k}, step{k}, n0, len);" for k in self.states))
        self.put(
            "    for (i64 t = 0; t < (S - 1) * K; t++) {",
            "    const xreal* __restrict xt = x + t * XS + n0; (void)xt;",
            f"    if (t + {AHEAD} < T) ahead(xt + {AHEAD} * XS, len);",
        )
        known = {graph.x: "wide(xt[i])", **{name: f"s{k}_b[i]" for k, name in enumerate(graph.states)}}
        self.loop(
            self.values(graph.advance, graph.new_states, known),
            {},
            {f"s{k}_b": new for k, new in enumerate(graph.new_states)},
        )
        self.put("    if ((t + 1) % K == 0) {")
        for k in self.states:
            self.put(f"      std::memcpy(local + (((t + 1) / K - 1) * {count} + {k}) * W, s{k}_b, (size_t)bytes);")
        self.put("    } }", "  }")

    def place(self, before: int, *, whole: bool = False) -> str:
        """Rows in front of a state's, or of what else a segment keeps, or behind all of it."""
        many = sum(k in self.held for k in range(before)), before
        return f"(K * {many[0] + (len(self.others) if whole else 0)} + {many[1]})"

    @property
    def held(self) -> frozenset[int]:
        """The states of which the derivative needs every step: as they were before it or after it."""
        graph = self.graph
        return frozenset(k for k in self.states if {graph.states[k], graph.new_states[k]} & set(self.cut))

    @property
    def others(self) -> tuple[str, ...]:
        """What else the derivative needs of every step."""
        graph = self.graph
        return tuple(name for name in self.cut if name not in (*graph.states, *graph.new_states))

    def repeat(self, repeated: Sequence[Arg]) -> None:
        """The steps of a segment once more."""
        graph, count = self.graph, len(self.states)
        for k in self.states:
            self.put(f"    if (s == 0) start<real>(s{k}_b, first{k}, step{k}, n0, len);")
            self.put(f"    else if (mark{k}) std::memcpy(s{k}_b, mark{k} + (s - 1) * N + n0, (size_t)bytes);")
            self.put(f"    else std::memcpy(s{k}_b, local + ((s - 1) * {count} + {k}) * W, (size_t)bytes);")
        self.put("    for (i64 t = t0; t < t1; t++) {", "    const xreal* __restrict xt = x + t * XS + n0; (void)xt;")
        # of this segment an input, or the gradients that follow on them
        self.put(f"    if (t + {AHEAD} < t1) ahead(xt + {AHEAD} * XS, len);")
        self.put(f"    else if (2 * t1 - 1 - t - {AHEAD} >= t0) ahead(gy + (2 * t1 - 1 - t - {AHEAD}) * N + n0, len);")
        known = {graph.x: "wide(xt[i])"}
        stay: dict[str, Arg] = {}
        for k, name in enumerate(graph.states):
            step = "(t - t0) * W" if k in self.held else "0"
            after = "W" if k in self.held else "0"
            self.put(f"    real* const h{k} = s{k}_b + {step}, * const n{k} = h{k} + {after};")
            known[name], stay[f"n{k}"] = f"h{k}[i]", graph.new_states[k]
        for k, name in enumerate(self.others):
            self.put(f"    real* const o{k} = hist + ({k} * K + t - t0) * W;")
            stay[f"o{k}"] = name
        self.loop(self.values(graph.needed(repeated), repeated, known), {}, stay)
        self.put("    }")

    def kept_row(self, name: str, back: int) -> str:
        """Where a value of `back` steps before step t lies."""
        graph, step = self.graph, f"(t - t0 - {back})"
        if self.mode == "save":
            return f"kept{self.cut.index(name)} + (t - {back}) * N + n0"
        if name in graph.states:
            return f"s{graph.states.index(name)}_b + {step} * W"
        if name in graph.new_states:
            return f"s{graph.new_states.index(name)}_b + ({step} + 1) * W"
        return f"hist + ({self.others.index(name)} * K + {step}) * W"

    def late(self, ops: Sequence[Op], targets: Sequence[Arg], steps: int) -> None:
        """Derivatives, `steps` of them in one pass over a tile: what is handed on in between touches no memory."""
        graph, cut = self.graph, self.cut
        self.put(f"    for (; t >= t0 + {steps - 1}; t -= {steps}) {{")
        lines: list[str] = []
        out: dict[str, Arg] = {}
        grads: dict[str, Arg] = {f"g{k}": f"g{k}" for k in self.states}
        lines += [f"const real g{k} = g{k}_b[i];" for k in self.states]
        rows = {p.name: f"{p.name}_row[i]" for p in graph.parameters if p.per_neuron}
        names, _ = _uses(ops, targets)
        lines += [f"const real {name} = {row};" for name, row in rows.items() if name in names]
        added: list[list[str]] = [[] for _ in graph.roots]
        for back in range(steps):
            self.put(
                f"    const yreal* __restrict gt{back} = gy + (t - {back}) * N + n0;",
                f"    xreal* __restrict gxt{back} = gx ? gx + (t - {back}) * N + n0 : spare;",
            )
            for k, name in enumerate(cut):
                self.put(f"    const real* __restrict keep{k}_{back} = {self.kept_row(name, back)};")
            self.ask_ahead(back)
            own = {"gy": f"wide(gt{back}[i])", **{name: f"keep{k}_{back}[i]" for k, name in enumerate(cut)}}
            known = {name: source for name, source in own.items() if name in names}
            new = {name: f"{name}_{back}" for name in (*known, *(op.out for op in ops))}
            new.update((name, value) for name, value in grads.items() if isinstance(value, str))
            numbers = {name: value for name, value in grads.items() if not isinstance(value, str)}

            def renamed(arg: Arg, new: dict[str, str] = new, numbers: dict[str, Arg] = numbers) -> Arg:
                return numbers.get(arg, new.get(arg, arg)) if isinstance(arg, str) else arg

            lines += [f"const real {new[name]} = {source};" for name, source in known.items()]
            for op in ops:
                args = tuple(map(renamed, op.args))
                lines.append(f"const real {new[op.out]} = {expression(replace(op, out=new[op.out], args=args))};")
            out[f"gxt{back}"] = renamed(graph.grad_x)
            for k, root in enumerate(graph.roots):
                added[k].append(atom(renamed(root.value)))
            grads = {f"g{k}": renamed(grad) for k, grad in enumerate(graph.grad_states)}
        lines += [f"q{k}_b[i] = {'(' * len(terms)}q{k}_b[i]{''.join(f' + {v})' for v in terms)};"
                  for k, terms in enumerate(added)]  # fmt: skip
        self.loop(lines, out, {f"g{k}_b": grads[f"g{k}"] for k in self.states})
        self.put("    }")

    def ask_ahead(self, back: int) -> None:
        """Prefetch a row for the steps after step t - `back`, or for the next segment or tile."""
        self.put(f"    {{ const i64 u = t - {back};")
        if self.mode == "save":
            for k in range(len(self.cut)):
                self.put(f"    if (u >= {AHEAD}) ahead(keep{k}_{back} - {AHEAD} * N, len);")
                self.put(f"    else if (u + T >= {AHEAD}) ahead(kept{k} + (u + T - {AHEAD}) * N + next, len);")
            self.put(f"    if (u >= {AHEAD}) ahead(gt{back} - {AHEAD} * N, len);")
            self.put(f"    else if (u + T >= {AHEAD}) ahead(gy + (u + T - {AHEAD}) * N + next, len); }}")
        else:
            self.put(f"    if (u - {AHEAD} >= t0) ahead(gt{back} - {AHEAD} * N, len);")
            self.put(f"    else {{ const i64 ts = (s ? t0 - K : (S - 1) * K) + {AHEAD} - 1 - (u - t0);")
            self.put("      if (ts < T) ahead(x + ts * XS + (s ? n0 : next), len); } }")

    def backward_head(self, slots: Sequence[str]) -> None:
        """The function that hands out tiles and adds up their sums.

        A unit of work is up to B neighbouring tiles in a group of periods, so that memory is read in longer runs.
        """
        graph, roots = self.graph, range(len(self.graph.roots))
        scalar = [k for k, root in enumerate(graph.roots) if not root.per_neuron]
        wide = [k for k, root in enumerate(graph.roots) if root.per_neuron]
        held = [f"q{k} + (j - j0), r{k}{' + (j - j0)' if k in wide else ''}" for k in roots]
        passed = "".join(f", {text}" for text in held)
        rows = f"{self.place(len(self.states), whole=True)} + {len(self.states)} * S" if self.mode == "recompute" else "0"
        self.put('extern "C" int snn4_backward(const i64* a) {', "  const i64 j0 = 0; (void)j0;")
        self.opening(slots, (), ())
        self.put(
            "  const i64 U = B * W, per = (P + U - 1) / U, periods = (N + P - 1) / P, S = (T + K - 1) / K; (void)S;",
            f"  const i64 units = per * G, scalars = units * {len(scalar)}; (void)scalars;",
            # the parts of one group are the sums
            f"  double* const parts = G > 1 ? partial + scalars : sums + {len(scalar)}; (void)parts;",
            "  const bool fast = stream && gx && N % LANES == 0 && P % LANES == 0 && aligned(gx);",
            "  int failed = 0;",
            "  #pragma omp parallel num_threads((int)threads) if(threads > 1)",
            "  {",
            f"  const i64 used = ({rows}) * W;",
            f"  real* const room = (real*)std::aligned_alloc(64, (size_t)(used + U * {len(roots)} + 16) * sizeof(real) / 64 * 64 + 64);",
            "  if (!room) {",
            "    #pragma omp atomic write",
            "    failed = 1;",
            "  }",
            "  #pragma omp for schedule(static)",
            "  for (i64 u = 0; u < units; u++) {",
            "    if (!room) continue;",
            "    const i64 j0 = (u % per) * U, j1 = std::min<i64>(j0 + U, P), group = u / per;",
            f"    std::memset(room + used, 0, sizeof(real) * (size_t)(U * {len(roots)}));",
        )
        for k in roots:
            self.put(f"    real* const q{k} = room + used + U * {k};")
        for place, k in enumerate(wide):
            self.put(f"    double* const r{k} = parts + (group * {len(wide)} + {place}) * P + j0;")
            self.put(f"    std::memset(r{k}, 0, sizeof(double) * (size_t)(j1 - j0));")
        for k in scalar:
            self.put(f"    alignas(64) double r{k}[TILE] = {{}};")
        self.put(
            "    const i64 p1 = (group + 1) * periods / G;",
            "    i64 held = 0;",
            "    for (i64 p = group * periods / G; p < p1; p++) {",
            "      i64 now = held;",
            "      for (i64 j = j0; j < j1; j += W) {",
            "        const i64 n0 = p * P + j, len = std::min<i64>(std::min<i64>(W, P - j), N - n0);",
            "        if (len <= 0) continue;",
            "        const i64 next = j + W < j1 || p + 1 == p1 ? n0 + len : (p + 1) * P + j0;",
            f"        if (fast && len % LANES == 0) now = backward_tile<true>(a, n0, j, len, next, held, room{passed});",
            f"        else now = backward_tile<false>(a, n0, j, len, next, held, room{passed});",
            "      }",
            "      held = now;",
            "    }",
        )
        self.put(*(f"    flush(r{k}, q{k}, j1 - j0);" for k in wide))
        for place, k in enumerate(scalar):
            self.put(f"    for (i64 j = 0; j < U; j += W) flush(r{k}, q{k} + j, W);")
            self.put(f"    partial[{place} * units + u] = total(r{k}, TILE);")
        self.put("  }", "  fence();", "  std::free(room);")
        # always in the same order, however many threads have made the parts
        if wide:
            self.put(
                "  if (G > 1) {",
                "  #pragma omp for schedule(static)",
                f"  for (i64 c = 0; c < (P + TILE - 1) / TILE * {len(wide)}; c++) {{",
                f"    const i64 place = c % {len(wide)}, j0 = c / {len(wide)} * TILE, n = std::min<i64>(TILE, P - j0);",
                f"    double* const q = sums + {len(scalar)} + place * P + j0;",
                f"    std::memcpy(q, parts + place * P + j0, sizeof(double) * (size_t)n);",
                "    for (i64 g = 1; g < G; g++) {",
                f"      const double* const r = parts + (g * {len(wide)} + place) * P + j0;",
                "      for (i64 j = 0; j < n; j++) q[j] += r[j];",
                "    }",
                "  }",
                "  }",
            )
        self.put("  }", "  if (failed) return 1;")
        for place, _ in enumerate(scalar):
            self.put(f"  sums[{place}] = total(partial + {place} * units, units);")
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
        f"enum : i64 {{ TILE = {TILE}, LANES = 64 / FEWEST }};",
        _SUMS if graph.roots else "",
    )
    printer.forward()
    printer.put("")
    printer.backward()
    return "\n".join(printer.lines) + "\n"
