"""Every neuron as a kernel: none falls back without a reason, and each agrees with its loop."""

from __future__ import annotations

import pytest
import torch
from tests.kernels.twins import assert_close_gradients, assert_same_bits, relative, run
from tests.neurons.zoo import ZOO

import snn4
from snn4 import Learned
from snn4.kernels import use
from snn4.kernels.identity import identity
from snn4.kernels.trace import trace
from snn4.neurons import CLIF, DHLIF, LIF, IntegerLIF, UnaryLIF
from snn4.surrogates import LSG, MSG, Annealed, Dspike, Slayer

SURROGATES = {
    "LSG": lambda: LIF(Learned(2.0), Learned(0.7), surrogate=LSG()),
    "LSG learned": lambda: LIF(3.0, surrogate=LSG(Learned(1.0))),
    "MSG in eval": lambda: LIF(surrogate=MSG()).eval(),
    "Annealed": lambda: LIF(surrogate=Annealed().at(0.5)),
    "Dspike": lambda: LIF(surrogate=Dspike(Learned(3.0))),
    "Slayer": lambda: LIF(surrogate=Slayer()),
}
# no elementwise step: a state of another shape (test_staged.py), or a product over time
APART = {"DHLIF", "dh_lif", "PSN", "MaskedPSN", "UnaryLIF"}
KERNELS = {name: (make, options) for name, (make, options) in ZOO.items() if name not in APART}
KERNELS |= {name: (make, {}) for name, make in SURROGATES.items()}
# forward and backward consist of + - * / and comparisons, in one order
EXACT = {"TCLIF", "RPLIF", "RPLIF hard", "TernaryLIF", "IntegerLIF", "DALIF", "KLIF", "SlidingPSN"} | {
    "LSG",
    "MSG in eval",
}
QUICK = {"TCLIF per neuron", "SlidingPSN"}


COSTLY = ("exp", "sigmoid", "tanh", "erf", "atan", "pow", "log")


@pytest.mark.parametrize("name", KERNELS)
def test_the_compiler_takes_it(name):
    neuron = KERNELS[name][0]()
    seen = identity(neuron)
    learned = [path for path, tensor in seen.tensors.items() if tensor.requires_grad]
    traced = trace(neuron, seen.tensors, (3,), torch.float32, learned)
    assert len(traced.graph.states) == len(neuron.State._fields)
    assert all(gradient is not None for gradient in traced.gradients[: len(learned)])
    # what rows in the caches keep is enough, and no exponential of a repeated step is computed once more
    graph = traced.graph
    near, forward = graph.near(), {op.out for op in graph.needed((*graph.new_states, *graph.saved()))}
    late = graph.needed(graph.backward_targets(), near)
    read = {a for op in late for a in op.args if isinstance(a, str)} - set(near)
    assert not read & {graph.x, *graph.states}
    assert not [op for op in late if op.name in COSTLY and op.out in forward]
    assert set(near) <= {*read, *graph.backward_targets(), *(a for op in late for a in op.args)}


def test_what_a_step_computes_at_a_cost_is_kept_for_its_derivative():
    neuron = CLIF()
    graph = trace(neuron, {}, (3,), torch.float32, []).graph
    costly = {op.out for op in graph.advance if op.name in COSTLY}
    assert len(costly) == 2
    assert costly <= set(graph.near())
    assert not costly <= set(graph.saved())


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in KERNELS]
)
def test_the_kernel_agrees_with_the_loop(name):
    make, options = KERNELS[name]
    neuron = make()
    draw = torch.Generator().manual_seed(0)
    xs = (torch.randn(24, 33, 3, generator=draw) + 0.5) * options.get("scale", 1.0)
    assert snn4.explain(neuron, xs).choices[0].implementation == "c++"
    first = tuple(field.contiguous() for field in neuron.initial(xs[0]))
    kernel, reference = run(neuron, xs, first, "c++"), run(neuron, xs, first, "reference")
    assert torch.equal(kernel.ys, reference.ys)
    assert 0 < kernel.ys.count_nonzero() < kernel.ys.numel()
    for one, other in zip(kernel.last, reference.last, strict=True):
        torch.testing.assert_close(one, other, rtol=4e-7, atol=4e-7)
    if name in EXACT:
        assert_same_bits(kernel, reference)
    size = max(1.0, reference.grad_x.abs().max().item())
    assert relative(kernel.grad_x, reference.grad_x) < 1e-6
    if size == 1.0:
        assert_close_gradients(kernel, reference, 1e-5)
    assert set(kernel.grads) == set(reference.grads)
    for path, grad in kernel.grads.items():
        assert relative(grad, reference.grads[path]) < 2e-5, path


def why(neuron, x):
    (choice,) = snn4.explain(neuron, x).choices
    return choice.implementation, dict(choice.refused)


def test_those_that_cannot_say_why():
    class Derived(DHLIF):
        """May step in another way, so that its stages are not known."""

    x = torch.randn(7, 2, 4, 3)
    implementation, refused = why(Derived(), x)
    assert implementation == "reference loop"
    assert "state field of another shape" in refused["c++"]
    for name in ("PSN", "MaskedPSN"):
        implementation, refused = why(ZOO[name][0](), x)
        assert implementation == "its own sequence()"
        assert "T x T weights make one matrix product" in refused["kernels"]
    _, refused = why(UnaryLIF(IntegerLIF(7)), x)
    assert "virtual steps" in refused["kernels"]


def test_a_random_mask_is_no_kernel():
    x = torch.randn(5, 2, 3)
    for surrogate, told in ((MSG(), "aten"), (MSG(generator=torch.Generator()), "generator of random numbers")):
        implementation, refused = why(LIF(surrogate=surrogate).train(), x)
        assert implementation == "reference loop"
        assert told in refused["c++"]


def test_the_integers_inside_a_twin_run_as_a_kernel():
    twin, x = UnaryLIF(IntegerLIF(4)), 2 * torch.rand(16, 2, 3, generator=torch.Generator().manual_seed(0))
    with use("reference"):
        expected = twin(x)
    with use("c++"):
        assert torch.equal(twin(x), expected)
