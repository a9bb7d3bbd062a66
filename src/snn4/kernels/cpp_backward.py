"""Print the backward pass of a `StepGraph` as C++: tiles, segments of a tile, and the sums of parameters' gradients.

A step's derivative hands on one number per state, and adds to one sum per root. Two steps are derived in one pass over
a tile, so that half of these numbers touch no memory. What a segment repeats is kept for each step where the next
step reads its state anyway.

Sums are made in the type of arithmetic for a few steps, less than `EXACT` and a segment, and go on in float64. For what
is learned per neuron they go on from one period of neurons to the next, for what all share from tile to tile.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from snn4.kernels.cpp_pieces import AHEAD, Pieces, uses
from snn4.kernels.expression import atom, expression
from snn4.kernels.graph import Arg, Op
from snn4.kernels.slots import TILE, backward_slots

__all__ = ["SUMS", "Backward"]

# steps after which sums of contributions to a parameter's gradient go on in float64
EXACT = 32

SUMS = r"""
// what a tile has summed goes to the exact sums
static inline void flush(double* __restrict d, real* __restrict s, i64 n) {
  for (i64 i = 0; i < n; i++) d[i] += (double)s[i];
  std::memset(s, 0, sizeof(real) * (size_t)n);
}
// in one order, eight at a time
static inline double total(const double* s, i64 n) {
  double lane[8] = {};
  for (i64 b = 0; b < n / 8; b++) for (i64 l = 0; l < 8; l++) lane[l] += s[8 * b + l];
  for (i64 l = 0; l < n % 8; l++) lane[l] += s[n / 8 * 8 + l];
  return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}
"""


class Backward(Pieces):
    """Writes the backward function."""

    def backward(self) -> None:
        """The function, and the one that goes through a tile."""
        graph, cut, states = self.graph, self.cut, self.states
        again = self.mode == "recompute"
        targets = graph.backward_targets()
        late = graph.needed(targets, cut)
        repeated = (*graph.new_states, *cut) if again else ()
        slots = backward_slots(graph, self.mode)
        sums = "".join(f", double* const r{k}_b" for k in range(len(graph.roots)))
        self.put(
            "template <bool FAST>",
            "static i64 backward_tile(const i64* a, const i64 n0, const i64 j0, const i64 len, const i64 next,",
            f"                         i64 held, real* const room, real* const sum{sums}) {{",
        )
        self.opening(slots, (*late, *graph.needed(repeated)), (*targets, *repeated))
        self.put("  const i64 bytes = len * (i64)sizeof(real), S = (T + K - 1) / K; (void)j0; (void)next; (void)sum;")
        self.put(*(f"  real* const q{k}_b = sum + {k * TILE};" for k in range(len(graph.roots))))
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
        for k, name in enumerate(graph.states):
            if k in self.held:
                self.put(f"  real* const s{k}_b = room + {self.rows_of[name]} * TILE;")
            else:
                self.put(f"  alignas(64) real s{k}_b[TILE];")
        self.put(f"  real* const local = room + (K + 1) * {self.count} * TILE; (void)local;")
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
            self.put(f"      std::memcpy(local + (((t + 1) / K - 1) * {count} + {k}) * TILE, s{k}_b, (size_t)bytes);")
        self.put("    } }", "  }")

    @functools.cached_property
    def held(self) -> frozenset[int]:
        """The states of which the derivative needs every step: as they were before it or after it."""
        graph = self.graph
        return frozenset(k for k in self.states if {graph.states[k], graph.new_states[k]} & set(self.cut))

    @functools.cached_property
    def rows_of(self) -> dict[str, int]:
        """Rows that the derivative needs of every step, side by side: states, and what else it needs."""
        graph = self.graph
        others = (name for name in self.cut if name not in (*graph.states, *graph.new_states))
        return {name: row for row, name in enumerate((*(graph.states[k] for k in sorted(self.held)), *others))}

    @property
    def count(self) -> int:
        """How many these are."""
        return len(self.rows_of)

    def repeat(self, repeated: Sequence[Arg]) -> None:
        """The steps of a segment once more."""
        graph, count = self.graph, len(self.states)
        for k in self.states:
            self.put(f"    if (s == 0) start<real>(s{k}_b, first{k}, step{k}, n0, len);")
            self.put(f"    else if (mark{k}) std::memcpy(s{k}_b, mark{k} + (s - 1) * N + n0, (size_t)bytes);")
            self.put(f"    else std::memcpy(s{k}_b, local + ((s - 1) * {count} + {k}) * TILE, (size_t)bytes);")
        self.put("    for (i64 t = t0; t < t1; t++) {", "    const xreal* __restrict xt = x + t * XS + n0; (void)xt;")
        # of this segment an input, or the gradients that follow on them
        self.put(f"    if (t + {AHEAD} < t1) ahead(xt + {AHEAD} * XS, len);")
        self.put(f"    else if (2 * t1 - 1 - t - {AHEAD} >= t0) ahead(gy + (2 * t1 - 1 - t - {AHEAD}) * N + n0, len);")
        known = {graph.x: "wide(xt[i])"}
        stay: dict[str, Arg] = {}
        self.put(f"    real* const now = room + (t - t0) * {self.count * TILE}; (void)now;")
        for k, name in enumerate(graph.states):
            row = self.rows_of.get(name)
            here = f"now + {row * TILE}" if row is not None else f"s{k}_b"
            after = f"now + {(self.count + row) * TILE}" if row is not None else f"s{k}_b"
            self.put(f"    real* const was{k} = {here}, * const is{k} = {after};")
            known[name], stay[f"is{k}"] = f"was{k}[i]", graph.new_states[k]
        for name, row in self.rows_of.items():
            if name not in graph.states:
                self.put(f"    real* const keep{row} = now + {row * TILE};")
                stay[f"keep{row}"] = name
        self.loop(self.values(graph.needed(repeated), repeated, known), {}, stay)
        self.put("    }")

    def kept_row(self, name: str, back: int) -> str:
        """Where a value of `back` steps before step t lies."""
        graph = self.graph
        if self.mode == "save":
            return f"kept{self.cut.index(name)} + (t - {back}) * N + n0"
        # a state after a step lies where it is before the next one
        after = name not in self.rows_of
        row = self.rows_of[graph.states[graph.new_states.index(name)] if after else name]
        return f"now + {(row + (after - back) * self.count) * TILE}"

    def late(self, ops: Sequence[Op], targets: Sequence[Arg], steps: int) -> None:
        """Derivatives, `steps` of them in one pass over a tile: what is handed on in between touches no memory."""
        graph, cut = self.graph, self.cut
        self.put(f"    for (; t >= t0 + {steps - 1}; t -= {steps}) {{")
        if self.mode == "recompute":
            self.put(f"    const real* const now = room + (t - t0) * {self.count * TILE}; (void)now;")
        lines: list[str] = []
        out: dict[str, Arg] = {}
        grads: dict[str, Arg] = {f"g{k}": f"g{k}" for k in self.states}
        lines += [f"const real g{k} = g{k}_b[i];" for k in self.states]
        rows = {p.name: f"{p.name}_row[i]" for p in graph.parameters if p.per_neuron}
        names, _ = uses(ops, targets)
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
            own_names = {name: f"{name}_{back}" for name in (*known, *(op.out for op in ops))}
            new: dict[str, Arg] = {**own_names, **grads}

            def renamed(arg: Arg, new: Mapping[str, Arg] = new) -> Arg:
                return new.get(arg, arg) if isinstance(arg, str) else arg

            lines += [f"const real {own_names[name]} = {source};" for name, source in known.items()]
            for op in ops:
                one = replace(op, out=own_names[op.out], args=tuple(renamed(arg) for arg in op.args))
                lines.append(f"const real {one.out} = {expression(one)};")
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
        passed = "".join(f", r{k}{' + (j - j0)' if k in wide else ''}" for k in roots)
        now = "now" if wide else "held"
        # sums over all go on from tile to tile; those per neuron from period to period
        sum_at = f"sum + (j - j0) / W * {len(roots) * TILE}" if wide else "sum"
        rows = f"({self.count} * (K + 1) + {len(self.states)} * S) * TILE" if self.mode == "recompute" else "0"
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
            f"  const i64 used = {rows}, summed = {f'B * {len(roots)}' if wide else len(roots)} * TILE;",
            "  real* const room = (real*)std::aligned_alloc(64, (size_t)(used + summed + 16) * sizeof(real));",
            "  real* const sum = room + used;",
            "  if (!room) {",
            "    #pragma omp atomic write",
            "    failed = 1;",
            "  }",
            "  #pragma omp for schedule(static)",
            "  for (i64 u = 0; u < units; u++) {",
            "    if (!room) continue;",
            "    const i64 j0 = (u % per) * U, j1 = std::min<i64>(j0 + U, P), group = u / per;",
            "    std::memset(sum, 0, sizeof(real) * (size_t)summed);",
        )
        for place, k in enumerate(wide):
            self.put(f"    double* const r{k} = parts + (group * {len(wide)} + {place}) * P + j0;")
            self.put(f"    std::memset(r{k}, 0, sizeof(double) * (size_t)(j1 - j0));")
        for k in scalar:
            self.put(f"    alignas(64) double r{k}[TILE] = {{}};")
        self.put(
            "    const i64 p1 = (group + 1) * periods / G;",
            "    i64 held = 0;",
            "    for (i64 p = group * periods / G; p < p1; p++) {",
            *([] if not wide else ["      i64 now = held;"]),
            "      for (i64 j = j0; j < j1; j += W) {",
            "        const i64 n0 = p * P + j, len = std::min<i64>(std::min<i64>(W, P - j), N - n0);",
            "        if (len <= 0) continue;",
            "        const i64 next = j + W < j1 || p + 1 == p1 ? n0 + len : (p + 1) * P + j0;",
            "        const bool whole = fast && len % LANES == 0;",
            f"        {now} = (whole ? backward_tile<true> : backward_tile<false>)",
            f"          (a, n0, j, len, next, held, room, {sum_at}{passed});",
            "      }",
            *([] if not wide else ["      held = now;"]),
            "    }",
        )
        self.put("    for (i64 j = j0; j < j1; j += W) {")
        for k in roots:
            at = f"r{k} + (j - j0), {sum_at} + {k * TILE}, std::min<i64>(W, j1 - j)" if k in wide else ""
            self.put(f"      flush({at or f'r{k}, {sum_at} + {k * TILE}, TILE'});")
        self.put("    }")
        for place, k in enumerate(scalar):
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
                "    std::memcpy(q, parts + place * P + j0, sizeof(double) * (size_t)n);",
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
