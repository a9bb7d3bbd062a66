"""Print a `StepGraph` as Python for Numba: the kernels where there is no C++ compiler.

The same tiles, the same order of operations and therefore the same bits as the C++ printer. A function does the pieces
`lo` to `hi` of the work, so that threads of ours share them out; Numba's own threads would be a second pool beside
torch's. What it reads and writes are addresses and sizes in one array of 64-bit integers, in the order of `slots`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from snn4.kernels.graph import Arg, Constant, Number, Op, StepGraph

__all__ = ["NUMBA_TILE", "NumbaMode", "print_numba", "room_of", "slots"]

NumbaMode = Literal["recompute", "save"]
NUMBA_TILE = 256

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
_COMPARE = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "eq": "==", "ne": "!="}
_TEXT = {
    "neg": "(-{0})",
    "copy": "{0}",
    "where": "({1} if {0} != O else {2})",
    "sign": "((I if {0} > O else O) - (I if {0} < O else O))",
    "not": "(O if {0} != O else I)",
    "and": "(I if ({0} != O) & ({1} != O) else O)",
    "or": "(I if ({0} != O) | ({1} != O) else O)",
    "xor": "(I if ({0} != O) != ({1} != O) else O)",
}


def slots(graph: StepGraph, mode: NumbaMode, backward: bool) -> tuple[str, ...]:
    """What a function reads from its array, in order."""
    states = range(len(graph.states))
    kept = range(len(graph.saved()) if mode == "save" else 0)
    own = ("K", "G", "gy", "gx", "partial") if backward else ("y",)
    ends = ("glast", "gfirst") if backward else ("last",)
    return (
        *("T", "N", "P", "XS", "numbers", "x"),
        *own,
        *(f"{name}{k}" for name in ("first", "step", *ends) for k in states),
        *(f"kept{k}" for k in kept),
        *(p.name for p in graph.parameters),
    )


def room_of(graph: StepGraph, mode: NumbaMode, backward: bool, steps: int, segment: int, size: int) -> int:
    """Bytes of working memory that one thread needs: sums, then states and gradients of a tile."""
    count = len(graph.states)
    if not backward:
        return NUMBA_TILE * count * size
    again = segment + 1 + -(-steps // segment) if mode == "recompute" else 0
    return NUMBA_TILE * (8 * len(graph.roots) + size * count * (again + 1))


def _atom(arg: Arg) -> str:
    if isinstance(arg, Number):
        return f"c{arg.index}"
    if isinstance(arg, Constant):
        if arg.value != arg.value:
            return "real(np.nan)"
        if arg.value in (float("inf"), -float("inf")):
            return f"real({'-' * (arg.value < 0)}np.inf)"
        return f"real({arg.value!r})"
    return arg


def _expression(op: Op) -> str:
    a = [_atom(arg) for arg in op.args]
    if op.name in _INFIX:
        return f"({a[0]} {_INFIX[op.name]} {a[1]})"
    if op.name in _COMPARE:
        return f"(I if {a[0]} {_COMPARE[op.name]} {a[1]} else O)"
    if op.name in ("max", "min"):
        # as torch: NaN wins, from either side
        sign = "<" if op.name == "max" else ">"
        return f"({a[1]} if ({a[0]} {sign} {a[1]}) | ({a[1]} != {a[1]}) else {a[0]})"
    if op.name in _TEXT:
        return _TEXT[op.name].format(*a)
    return f"f_{op.name}({', '.join(a)})"


def _names(ops: Iterable[Op], more: Iterable[Arg]) -> tuple[set[str], set[int]]:
    args = [*(a for op in ops for a in op.args), *more]
    return {a for a in args if isinstance(a, str)}, {a.index for a in args if isinstance(a, Number)}


class _Printer:
    def __init__(self, graph: StepGraph, mode: NumbaMode, real: str) -> None:
        self.graph, self.size = graph, 4 if real == "float32" else 8
        self.mode: NumbaMode = mode
        self.saved = graph.saved() if mode == "save" else ()
        self.lines: list[str] = []
        self.depth = 0

    def put(self, *lines: str) -> None:
        self.lines.extend("    " * self.depth + line for line in lines)

    def head(self, real: str) -> None:
        """Imports, and for each piece of memory a way to read and to write it."""
        graph = self.graph
        states = range(len(graph.states))
        memory = [
            "x",
            "y",
            "gy",
            "gx",
            *(p.name for p in graph.parameters),
            *(f"kept{k}" for k in range(len(self.saved))),
        ]
        memory += [f"{name}{k}" for name in ("first", "last", "glast", "gfirst", "s", "h", "m", "g") for k in states]
        doubles = ["numbers", "partial", *(f"r{k}" for k in range(len(graph.roots)))]
        self.put(
            "import numpy as np",
            "from snn4.kernels.numba_support import functions, memory",
            f"real = np.{real}",
            "O, I = real(0), real(1)",
            f"scopes = {['slots', *memory, *doubles]!r}",
            "read_slots, _ = memory('slots', scopes, 'int64')",
        )
        self.put(*(f"read_{name}, write_{name} = memory({name!r}, scopes, {real!r})" for name in memory))
        self.put(*(f"read_{name}, write_{name} = memory({name!r}, scopes, 'float64')" for name in doubles))
        used = sorted({op.name for op in graph.ops if op.name not in {*_INFIX, *_COMPARE, *_TEXT, "max", "min"}})
        self.put(*(f"f_{name} = functions({real!r})[{name!r}]" for name in used))

    def opening(self, name: str, ops: Sequence[Op], more: Sequence[Arg]) -> set[str]:
        """A function's head: sizes, addresses and numbers from the array."""
        names, numbers = _names(ops, more)
        self.put("", f"def {name}(a, lo, hi, room):")
        self.depth = 1
        order = slots(self.graph, self.mode, name == "backward")
        self.put(*(f"{slot}_at = read_slots(a, {k})" for k, slot in enumerate(order)))
        self.put(*(f"c{k} = real(read_numbers(numbers_at, {k}))" for k in sorted(numbers)))
        shared = (p.name for p in self.graph.parameters if not p.per_neuron and p.name in names)
        self.put(*(f"{p} = read_{p}({p}_at, 0)" for p in shared))
        self.put(f"per = (P_at + {NUMBA_TILE - 1}) // {NUMBA_TILE}", "periods = (N_at + P_at - 1) // P_at")
        return names

    def loads(self, names: set[str], states: str, hidden: Iterable[str] = ()) -> None:
        """What one element reads; `states` is how a state's row is called."""
        if self.graph.x in names and self.graph.x not in hidden:
            self.put("x = read_x(xt, i)")
        for k, name in enumerate(self.graph.states):
            if name in names and name not in hidden:
                self.put(f"{name} = read_{states}{k}({states}{k}_row, i)")
        wide = (p.name for p in self.graph.parameters if p.per_neuron and p.name in names)
        self.put(*(f"{p} = read_{p}({p}_at, j0 + i)" for p in wide))

    def start(self, k: int, to: str, row: str) -> None:
        """The state before the first step: one value per element, or one for all."""
        self.put(
            "for i in range(n):", f"    write_{to}{k}({row}, i, read_first{k}(first{k}_at, (n0 + i) * step{k}_at))"
        )

    # ------------------------------------------------------------------------------------------------ forward

    def forward(self) -> None:
        """All steps, and what is kept of them."""
        graph, size = self.graph, self.size
        states = range(len(graph.states))
        targets = (graph.y, *graph.new_states, *self.saved)
        ops = graph.needed(targets)
        names = self.opening("forward", ops, targets)
        self.put(*(f"s{k}_row = room + {NUMBA_TILE * k * size}" for k in states))
        self.put("for u in range(lo, hi):")
        self.depth = 2
        self.put(
            f"j0 = (u % per) * {NUMBA_TILE}",
            "n0 = (u // per) * P_at + j0",
            f"n = min(min({NUMBA_TILE}, P_at - j0), N_at - n0)",
        )
        for k in states:
            self.start(k, "s", f"s{k}_row")
        self.put("for t in range(T_at):")
        self.depth = 3
        self.put(f"xt = x_at + (t * XS_at + n0) * {size}", f"here = (t * N_at + n0) * {size}")
        self.put("for i in range(n):")
        self.depth = 4
        self.loads(names, "s")
        self.put(*(f"{op.out} = {_expression(op)}" for op in ops))
        self.put(f"write_y(y_at + here, i, {_atom(graph.y)})")
        self.put(*(f"write_kept{k}(kept{k}_at + here, i, {name})" for k, name in enumerate(self.saved)))
        # all new states are computed before the first is written
        self.put(*(f"write_s{k}(s{k}_row, i, {_atom(graph.new_states[k])})" for k in states))
        self.depth = 2
        for k in states:
            self.put(f"for i in range(n): write_last{k}(last{k}_at + n0 * {size}, i, read_s{k}(s{k}_row, i))")
        self.depth = 1
        self.put("return 0")
        self.depth = 0

    # ----------------------------------------------------------------------------------------------- backward

    def advance(self) -> None:
        """One step of the states, from row t - t0 of the history to the next."""
        graph = self.graph
        ops = graph.advance
        names, _ = _names(ops, graph.new_states)
        row = NUMBA_TILE * self.size
        self.put(f"xt = x_at + (t * XS_at + n0) * {self.size}")
        self.put(*(f"h{k}_row = hist{k} + (t - t0) * {row}" for k in range(len(graph.states))))
        self.put("for i in range(n):")
        self.depth += 1
        self.loads(names, "h")
        self.put(*(f"{op.out} = {_expression(op)}" for op in ops))
        self.put(*(f"write_h{k}(h{k}_row + {row}, i, {_atom(new)})" for k, new in enumerate(graph.new_states)))
        self.depth -= 1

    def backward(self) -> None:
        """The gradients, with the states of a tile repeated segment by segment, or kept."""
        graph, size = self.graph, self.size
        row = NUMBA_TILE * size
        targets = graph.backward_targets()
        late = graph.needed(targets, self.saved)
        again = graph.advance if self.mode == "recompute" else ()
        more = (*targets, *(graph.new_states if again or self.mode == "recompute" else ()))
        self.opening("backward", (*late, *again), more)
        names, _ = _names(late, targets)
        states, count, roots = range(len(graph.states)), len(graph.states), range(len(graph.roots))
        scalar = [k for k in roots if not graph.roots[k].per_neuron]
        wide = [k for k in roots if graph.roots[k].per_neuron]
        self.put("S = (T_at + K_at - 1) // K_at", "units = per * G_at")
        self.put(*(f"r{k}_row = room + {NUMBA_TILE * 8 * k}" for k in roots))
        base = NUMBA_TILE * 8 * len(graph.roots)
        self.put(*(f"g{k}_row = room + {base + k * row}" for k in states))
        self.put(*(f"hist{k} = room + {base + count * row} + {k} * (K_at + 1) * {row}" for k in states))
        self.put(*(f"mark{k} = room + {base + count * row} + ({count} * (K_at + 1) + {k} * S) * {row}" for k in states))
        self.put("for u in range(lo, hi):")
        self.depth = 2
        self.put(f"j0 = (u % per) * {NUMBA_TILE}", "group = u // per")
        self.put(*(f"for i in range({NUMBA_TILE}): write_r{k}(r{k}_row, i, 0.0)" for k in roots))
        self.put("for p in range(group * periods // G_at, (group + 1) * periods // G_at):")
        self.depth = 3
        self.put("n0 = p * P_at + j0", f"n = min(min({NUMBA_TILE}, P_at - j0), N_at - n0)")
        for k in states:
            self.put(f"if glast{k}_at:")
            self.put(f"    for i in range(n): write_g{k}(g{k}_row, i, read_glast{k}(glast{k}_at + n0 * {size}, i))")
            self.put("else:", f"    for i in range(n): write_g{k}(g{k}_row, i, O)")
        if self.mode == "recompute":
            for k in states:
                self.start(k, "m", f"mark{k}")
            self.put("for s in range(S - 1):")
            self.depth = 4
            self.put("t0 = s * K_at")
            self.put(*(f"for i in range(n): write_h{k}(hist{k}, i, read_m{k}(mark{k} + s * {row}, i))" for k in states))
            self.put("for t in range(t0, t0 + K_at):")
            self.depth = 5
            self.advance()
            self.depth = 4
            self.put(
                *(
                    f"for i in range(n): write_m{k}(mark{k} + (s + 1) * {row}, i, read_h{k}(hist{k} + K_at * {row}, i))"
                    for k in states
                )
            )
            self.depth = 3
        self.put("for back in range(S):" if self.mode == "recompute" else "for back in range(1):")
        self.depth = 4
        if self.mode == "recompute":
            self.put("s = S - 1 - back", "t0 = s * K_at", "t1 = min(T_at, t0 + K_at)")
            self.put(*(f"for i in range(n): write_h{k}(hist{k}, i, read_m{k}(mark{k} + s * {row}, i))" for k in states))
            self.put("for t in range(t0, t1 - 1):")
            self.depth = 5
            self.advance()
            self.depth = 4
        else:
            self.put("t0 = 0", "t1 = T_at")
        self.put("for t in range(t1 - 1, t0 - 1, -1):")
        self.depth = 5
        self.put(f"here = (t * N_at + n0) * {size}", f"xt = x_at + (t * XS_at + n0) * {size}")
        if self.mode == "recompute":
            self.put(*(f"h{k}_row = hist{k} + (t - t0) * {row}" for k in states))
        self.step_back(late, names, again=self.mode == "recompute")
        self.depth = 3
        for k in states:
            self.put(f"if gfirst{k}_at:")
            self.put(f"    for i in range(n): write_gfirst{k}(gfirst{k}_at + n0 * {size}, i, read_g{k}(g{k}_row, i))")
        self.depth = 2
        for place, k in enumerate(scalar):
            self.put("total = 0.0", f"for i in range({NUMBA_TILE}): total += read_r{k}(r{k}_row, i)")
            self.put(f"write_partial(partial_at, {place} * units + u, total)")
        for place, k in enumerate(wide):
            self.put(
                f"to = units * {len(scalar)} + (group * {len(wide)} + {place}) * P_at + j0",
                f"for i in range(min({NUMBA_TILE}, P_at - j0)):",
                f"    write_partial(partial_at, to + i, read_r{k}(r{k}_row, i))",
            )
        self.depth = 1
        self.put("return 0")
        self.depth = 0

    def step_back(self, late: Sequence[Op], names: set[str], *, again: bool) -> None:
        """One step of the gradients."""
        graph = self.graph
        self.put("for i in range(n):")
        self.depth += 1
        self.loads(names if again else names - {graph.x, *graph.states}, "h")
        self.put(*(f"{name} = read_kept{k}(kept{k}_at + here, i)" for k, name in enumerate(self.saved)))
        self.put("gy = read_gy(gy_at + here, i)")
        self.put(*(f"g{k} = read_g{k}(g{k}_row, i)" for k in range(len(graph.states))))
        self.put(*(f"{op.out} = {_expression(op)}" for op in late))
        self.put(f"write_gx(gx_at + here, i, {_atom(graph.grad_x)})")
        for k, root in enumerate(graph.roots):
            self.put(f"write_r{k}(r{k}_row, i, read_r{k}(r{k}_row, i) + np.float64({_atom(root.value)}))")
        self.put(*(f"write_g{k}(g{k}_row, i, {_atom(grad)})" for k, grad in enumerate(graph.grad_states)))
        self.depth -= 1


def print_numba(graph: StepGraph, mode: NumbaMode, real: Literal["float32", "float64"]) -> str:
    """The Python of a step's kernels, `forward` and `backward`."""
    printer = _Printer(graph, mode, real)
    printer.head(real)
    printer.forward()
    printer.backward()
    return "\n".join(printer.lines) + "\n"
