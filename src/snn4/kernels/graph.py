"""One step of a neuron and its derivative as a list of elementwise operations: what every printer starts from.

A `StepGraph` knows nothing of torch.fx or of a language. Each operation takes and gives one number per element; a
printer writes them inside a loop over time and elements.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["ARITY", "Arg", "Constant", "Number", "Op", "Parameter", "Root", "StepGraph"]

# every operation that a printer must know; comparisons give booleans, the others real numbers
ARITY: dict[str, int] = {
    **dict.fromkeys(("add", "sub", "mul", "div", "pow", "max", "min", "fmod"), 2),
    **dict.fromkeys(("ge", "gt", "le", "lt", "eq", "ne", "and", "or", "xor"), 2),
    **dict.fromkeys(("neg", "abs", "sign", "sqrt", "floor", "ceil", "round", "trunc", "not", "copy"), 1),
    **dict.fromkeys(("exp", "expm1", "log", "log1p", "sin", "cos", "tan", "atan", "erf", "tanh", "sigmoid"), 1),
    **dict.fromkeys(("where", "fma"), 3),
}


# in operations of arithmetic
_PRICES = {"div": 4, "sqrt": 6} | dict.fromkeys(
    ("exp", "expm1", "log", "log1p", "sin", "cos", "tan", "atan", "erf", "tanh", "sigmoid", "pow", "fmod"), 20
)
# a row in the caches: written and read, or a state's, which is written in any case; a row in memory, whatever it spares
_ROW, _STATE_ROW, _FAR_ROW = 5, 3, 10_000


@dataclass(frozen=True)
class Number:
    """A number of the neuron (a decay, a threshold), handed over at run time: changing it compiles nothing.

    Args:
        index: its place in `StepGraph.numbers`.
    """

    index: int


@dataclass(frozen=True)
class Constant:
    """A number that belongs to the meaning of an operation, such as the 1 of 1 - tanh^2."""

    value: float


Arg = str | Number | Constant


@dataclass(frozen=True)
class Op:
    """One elementwise operation.

    Args:
        out: the name of its value.
        name: what it does, a key of `ARITY`.
        args: names of earlier values, or numbers.
        kind: whether its value is a real number or a boolean.
    """

    out: str
    name: str
    args: tuple[Arg, ...]
    kind: Literal["real", "bool"] = "real"


@dataclass(frozen=True)
class Parameter:
    """A tensor that a step reads and time does not change.

    Args:
        name: the name of its value.
        per_neuron: one value per neuron; else one for all.
    """

    name: str
    per_neuron: bool


@dataclass(frozen=True)
class Root:
    """A value of the backward step that is summed over time and elements: the way to a parameter's gradient.

    Args:
        value: what is summed.
        per_neuron: one sum per neuron; else one over all.
    """

    value: Arg
    per_neuron: bool


@dataclass(frozen=True)
class StepGraph:
    """A traced step.

    Args:
        x: the input's name.
        states: the names of the state fields before the step.
        grads: the names of the gradients of the output and of each new state field.
        ops: forward and backward, each after what it needs.
        y: the output.
        new_states: the state fields after the step.
        grad_x: the gradient of the input.
        grad_states: the gradients of the state fields before the step.
        roots: sums for the parameters' gradients.
        parameters: what else is read.
        numbers: the numbers of this neuron. They are no part of the structure.
    """

    x: str
    states: tuple[str, ...]
    grads: tuple[str, ...]
    ops: tuple[Op, ...]
    y: Arg
    new_states: tuple[Arg, ...]
    grad_x: Arg
    grad_states: tuple[Arg, ...]
    roots: tuple[Root, ...]
    parameters: tuple[Parameter, ...]
    numbers: tuple[float, ...] = field(compare=False)

    def needed(self, targets: Iterable[Arg], given: Collection[str] = ()) -> tuple[Op, ...]:
        """The operations that `targets` need, in order, taking the values of `given` as known."""
        makers = {op.out: op for op in self.ops}
        wanted: set[str] = set()
        stack = [t for t in targets if isinstance(t, str)]
        while stack:
            name = stack.pop()
            if name in wanted or name in given or name not in makers:
                continue
            wanted.add(name)
            stack.extend(a for a in makers[name].args if isinstance(a, str))
        return tuple(op for op in self.ops if op.out in wanted)

    @property
    def forward(self) -> tuple[Op, ...]:
        """What the output and the new state need."""
        return self.needed((self.y, *self.new_states))

    @property
    def advance(self) -> tuple[Op, ...]:
        """What the new state alone needs: the part that a backward pass repeats."""
        return self.needed(self.new_states)

    def backward_targets(self) -> tuple[Arg, ...]:
        """All that a backward step gives."""
        return (self.grad_x, *self.grad_states, *(root.value for root in self.roots))

    def saved(self) -> tuple[str, ...]:
        """The fewest forward values per step from which a backward step can be computed: a minimum cut.

        Among several, the one from which least has to be computed once more.
        """
        return self._cut(dict.fromkeys(self._early, _FAR_ROW), self.forward)

    def near(self) -> tuple[str, ...]:
        """As `saved`, where rows lie in the caches: the cheapest, with what is then computed once more."""
        rows = dict.fromkeys(self._early, _ROW)
        # a state has its row in any case
        for name in (*self.states, *self.new_states):
            if isinstance(name, str) and name in rows:
                rows[name] = _STATE_ROW
        return self._cut(rows, self.needed((*self.new_states, *self.saved())))

    @property
    def _early(self) -> tuple[str, ...]:
        """The values that do not depend on gradients."""
        late = set(self.grads)
        for op in self.ops:
            if any(a in late for a in op.args if isinstance(a, str)):
                late.add(op.out)
        return (self.x, *self.states, *(op.out for op in self.ops if op.out not in late))

    def _cut(self, rows: Mapping[str, int], forward: Iterable[Op]) -> tuple[str, ...]:
        """The cheapest values to keep.

        Args:
            rows: what it costs to keep each of the early values.
            forward: what is computed in any case, and costs anew to be computed once more. What only the derivative
                needs costs the same wherever it is computed.
        """
        known, parameters = set(rows), {p.name for p in self.parameters}
        # a value that is kept cuts its edge "name<" -> "name>"; one that is computed again, the edge to "name<"
        edges: dict[tuple[str, str], float] = {(f"{name}<", f"{name}>"): price for name, price in rows.items()}
        edges |= {("source", f"{op.out}<"): _PRICES.get(op.name, 1) for op in forward if op.out in known}
        edges |= {("source", f"{name}<"): math.inf for name in (self.x, *self.states)}
        for op in self.ops:
            for a in op.args:
                if isinstance(a, str) and a in known and a not in parameters and op.out in known:
                    edges[f"{a}>", f"{op.out}<"] = math.inf
        for op in self.needed(self.backward_targets()):
            for a in op.args:
                if isinstance(a, str) and a in known and op.out not in known:
                    edges[f"{a}>", "sink"] = math.inf
        for target in self.backward_targets():
            if isinstance(target, str) and target in known:
                edges[f"{target}>", "sink"] = math.inf
        reached = _reached(edges)
        return tuple(name for name in rows if f"{name}<" in reached and f"{name}>" not in reached)


def _reached(edges: Mapping[tuple[str, str], float]) -> Collection[str]:
    """The source's side of a minimum cut, after Ford and Fulkerson."""
    left: dict[str, dict[str, float]] = {}
    for (a, b), capacity in edges.items():
        left.setdefault(a, {})[b] = capacity
        left.setdefault(b, {}).setdefault(a, 0)
    while True:
        before, stack = {"source": ""}, ["source"]
        while stack:
            node = stack.pop()
            for after, capacity in left.get(node, {}).items():
                if capacity > 0 and after not in before:
                    before[after] = node
                    stack.append(after)
        if "sink" not in before:
            return before
        way, node = list[tuple[str, str]](), "sink"
        while node != "source":
            way.append((before[node], node))
            node = before[node]
        most = min(left[a][b] for a, b in way)
        for a, b in way:
            left[a][b] -= most
            left[b][a] += most
