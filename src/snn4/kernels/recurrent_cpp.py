"""Print the steps of a recurrent layer as C++: the neuron's own `StepGraph` around a product with recurrent weights.

    current[t] = x[t] + (W s[t-1] + b);      s[t], state = step(current[t], state)

A tile of samples goes through all steps, so that its states stay in the first cache. The product adds the columns of W
whose neurons gave something, and goes through all of them where most did; both add in the same order, to the same bits.
The backward pass goes through a tile segment by segment, from the last. It makes the currents and states of a segment
again from what neurons gave and from the states before it ("recompute"), or reads what the forward pass has kept
("save"); then dL/ds[t-1] = W^T dL/dcurrent[t], dense, on several samples at once.

Neurons of several kinds may stand side by side. In the kernel's own rows each kind begins at a full vector, and behind
its last neuron there is nothing; `rows` and `back` are W^T and W in that order.

All functions take one array of 64-bit integers, sizes and addresses, in the order of `slots`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from snn4.kernels.expression import atom, expression
from snn4.kernels.graph import Arg, Number, Op, StepGraph
from snn4.kernels.prelude import PRELUDE
from snn4.kernels.recurrent_text import DRIVER, PRODUCT

__all__ = ["most", "print_recurrent", "slots"]

_SIZES = ("T", "B", "N", "NP", "S", "K", "G", "XS", "skip", "dense", "keep", "threads")
_ARRAYS = ("x", "y", "start", "rows", "bias", "gy", "gx", "back", "gstart", "kept", "parts")
_OTHERS = ("numbers", "sums", "counts")
_FIELDS = ("first", "last", "mark", "glast", "gfirst")


def most(graphs: Sequence[StepGraph]) -> tuple[int, int, int]:
    """Rows of a sample: state fields, values that a derivative starts from, and sums; of the kind that has most."""
    return (
        max(len(g.states) for g in graphs),
        max(len(g.saved()) for g in graphs),
        max(len(g.roots) for g in graphs),
    )


def slots(graphs: Sequence[StepGraph]) -> tuple[str, ...]:
    """What the functions read from their array, in order."""
    fields, _, _ = most(graphs)
    return (
        *_SIZES,
        *_ARRAYS,
        *_OTHERS,
        *(f"{name}{k}" for name in _FIELDS for k in range(fields)),
        *(f"{name}{m}" for m in range(len(graphs)) for name in ("n", "w")),
        *(f"m{m}_{p.name}" for m, graph in enumerate(graphs) for p in graph.parameters),
    )


def _used(ops: Iterable[Op], more: Iterable[Arg]) -> tuple[set[str], list[int]]:
    """The names and numbers that a loop body reads."""
    args = [*(a for op in ops for a in op.args), *more]
    return {a for a in args if isinstance(a, str)}, sorted({a.index for a in args if isinstance(a, Number)})


class _Printer:
    def __init__(self, graphs: Sequence[StepGraph]) -> None:
        self.graphs = graphs
        self.lines: list[str] = []

    def put(self, *lines: str) -> None:
        self.lines.extend(lines)

    def environment(self) -> None:
        """Sizes, addresses and numbers, read once."""
        fields, values, sums = most(self.graphs)
        names = slots(self.graphs)
        numbers = [(m, k) for m, graph in enumerate(self.graphs) for k in range(len(graph.numbers))]
        self.put(f"enum : i64 {{ FIELDS = {fields}, VALUES = {values}, SUMS = {sums}, KINDS = {len(self.graphs)} }};")
        self.put("struct Env {", f"  i64 {', '.join(_SIZES)};", f"  real {', '.join(f'*{n}' for n in _ARRAYS)};")
        self.put("  const double *numbers; double *sums; i64 *counts;")
        self.put(*(f"  real *{name}[FIELDS + 1];" for name in _FIELDS))
        # what a kind has; where it begins among all neurons, and in a row of ours
        self.put("  i64 n[KINDS], w[KINDS], from[KINDS], at[KINDS];")
        self.put(*(f"  real m{m}_c{k};" for m, k in numbers))
        self.put(*(f"  const real *m{m}_{p.name};" for m, g in enumerate(self.graphs) for p in g.parameters), "};")
        self.put("static Env environment(const i64* a) {", "  Env e;")
        for place, name in enumerate(names):
            field = next((f for f in _FIELDS if name.startswith(f) and name[len(f) :].isdecimal()), None)
            if name in _SIZES:
                self.put(f"  e.{name} = a[{place}];")
            elif field is not None:
                self.put(f"  e.{field}[{name[len(field) :]}] = (real*)a[{place}];")
            elif name[0] in "nw" and name[1:].isdecimal():
                self.put(f"  e.{name[0]}[{name[1:]}] = a[{place}];")
            else:
                kind = {"numbers": "const double*", "sums": "double*", "counts": "i64*"}.get(name, "real*")
                self.put(f"  e.{name} = ({kind})a[{place}];")
        self.put(*(f"  e.m{m}_c{k} = (real)e.numbers[{place}];" for place, (m, k) in enumerate(numbers)))
        self.put("  i64 from = 0, at = 0;")
        self.put("  for (i64 m = 0; m < KINDS; m++) { e.from[m] = from; e.at[m] = at; from += e.n[m]; at += e.w[m]; }")
        self.put("  return e;", "}")

    def given(self, kind: int, ops: Sequence[Op], more: Sequence[Arg]) -> list[str]:
        """Numbers and parameters of a kind as a loop body names them; the lines that load a neuron's own."""
        names, numbers = _used(ops, more)
        loads: list[str] = []
        self.put(*(f"  const real c{k} = e.m{kind}_c{k};" for k in numbers))
        for p in self.graphs[kind].parameters:
            if p.name not in names:
                continue
            if p.per_neuron:
                self.put(f"  const real* const __restrict {p.name}_row = e.m{kind}_{p.name};")
                loads.append(f"const real {p.name} = {p.name}_row[i];")
            else:
                self.put(f"  const real {p.name} = *e.m{kind}_{p.name};")
        return loads

    def loop(self, lines: Iterable[str]) -> None:
        self.put("  #pragma omp simd", "  for (i64 i = 0; i < n; i++) {", f"    {' '.join(lines)}", "  }")

    def forward(self, kind: int) -> None:
        """One step of a sample's neurons of one kind."""
        graph = self.graphs[kind]
        cut = graph.saved()
        self.put(
            "template <bool KEEP>",
            f"static inline void forward{kind}(const Env& e, const real* const cur, real* const state, real* const ys,",
            "                            real* const keep, const i64 apart) {",
            f"  const i64 n = e.w[{kind}], at = e.at[{kind}]; (void)keep; (void)apart; (void)state;",
            "  const real* const __restrict xr = cur + at; (void)xr;",
            "  real* const __restrict yr = ys + at;",
        )
        self.put(*(f"  real* const __restrict b{k} = state + {k} * e.NP + at;" for k in range(len(graph.states))))
        ops = graph.needed((graph.y, *graph.new_states, *cut))
        targets = (graph.y, *graph.new_states, *cut)
        loads = self.given(kind, ops, targets)
        loads += [f"const real {graph.x} = xr[i]; (void){graph.x};"]
        loads += [f"const real {name} = b{k}[i]; (void){name};" for k, name in enumerate(graph.states)]
        body = [*loads, *(f"const real {op.out} = {expression(op)}; (void){op.out};" for op in ops)]
        # all new values are there before the first row is written
        body += [f"yr[i] = {atom(graph.y)};", *(f"b{k}[i] = {atom(new)};" for k, new in enumerate(graph.new_states))]
        self.put("  if constexpr (KEEP) {")
        self.put(*(f"  real* const __restrict k{k} = keep + {k} * apart + at;" for k in range(len(cut))))
        self.loop([*body, *(f"k{k}[i] = {atom(value)};" for k, value in enumerate(cut))])
        self.put("  } else {")
        self.loop(body)
        self.put("  }", "}")

    def backward(self, kind: int) -> None:
        """The derivative of one step of a sample's neurons of one kind."""
        graph = self.graphs[kind]
        cut, targets = graph.saved(), graph.backward_targets()
        ops = graph.needed(targets, cut)
        self.put(
            f"static inline void backward{kind}(const Env& e, const real* const keep, const i64 apart, "
            "const real* const gys,",
            "                             real* const grads, real* const gxs, real* const sums) {",
            f"  const i64 n = e.w[{kind}], at = e.at[{kind}]; (void)keep; (void)apart; (void)grads; (void)sums;",
            "  const real* const __restrict gyr = gys + at; (void)gyr;",
            "  real* const __restrict gxr = gxs + at;",
        )
        self.put(*(f"  const real* const __restrict k{k} = keep + {k} * apart + at;" for k in range(len(cut))))
        self.put(*(f"  real* const __restrict b{k} = grads + {k} * e.NP + at;" for k in range(len(graph.states))))
        self.put(*(f"  real* const __restrict q{k} = sums + {k} * e.NP + at;" for k in range(len(graph.roots))))
        loads = self.given(kind, ops, targets)
        known = {graph.grads[0]: "gyr[i]", **{name: f"k{k}[i]" for k, name in enumerate(cut)}}
        known.update((name, f"b{k}[i]") for k, name in enumerate(graph.grads[1:]))
        loads += [f"const real {name} = {source}; (void){name};" for name, source in known.items()]
        body = [*loads, *(f"const real {op.out} = {expression(op)}; (void){op.out};" for op in ops)]
        body += [f"gxr[i] = {atom(graph.grad_x)};"]
        body += [f"b{k}[i] = {atom(grad)};" for k, grad in enumerate(graph.grad_states)]
        body += [f"q{k}[i] += {atom(root.value)};" for k, root in enumerate(graph.roots)]
        self.loop(body)
        self.put("}")


def print_recurrent(graphs: Sequence[StepGraph], real: Literal["float", "double"]) -> str:
    """The C++ of a recurrent layer, forward and backward.

    Args:
        graphs: the step of each kind of neuron, in the order in which they stand side by side.
        real: the type of all numbers.
    """
    printer = _Printer(graphs)
    printer.put(PRELUDE, f"typedef {real} real;", PRODUCT)
    printer.environment()
    for kind in range(len(graphs)):
        printer.forward(kind)
        printer.backward(kind)
    kinds = range(len(graphs))
    steps = " ".join(f"forward{m}<KEEP>(e, cur, state, ys, keep, apart);" for m in kinds)
    backs = " ".join(f"backward{m}(e, keep, apart, gys, grads, gxs, sums);" for m in kinds)
    printer.put(
        "template <bool KEEP>",
        "static inline void step(const Env& e, const real* cur, real* state, real* ys, real* keep, i64 apart) {",
        f"  {steps}",
        "}",
        "static inline void derivative(const Env& e, const real* keep, i64 apart, const real* gys, real* grads,",
        "                              real* gxs, real* sums) {",
        f"  {backs}",
        "}",
        DRIVER,
    )
    return "\n".join(printer.lines) + "\n"
