"""Print a `StepGraph` as Triton: all steps of a layer in one pass over memory, the state in registers.

A program takes a block of elements through all steps. The backward pass takes SEGMENT steps at a time, last segment
first, and holds the states of one segment in registers: in mode "recompute" it repeats them from the state at the
segment's start, which the forward pass has left (nothing for T <= SEGMENT); in mode "save" it reads a minimum cut of
each step. T, the number of elements, the numbers of the neuron and its tensors are arguments: only the structure of a
step is compiled. The dtype of inputs and outputs is that of their pointers; arithmetic is `real` throughout.

What is summed for a parameter is summed in float64, one part a program, and the parts are added in a fixed order by
`snn4_total`: there are no atomics.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from snn4.kernels.graph import Arg, Constant, Number, Op, StepGraph
from snn4.kernels.slots import Mode

__all__ = ["AHEAD", "Real", "backward_arguments", "forward_arguments", "print_triton", "segment"]

Real: TypeAlias = Literal["float32", "float64"]

# how many steps before it is needed an input is asked for in the forward pass
AHEAD = 4
# more states a segment than this would leave the registers
_SEGMENT_STATES = 12

_INFIX = {"add": "+", "sub": "-", "mul": "*"}
_COMPARE = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "eq": "==", "ne": "!="}
# libdevice is the library that torch's own CUDA kernels are compiled with
_LIBRARY = {
    **{name: f"libdevice.{name}" for name in ("exp", "expm1", "log", "log1p", "sin", "cos", "tan", "atan", "erf")},
    **{name: f"libdevice.{name}" for name in ("tanh", "pow", "fmod", "trunc")},
    **{name: f"tl.{name}" for name in ("floor", "ceil", "abs", "fma")},
    # round half to even, as torch does
    "round": "libdevice.rint",
}

_HEAD = '''"""Made by snn4.kernels from a neuron's own step. For the reader: it is never executed from disk."""
import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit(do_not_specialize=["parts"])
def snn4_total(partial_at, total_at, parts, stride, BLOCK: tl.constexpr):
    # the sum of partial[root, 0], partial[root, 1] ..., always in this order
    root = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, BLOCK)
    total = tl.zeros([BLOCK], tl.float64)
    for start in range(0, parts, BLOCK):
        total += tl.load(partial_at + root * stride + start + i, mask=start + i < parts, other=0.0)
    tl.store(total_at + root, tl.sum(total, axis=0))


@triton.jit(do_not_specialize=["parts"])
def snn4_total_wide(partial_at, total_at, parts, width, BLOCK: tl.constexpr):
    # the sum over the first axis of partial[part, column], always in this order
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros([BLOCK], tl.float64)
    offset = tl.full([], 0, tl.int64)
    for part in range(parts):
        total += tl.load(partial_at + offset + i, mask=i < width, other=0.0)
        offset += width
    tl.store(total_at + i, total, mask=i < width)
'''


def segment(graph: StepGraph, mode: Mode) -> int:
    """SEGMENT: how many steps a backward pass holds at once, a power of two."""
    held = len(graph.saved()) if mode == "save" else len(graph.states)
    return 8 if 8 * held <= _SEGMENT_STATES else 4


def _names(word: str, count: int) -> tuple[str, ...]:
    return tuple(f"{word}{k}" for k in range(count))


def _kept(graph: StepGraph, mode: Mode) -> tuple[str, ...]:
    """What the forward pass leaves for the backward pass: marks (a state every SEGMENT steps) or kept values."""
    return _names("kept", len(graph.saved())) if mode == "save" else _names("mark", len(graph.states))


def forward_arguments(graph: StepGraph, mode: Mode) -> tuple[str, ...]:
    """The arguments of `snn4_forward` up to its constants."""
    states = len(graph.states)
    pointers = ("x", "y", "numbers", *_names("first", states), *_names("last", states), *_kept(graph, mode))
    return (*pointers, *(p.name for p in graph.parameters), "T", "N", "P", "XS", *_names("step", states))


def backward_arguments(graph: StepGraph, mode: Mode) -> tuple[str, ...]:
    """The arguments of `snn4_backward` up to its constants."""
    states = len(graph.states)
    pointers = ("x", "gy", "gx", "partial", "numbers", *_names("first", states), *_names("glast", states))
    pointers += (*_names("gfirst", states), *_kept(graph, mode))
    integers = ("T", "N", "P", "XS", "G", *_names("step", states))
    return (*pointers, *(p.name for p in graph.parameters), *integers)


_INTEGERS = frozenset(("T", "N", "P", "XS", "G"))


def _head(name: str, arguments: Sequence[str]) -> tuple[str, ...]:
    written = [a if a in _INTEGERS or a.startswith("step") else f"{a}_at" for a in arguments]
    return (
        "",
        "",
        '@triton.jit(do_not_specialize=["T", "G"])',
        f"def {name}({', '.join(written)}, BLOCK: tl.constexpr):",
    )


class _Printer:
    def __init__(self, graph: StepGraph, mode: Mode, real: Real) -> None:
        self.graph = graph
        self.mode: Mode = mode
        self.real = f"tl.{real}"
        self.double = real == "float64"
        self.saved = graph.saved() if mode == "save" else ()
        self.wide = any(p.per_neuron for p in graph.parameters) or any(r.per_neuron for r in graph.roots)
        self.constants: dict[str, str] = {}
        self.lines: list[str] = []

    def put(self, indent: int, *lines: str) -> None:
        self.lines.extend(" " * indent + line if line else "" for line in lines)

    # ------------------------------------------------------------------------------------------------ expressions

    def atom(self, arg: Arg, names: Mapping[str, str]) -> str:
        if isinstance(arg, Number):
            return f"c{arg.index}"
        if isinstance(arg, Constant):
            return self.constants[_literal(arg.value)]
        return names.get(arg, arg)

    def expression(self, op: Op, names: Mapping[str, str]) -> str:
        a = [self.atom(arg, names) for arg in op.args]
        name = op.name
        if name in _INFIX:
            return f"{a[0]} {_INFIX[name]} {a[1]}"
        if name in _COMPARE:
            return f"tl.where({a[0]} {_COMPARE[name]} {a[1]}, one, zero)"
        if name in ("max", "min"):
            # as torch: NaN wins, from either side
            return f"tl.where(({a[0]} {'<' if name == 'max' else '>'} {a[1]}) | ({a[1]} != {a[1]}), {a[1]}, {a[0]})"
        divide = "{0} / {1}" if self.double else "tl.div_rn({0}, {1})"
        table = {
            "div": divide,
            "where": "tl.where({0} != zero, {1}, {2})",
            # 0 - x would lose the sign of zero
            "neg": "{0} * -1.0",
            "copy": "{0}",
            "sign": "tl.where({0} > zero, one, zero) - tl.where({0} < zero, one, zero)",
            "not": "tl.where({0} != zero, zero, one)",
            "and": "tl.where(({0} != zero) & ({1} != zero), one, zero)",
            "or": "tl.where(({0} != zero) | ({1} != zero), one, zero)",
            "xor": "tl.where(({0} != zero) != ({1} != zero), one, zero)",
            "sqrt": "tl.sqrt({0})" if self.double else "tl.sqrt_rn({0})",
            "sigmoid": divide.format("one", "(one + libdevice.exp({0} * -1.0))"),
        }
        if name in table:
            return table[name].format(*a)
        return f"{_LIBRARY[name]}({', '.join(a)})"

    def body(self, indent: int, ops: Iterable[Op], names: dict[str, str], prefix: str) -> None:
        """Operations, each under a name of its own, which `names` learns."""
        for op in ops:
            self.put(indent, f"{prefix}{op.out} = {self.expression(op, names)}")
            names[op.out] = f"{prefix}{op.out}"

    # ---------------------------------------------------------------------------------------------------- pieces

    def opening(self, indent: int, ops: Sequence[Op], more: Sequence[Arg]) -> None:
        """Numbers and parameters that are the same for all elements, and constants."""
        args = [*(a for op in ops for a in op.args), *more]
        self.put(indent, f"one = tl.full([BLOCK], 1.0, {self.real})", f"zero = tl.full([BLOCK], 0.0, {self.real})")
        self.constants = {"1.0": "one", "0.0": "zero"}
        for arg in args:
            if isinstance(arg, Constant) and _literal(arg.value) not in self.constants:
                literal, name = _literal(arg.value), f"k{len(self.constants)}"
                self.constants[literal] = name
                self.put(indent, f"{name} = tl.full([BLOCK], {literal}, {self.real})")
        for index in sorted({a.index for a in args if isinstance(a, Number)}):
            self.put(indent, f"c{index} = tl.broadcast_to(tl.load(numbers_at + {index}), [BLOCK])")
        used = {a for a in args if isinstance(a, str)}
        for p in self.graph.parameters:
            if p.name in used and not p.per_neuron:
                self.put(indent, f"{p.name} = tl.broadcast_to(tl.load({p.name}_at), [BLOCK])")
        self.rows = [p.name for p in self.graph.parameters if p.name in used and p.per_neuron]

    def place(self, indent: int) -> None:
        """Which elements a program takes: j along a row of parameters."""
        # integers of 64 bits: a sequence may have more elements than 32 count
        self.put(indent, "far = tl.full([], 0, tl.int64)", "u = far + tl.program_id(0)")
        if self.wide:
            self.put(indent, "per = (P + BLOCK - 1) // BLOCK", "j = (u % per) * BLOCK + tl.arange(0, BLOCK)")
            self.put(indent, "row = u // per")
            self.put(indent, *(f"{p} = tl.load({p}_at + j, mask=j < P, other=1.0)" for p in self.rows))

    def elements(self, indent: int, offset: str) -> None:
        """n, the elements, and m, which of them exist."""
        if self.wide:
            self.put(indent, f"n = {offset} + j", "m = (j < P) & (n < N)")
        else:
            self.put(indent, "n = u * BLOCK + tl.arange(0, BLOCK)", "m = n < N")

    def load(self, pointer: str, offset: str, when: str) -> str:
        return f"tl.load({pointer}_at + {offset} + n, mask=m & ({when}), other=0.0).to({self.real})"

    def first(self, k: int, when: str = "") -> str:
        mask = f"m & ({when})" if when else "m"
        return f"tl.load(first{k}_at + n * step{k}, mask={mask}, other=0.0)"

    # --------------------------------------------------------------------------------------------------- forward

    def forward(self) -> None:
        graph, states = self.graph, range(len(self.graph.states))
        targets = (graph.y, *graph.new_states, *self.saved)
        ops = graph.needed(targets)
        reads_x = graph.x in {a for op in ops for a in op.args} | set(targets)
        self.put(0, *_head("snn4_forward", forward_arguments(graph, self.mode)))
        self.opening(4, ops, targets)
        self.place(4)
        self.elements(4, "row * P")
        self.put(4, "xs = far + XS", "xo = far", "yo = far", "mo = far")
        self.put(4, *(f"s{k} = {self.first(k)}" for k in states))
        if reads_x:
            self.put(4, *(f"ahead{d} = {self.load('x', f'xs * {d}', f'{d} < T')}" for d in range(AHEAD)))
        self.put(4, "for t in range(T):")
        if self.mode == "recompute" and graph.states:
            self.put(8, "if mark0_at is not None:", f"    if (t % {segment(graph, self.mode)} == 0) & (t > 0):")
            self.put(16, *(f"tl.store(mark{k}_at + mo + n, s{k}, mask=m)" for k in states), "mo += N")
        if reads_x:
            self.put(8, "x = ahead0", *(f"ahead{d} = ahead{d + 1}" for d in range(AHEAD - 1)))
            self.put(8, f"ahead{AHEAD - 1} = {self.load('x', f'(xo + xs * {AHEAD})', f't + {AHEAD} < T')}")
        names: dict[str, str] = {}
        self.body(8, ops, names, "")
        self.put(8, f"tl.store(y_at + yo + n, {self.atom(graph.y, names)}, mask=m)")
        if self.saved:
            self.put(8, "if kept0_at is not None:")
            stores = (f"tl.store(kept{k}_at + yo + n, {names.get(v, v)}, mask=m)" for k, v in enumerate(self.saved))
            self.put(12, *stores)
        # all at once: a new state may be another's old one
        self.put(8, *(f"new{k} = {self.atom(graph.new_states[k], names)}" for k in states))
        self.put(8, *(f"s{k} = new{k}" for k in states), "xo += xs", "yo += N")
        self.put(4, *(f"tl.store(last{k}_at + n, s{k}, mask=m)" for k in states))

    # -------------------------------------------------------------------------------------------------- backward

    def backward(self) -> None:
        graph, states, steps = self.graph, range(len(self.graph.states)), segment(self.graph, self.mode)
        targets = graph.backward_targets()
        late = graph.needed(targets, self.saved)
        again = graph.advance if self.mode == "recompute" else ()
        more = (*targets, *(graph.new_states if again else ()))
        scalar = [k for k, root in enumerate(graph.roots) if not root.per_neuron]
        wide = [k for k, root in enumerate(graph.roots) if root.per_neuron]
        self.put(0, *_head("snn4_backward", backward_arguments(graph, self.mode)))
        self.opening(4, (*late, *again), more)
        self.place(4)
        self.put(4, *(f"r{k} = tl.zeros([BLOCK], tl.float64)" for k in range(len(graph.roots))))
        self.put(4, "xs = far + XS", f"segments = (T + {steps - 1}) // {steps}")
        indent = 4
        if wide:
            # what is learned per neuron is summed over all rows of a group
            self.put(4, "rows = (far + N + P - 1) // P", "begin = row * rows // G", "end = (row + 1) * rows // G")
            self.put(4, "base = begin * P", "for each in range(begin, end):")
            indent = 8
        self.elements(indent, "base" if wide else "row * P")
        for k in states:
            self.put(indent, f"g{k} = zero", f"if glast{k}_at is not None:")
            self.put(indent, f"    g{k} = tl.load(glast{k}_at + n, mask=m, other=0.0)")
        self.put(indent, "for back in range(segments):")
        self.segment(indent + 4, late, again)
        for k in states:
            self.put(indent, f"if gfirst{k}_at is not None:", f"    tl.store(gfirst{k}_at + n, g{k}, mask=m)")
        if wide:
            self.put(indent, "base += P")
        if scalar:
            self.put(4, "units = far + tl.num_programs(0)")
        for place, k in enumerate(scalar):
            self.put(4, f"tl.store(partial_at + units * {place} + u, tl.sum(r{k}, axis=0))")
        for place, k in enumerate(wide):
            start = f"units * {len(scalar)} + " if scalar else ""
            self.put(4, f"tl.store(partial_at + {start}(row * {len(wide)} + {place}) * P + j, r{k}, mask=j < P)")

    def segment(self, indent: int, late: Sequence[Op], again: Sequence[Op]) -> None:
        """SEGMENT steps: all loads, then the states forwards, then the gradients backwards."""
        graph, states = self.graph, range(len(self.graph.states))
        steps = segment(graph, self.mode)
        used = {a for op in (*late, *again) for a in op.args} | set(graph.backward_targets()) | set(graph.new_states)
        self.put(indent, f"begins = (segments - 1 - back) * {steps}", "t0 = far + begins")
        reads_x = self.mode == "recompute" and graph.x in used
        for t in range(steps):
            if reads_x:
                self.put(indent, f"x{t} = {self.load('x', f'(t0 + {t}) * xs', f'begins + {t} < T')}")
            for k in range(len(self.saved)):
                self.put(indent, f"keep{k}_{t} = {self.load(f'kept{k}', f'(t0 + {t}) * N', f'begins + {t} < T')}")
            self.put(indent, f"gy{t} = {self.load('gy', f'(t0 + {t}) * N', f'begins + {t} < T')}")
        if self.mode == "recompute":
            for k in states:
                mark = self.load(f"mark{k}", "(segments - 2 - back) * (far + N)", "begins > 0")
                self.put(indent, f"h{k}_0 = {self.first(k, 'begins == 0')}", f"if mark{k}_at is not None:")
                self.put(indent + 4, f"h{k}_0 = tl.where(begins == 0, h{k}_0, {mark})")
            for t in range(steps - 1):
                names = {graph.x: f"x{t}", **{s: f"h{k}_{t}" for k, s in enumerate(graph.states)}}
                self.body(indent, again, names, f"a{t}_")
                self.put(indent, *(f"h{k}_{t + 1} = {self.atom(graph.new_states[k], names)}" for k in states))
        for t in reversed(range(steps)):
            names = {graph.x: f"x{t}", "gy": f"gy{t}", **{s: f"h{k}_{t}" for k, s in enumerate(graph.states)}}
            names.update((name, f"keep{k}_{t}") for k, name in enumerate(self.saved))
            self.put(indent, f"if begins + {t} < T:")
            inside = indent + 4
            self.body(inside, late, names, f"b{t}_")
            store = f"    tl.store(gx_at + (t0 + {t}) * N + n, {self.atom(graph.grad_x, names)}, mask=m)"
            self.put(inside, "if gx_at is not None:", store)
            for k, root in enumerate(graph.roots):
                self.put(inside, f"r{k} += tl.where(m, {self.atom(root.value, names)}, zero).to(tl.float64)")
            self.put(inside, *(f"new{k} = {self.atom(graph.grad_states[k], names)}" for k in states))
            self.put(inside, *(f"g{k} = new{k}" for k in states))


def _literal(value: float) -> str:
    return repr(value) if math.isfinite(value) else f'float("{value!r}")'


def print_triton(graph: StepGraph, mode: Mode, real: Real) -> str:
    """The Triton of a step's kernels, forward and backward."""
    printer = _Printer(graph, mode, real)
    printer.put(0, _HEAD.rstrip("\n"))
    printer.forward()
    printer.backward()
    return "\n".join(printer.lines) + "\n"
