"""One step of a neuron and its derivative as a list of elementwise operations: what every printer starts from.

A `StepGraph` knows nothing of torch.fx or of a language. Each operation takes and gives one number per element; a
printer writes them inside a loop over time and elements.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["ARITY", "COSTLY", "Arg", "Constant", "Number", "Op", "Parameter", "Root", "StepGraph"]

# every operation that a printer must know; comparisons give booleans, the others real numbers
ARITY: dict[str, int] = {
    **dict.fromkeys(("add", "sub", "mul", "div", "pow", "max", "min", "fmod"), 2),
    **dict.fromkeys(("ge", "gt", "le", "lt", "eq", "ne", "and", "or", "xor"), 2),
    **dict.fromkeys(("neg", "abs", "sign", "sqrt", "floor", "ceil", "round", "trunc", "not", "copy"), 1),
    **dict.fromkeys(("exp", "expm1", "log", "log1p", "sin", "cos", "tan", "atan", "erf", "tanh", "sigmoid"), 1),
    **dict.fromkeys(("where", "fma"), 3),
}


# some twenty operations of arithmetic each: more than a row in the caches costs to write and to read
COSTLY = frozenset(
    ("exp", "expm1", "log", "log1p", "sin", "cos", "tan", "atan", "erf", "tanh", "sigmoid", "pow", "fmod")
)


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
        """The fewest forward values per step from which a backward step can be computed: a minimum cut."""
        backward = self.needed(self.backward_targets())
        late = set(self.grads)
        for op in self.ops:
            if any(a in late for a in op.args if isinstance(a, str)):
                late.add(op.out)
        parameters = {p.name for p in self.parameters}
        early = [self.x, *self.states, *(op.out for op in self.ops if op.out not in late)]
        known = set(early)
        edges: dict[str, set[str]] = {}

        def edge(a: str, b: str) -> None:
            edges.setdefault(a, set()).add(b)
            edges.setdefault(b, set())

        # each value is an edge "name<" -> "name>" of capacity 1, the only ones that can be cut
        for name in (self.x, *self.states):
            edge("source", f"{name}<")
        for op in self.ops:
            for a in op.args:
                if isinstance(a, str) and a in known and a not in parameters and op.out in known:
                    edge(f"{a}>", f"{op.out}<")
        for op in backward:
            for a in op.args:
                if isinstance(a, str) and a in known and op.out in late:
                    edge(f"{a}>", "sink")
        for target in self.backward_targets():
            if isinstance(target, str) and target in known:
                edge(f"{target}>", "sink")
        return _minimum_cut(early, edges)

    def near(self) -> tuple[str, ...]:
        """As `saved`, where rows lie in the caches: also what costs much and is computed there anyway."""
        cut = self.saved()
        anyway = {op.out for op in self.needed((*self.new_states, *cut))}
        targets = self.backward_targets()
        again = self.needed(targets, cut)
        more = (*cut, *(op.out for op in again if op.name in COSTLY and op.out in anyway))
        read = {*targets, *(a for op in self.needed(targets, more) for a in op.args)}
        return tuple(name for name in more if name in read)


def _minimum_cut(names: list[str], edges: dict[str, set[str]]) -> tuple[str, ...]:
    """Ford and Fulkerson on a graph whose cuttable edges `n<` -> `n>` have capacity 1, and all others no limit."""
    flow: dict[tuple[str, str], int] = {}
    cuttable = {f"{n}<": f"{n}>" for n in names}

    def neighbours(node: str) -> list[str]:
        out = list(edges.get(node, ()))
        inner = cuttable.get(node)
        if inner is not None and flow.get((node, inner), 0) < 1:
            out.append(inner)
        # back along what flows already
        out.extend(a for (a, b), amount in flow.items() if b == node and amount > 0)
        return out

    def reach() -> dict[str, str]:
        before, stack = {"source": ""}, ["source"]
        while stack:
            node = stack.pop()
            for after in neighbours(node):
                if after not in before:
                    before[after] = node
                    stack.append(after)
        return before

    while True:
        before = reach()
        if "sink" not in before:
            return tuple(n for n in names if f"{n}<" in before and f"{n}>" not in before)
        node = "sink"
        while node != "source":
            previous = before[node]
            if flow.get((node, previous), 0) > 0:
                flow[node, previous] -= 1
            else:
                flow[previous, node] = flow.get((previous, node), 0) + 1
            node = previous
