"""What a step becomes: the parts of its graph, and the fewest values to keep."""

from __future__ import annotations

import itertools

import pytest
import torch
from tests.kernels.twins import Adaptive, Dendrite

from snn4 import Learned
from snn4.kernels.graph import ARITY, Number
from snn4.kernels.identity import identity
from snn4.kernels.trace import trace
from snn4.neurons import IF, LI, LIF, CubaLIF


def traced(neuron, features=(3,), dtype=torch.float32):
    seen = identity(neuron)
    learned = [name for name, t in seen.tensors.items() if t.requires_grad]
    return trace(neuron, seen.tensors, features, dtype, learned)


@pytest.mark.parametrize("make", [IF, LIF, CubaLIF, LI, Adaptive, lambda: LIF(tau=Learned(2.0))])
def test_a_graph_is_in_order_and_of_known_operations(make):
    graph = traced(make()).graph
    known = {graph.x, *graph.states, *graph.grads, *(p.name for p in graph.parameters)}
    for op in graph.ops:
        assert len(op.args) == ARITY[op.name]
        assert all(a in known for a in op.args if isinstance(a, str)), op
        assert all(a.index < len(graph.numbers) for a in op.args if isinstance(a, Number)), op
        known.add(op.out)
    forward = {op.out for op in graph.forward}
    assert {op.out for op in graph.advance} <= forward
    assert not any(a in graph.grads for op in graph.forward for a in op.args)


def test_numbers_are_no_part_of_the_structure():
    one, other = traced(LIF(tau=2.0)).graph, traced(LIF(tau=7.0, v_threshold=0.3)).graph
    assert one == other
    assert one.numbers != other.numbers
    assert one != traced(LIF(v_reset=0.0)).graph


def test_what_only_parameters_decide_stays_outside():
    found = traced(LIF(tau=Learned(2.0, shape=(3,)), decay_input=True))
    assert [p.per_neuron for p in found.graph.parameters] == [True] * len(found.graph.parameters)
    assert not any(op.name in ("exp", "min", "max") for op in found.graph.ops)
    assert found.gradients == (found.gradients[0],)
    assert found.gradients[0] is not None


def cut_by_trying(graph):
    """The fewest values that separate the forward part from the backward part, by trying all sets."""
    late = set(graph.grads)
    for op in graph.ops:
        if late & {a for a in op.args if isinstance(a, str)}:
            late.add(op.out)
    early = [graph.x, *graph.states, *(op.out for op in graph.ops if op.out not in late)]
    for size in range(len(early) + 1):
        for chosen in itertools.combinations(early, size):
            needed = graph.needed(graph.backward_targets(), chosen)
            read = {a for op in needed for a in op.args if isinstance(a, str)} - set(chosen)
            read |= {t for t in graph.backward_targets() if isinstance(t, str)} - set(chosen)
            if not read & {graph.x, *graph.states}:
                return size
    raise AssertionError


@pytest.mark.parametrize(
    ("make", "features"),
    [(IF, (3,)), (LIF, (3,)), (CubaLIF, (3,)), (LI, (3,)), (Adaptive, (3,)), (lambda: LIF(v_reset=0.0), (3,)),
     (lambda: LIF(tau=Learned(2.0)), (3,)), (Dendrite, (5, 2, 2))],
)  # fmt: skip
def test_the_cut_is_minimal_and_enough(make, features):
    graph = traced(make(), features).graph
    saved = graph.saved()
    needed = graph.needed(graph.backward_targets(), saved)
    read = {a for op in needed for a in op.args if isinstance(a, str)} - set(saved)
    assert not read & {graph.x, *graph.states}
    assert len(saved) == cut_by_trying(graph)


HEAVY = """
import sys
import torch
import snn4
from snn4 import nn

before = set(sys.modules)
x = torch.ones(2, 1, 3, requires_grad=True)
nn.LIF(tau=snn4.Learned(2.0))(x).sum().backward()
loaded = {name.split(".")[1] for name in set(sys.modules) - before if name.startswith("torch.")}
assert "sympy" not in sys.modules
assert not loaded & {"_dynamo", "_inductor"}, loaded
"""


def test_a_first_call_does_not_load_the_compiler_of_torch(python):
    process = python(HEAVY)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
