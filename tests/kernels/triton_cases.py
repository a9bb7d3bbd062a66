"""Kernels printed as Triton against the reference loop, in Triton's interpreter. `test_triton.py` runs this file.

It is no test file by name, because the interpreter needs a process of its own. The oracle is the loop over the neuron's
own step in plain torch.
"""

from __future__ import annotations

# first: it switches the interpreter on
from tests.kernels.interpreter import KERNEL  # isort: skip

import linecache

import pytest
import torch
import triton
from tests.kernels import laws
from tests.kernels.twins import Dendrite, assert_close_gradients, assert_same_bits, inputs, relative, run

import snn4
from snn4 import Learned
from snn4.core.errors import OptionError
from snn4.core.states import state
from snn4.kernels import BuildError, triton_kernel, triton_plan, triton_print, triton_source, use
from snn4.neurons import IF, LI, LIF, CubaLIF, exponential, plif
from snn4.surrogates import ATan, FastSigmoid, Gaussian, MultiGaussian, Rectangle, Sigmoid, Triangle, superspike
from snn4.through_time import Neuron, registry

EXACT = {
    **laws.EXACT,
    "IF hard": lambda: IF(v_reset=0.1, surrogate=Rectangle()),
    "LIF soft detached": lambda: LIF(detach_reset=True, decay=exponential),
    "CubaLIF hard": lambda: CubaLIF(v_reset=0.3, detach_reset=True, surrogate=superspike()),
}
STEPS, COUNTS = (1, 2, 7, 63), (1, 33, 1000, 1025)


class EveryOperation(Neuron):
    """Not a model of anything: one of each operation that a printer knows."""

    State = state("v", "w")

    def __init__(self):
        super().__init__()
        self.surrogate = ATan()

    def step(self, x, state):
        v = torch.add(state.v * 0.5, x, alpha=0.3) / 1.7
        a = torch.exp(-v.abs()) + torch.expm1(v * 0.1) + torch.log(v.abs() + 1) + torch.log1p(v * v)
        b = torch.sin(v) + torch.cos(v) + torch.tan(v * 0.2) + torch.atan(v) + torch.erf(v) + torch.tanh(v)
        c = torch.sigmoid(v) + torch.sqrt(v * v + 1) + torch.pow(v.abs() + 1, 1.7) + torch.fmod(v, 0.7)
        d = torch.floor(v) + torch.ceil(v) + torch.round(v * 2) + torch.trunc(v) + torch.sign(v) + (-v)
        e = torch.maximum(v, state.w) + torch.minimum(v, x) + v.clamp(-0.5, 0.5) + torch.relu(v)
        f = torch.where((v > 0) & ~(x < 0) | (v <= -1), a, b) + ((v >= x) ^ (v == x)).to(v.dtype) + (v != 0) * c
        s = self.surrogate(v - 0.6)
        return s, self.State(v - s, (a + b + c + d + e + f) * 0.05)


@pytest.fixture(autouse=True)
def kernel():
    registry.register(KERNEL)
    yield
    registry.unregister(KERNEL)


@pytest.fixture(autouse=True)
def unwritten_is_nan():
    """Fresh memory holds NaN, so that nothing unwritten passes."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def test_it_is_the_interpreter_that_runs():
    assert triton_source.interpreted()
    assert type(triton_source.module(_source(LIF())).snn4_forward).__name__ == "InterpretedFunction"
    assert triton.__version__.split(".")[0] == "3"


def _plan(neuron, features=(3,), dtype=torch.float32, device="cpu"):
    seen = snn4.kernels.identity.identity(neuron)
    plan = triton_plan.triton_plan_for(neuron, seen, features, dtype, torch.device(device))
    assert not isinstance(plan, str), plan
    return plan


def _source(neuron, mode="recompute"):
    return _plan(neuron).source(mode)


@pytest.mark.parametrize("make", EXACT.values(), ids=EXACT)
def test_bits(make):
    neuron = make()
    for steps, count in ((1, 1000), (2, 1025), (7, 1), (63, 33)):
        xs, first = inputs(neuron, (steps, count, 1), seed=steps * count)
        assert_same_bits(run(neuron, xs, first, "triton"), reference := run(neuron, xs, first, "reference"))
    assert reference.ys.any(), "it never fired"


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["recompute", "save"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("make", EXACT.values(), ids=EXACT)
def test_bits_of_every_member_in_every_mode_and_dtype(make, dtype, mode):
    neuron = make()
    for steps in STEPS:
        for count in COUNTS:
            xs, first = inputs(neuron, (steps, count, 1), dtype, seed=steps * count)
            assert_same_bits(run(neuron, xs, first, "triton", backward=mode), run(neuron, xs, first, "reference"))


@pytest.mark.parametrize(
    "dtype", [torch.float32, pytest.param(torch.float64, marks=pytest.mark.slow)], ids=["float32", "float64"]
)
@pytest.mark.parametrize("mode", ["recompute", "save"])
@pytest.mark.parametrize("make", [EXACT["LIF hard"], EXACT["CubaLIF"], EXACT["a user's"]], ids=["1", "2", "user"])
def test_bits_in_every_mode_and_dtype(make, dtype, mode):
    neuron = make()
    segment = triton_print.segment(_plan(neuron, dtype=dtype).graph, mode)
    # around the ends of segments
    for steps in (segment - 1, segment, segment + 1, 2 * segment, 2 * segment + 1):
        xs, first = inputs(neuron, (steps, 3, 11), dtype, seed=steps)
        assert_same_bits(run(neuron, xs, first, "triton", backward=mode), run(neuron, xs, first, "reference"))


@pytest.mark.slow
def test_500_steps():
    neuron = LIF(surrogate=FastSigmoid())
    xs, first = inputs(neuron, (500, 3, 1))
    for mode in ("recompute", "save"):
        assert_same_bits(run(neuron, xs, first, "triton", backward=mode), run(neuron, xs, first, "reference"))


SURROGATES = (
    *(ATan(), FastSigmoid(), superspike(), Triangle(), Rectangle(), Sigmoid(), Gaussian(), MultiGaussian()),
    *(ATan(Learned(2.0)), Sigmoid(Learned(4.0)), Gaussian(Learned(0.5)), Triangle(Learned(1.0))),
)


@pytest.mark.parametrize("surrogate", SURROGATES, ids=repr)
def test_surrogates(surrogate):
    neuron = LIF(surrogate=surrogate)
    xs, first = inputs(neuron, (9, 5, 3))
    reference, kernel = run(neuron, xs, first, "reference"), run(neuron, xs, first, "triton")
    assert torch.equal(kernel.ys, reference.ys)
    assert all(map(torch.equal, kernel.last, reference.last))
    assert_close_gradients(kernel, reference, 2e-6)
    assert set(kernel.grads) == set(reference.grads)
    for name, grad in kernel.grads.items():
        assert relative(grad, reference.grads[name]) < 1e-5


@pytest.mark.parametrize("mode", ["recompute", "save"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_every_operation(dtype, mode):
    neuron = EveryOperation()
    # so few steps that a difference of one rounding does not grow
    xs, first = inputs(neuron, (2, 4, 16), dtype)
    reference, kernel = (run(neuron, xs, first, "reference"), run(neuron, xs, first, "triton", backward=mode))
    near = 4e-6 if dtype == torch.float32 else 1e-14
    assert torch.equal(kernel.ys, reference.ys)
    for mine, theirs in zip((*kernel.last, kernel.grad_x), (*reference.last, reference.grad_x), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=near, atol=near)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("learned", [False, True])
def test_parameters_of_every_shape(channels_last, learned):
    laws.parameters_of_every_shape("triton", channels_last, learned)


@pytest.mark.parametrize("mode", ["recompute", "save"])
def test_a_users_neuron_with_learned_parameters(mode):
    neuron = Dendrite()
    xs, first = inputs(neuron, (17, 5, 5, 4, 4), scale=0.3)
    reference, kernel = run(neuron, xs, first, "reference"), run(neuron, xs, first, "triton", backward=mode)
    assert torch.equal(kernel.ys, reference.ys)
    assert_close_gradients(kernel, reference, 1e-5)
    for name, grad in kernel.grads.items():
        assert relative(grad, reference.grads[name]) < 1e-5, name


def test_many_rows_of_learned_parameters(monkeypatch):
    """Sums over groups of rows, as a large batch has them."""
    monkeypatch.setattr(triton_plan, "_ROW", 16)
    monkeypatch.setattr(triton_plan, "_UNITS", 3)
    neuron = plif(2.0, shape=(3,), surrogate=Triangle()).double()
    xs, first = inputs(neuron, (5, 50, 3), torch.float64)
    reference, kernel = run(neuron, xs, first, "reference"), run(neuron, xs, first, "triton")
    assert_same_bits(kernel, reference)
    for name, grad in kernel.grads.items():
        assert relative(grad, reference.grads[name]) < 1e-13, name


def test_sums_are_the_same_in_every_run():
    neuron = LIF(tau=Learned(2.0), v_threshold=Learned(torch.linspace(0.7, 1.3, 7)))
    xs, first = inputs(neuron, (7, 200, 7))
    one, two = (run(neuron, xs, first, "triton") for _ in range(2))
    assert all(torch.equal(one.grads[name], two.grads[name]) for name in one.grads)


@pytest.mark.parametrize("arrange", laws.LAYOUTS.values(), ids=laws.LAYOUTS)
def test_any_layout(arrange):
    laws.any_layout("triton", arrange)


def test_only_a_part_of_the_outputs_has_a_gradient():
    laws.gradient_of_a_part("triton")


def test_numbers_change_without_another_text():
    assert _source(LIF()) == _source(LIF(tau=7.0, v_threshold=0.3)) == _source(LIF(surrogate=ATan(3.0)))
    xs, first = inputs(LIF(), (4, 3, 2))
    for neuron in (LIF(), LIF(tau=7.0), LIF(v_threshold=0.5, decay=exponential)):
        assert_same_bits(run(neuron, xs, first, "triton"), run(neuron, xs, first, "reference"))


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_autocast_moves_few_bits_and_keeps_the_state(low):
    """As the loop does it: the input widened once, states in float32, spikes and gradient rounded once."""
    neuron = LIF(tau=1.7, surrogate=FastSigmoid())
    xs, _ = inputs(neuron, (19, 5, 7))
    weight = torch.randn(19, 5, 7, generator=torch.Generator().manual_seed(1)).to(low)
    found = []
    for implementation in ("reference", "triton"):
        leaf = xs.to(low).requires_grad_()
        with use(implementation), torch.autocast("cpu", low):
            ys, states = snn4.run(neuron, leaf)
        (ys * weight).sum().backward()
        found.append((ys, states[""].v, leaf.grad))
    for mine, theirs in zip(*found, strict=True):
        assert mine.dtype == theirs.dtype
        assert torch.equal(mine, theirs)
    assert found[0][0].dtype == low
    assert found[0][1].dtype == torch.float32


def test_few_bits_are_refused_where_they_would_lose_something():
    low = torch.zeros(3, 1, 2, dtype=torch.bfloat16)
    assert "not spikes under autocast" in KERNEL._refuses(LIF(), low, LIF.State(low[0]))
    with torch.autocast("cpu", torch.bfloat16):
        assert "not spikes under autocast" in KERNEL._refuses(LI(), low, LI.State(low[0].float()))


def test_second_derivatives():
    laws.second_derivatives("triton")


def test_chunks_are_one_sequence():
    neuron = CubaLIF(tau=3.0, tau_syn=2.0)
    xs, _ = inputs(neuron, (23, 3, 2))
    with use("triton"), torch.no_grad():
        ys, whole = snn4.run(neuron, xs)
        parts, now = [], None
        for part in xs.split([1, 2, 7, 13]):
            y, now = snn4.run(neuron, part, now)
            parts.append(y)
    assert torch.equal(torch.cat(parts), ys)
    assert all(map(torch.equal, now[""], whole[""]))


def test_extreme_values():
    laws.extreme_values("triton")


def test_memory_kept_for_the_gradient():
    """What section "recompute" promises: the input, and one state every 8 steps."""
    neuron = LIF()
    plan = _plan(neuron, (64,))
    layout = snn4.kernels.layout.layout_of(torch.empty(16, 1, 64))
    for steps, rows in ((1, 0), (8, 0), (9, 1), (16, 1), (17, 2)):
        xs = torch.zeros(steps, 1, 64)
        _, _, kept, _ = plan.forward(xs, [torch.zeros(1, 64)], [], layout, "recompute", last=True)
        assert sum(k.numel() for k in kept) == rows * 64
        _, _, kept, _ = plan.forward(xs, [torch.zeros(1, 64)], [], layout, "save", last=True)
        assert [k.shape[0] for k in kept] == [steps]
        assert plan.forward(xs, [torch.zeros(1, 64)], [], layout, None, last=True)[2] == []


def test_on_cuda_a_division_by_a_number_is_a_product():
    """As torch divides there: 1 / 3 rounded, then multiplied."""
    graph = _plan(EveryOperation()).graph
    changed = triton_plan.divided_as_on_cuda(graph, torch.float32)
    pairs = [(a, b) for a, b in zip(graph.ops, changed.ops, strict=True) if a != b]
    assert pairs, "nothing was divided by a number"
    for before, after in pairs:
        assert (before.name, after.name) == ("div", "mul")
        divisor = torch.tensor(graph.numbers[before.args[1].index], dtype=torch.float32)
        assert changed.numbers[after.args[1].index] == (1 / divisor).item()


def test_only_text_in_memory_is_executed(kernel_cache):
    text = _source(IF(surrogate=MultiGaussian()))
    path = kernel_cache / "kernels" / (triton_source.__name__ + ".py")
    made = triton_source.module(text)
    path = type(path)(made.__file__)
    assert path.read_text() == text
    path.write_text("raise SystemExit('executed from disk')")
    triton_source._loaded.clear()
    again = triton_source.module(text)
    assert path.read_text() == text
    path.write_text("raise SystemExit('read from disk')")
    linecache.checkcache()
    assert linecache.getline(str(path), 1) == text.splitlines(keepends=True)[0]
    assert again is not made


def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    monkeypatch.setenv("SNN4_CACHE", str(tmp_path / "file"))
    (tmp_path / "file").write_text("in the way")
    triton_source._loaded.clear()
    neuron = LIF(surrogate=Triangle())
    xs, first = inputs(neuron, (3, 2, 2))
    snn4.kernels.triton_plan._plans.clear()
    assert_same_bits(run(neuron, xs, first, "triton"), run(neuron, xs, first, "reference"))


def test_a_kernel_that_triton_cannot_run_is_no_end(monkeypatch):
    neuron = LIF(tau=5.5, surrogate=Gaussian(0.3))
    xs, first = inputs(neuron, (3, 2, 2))
    reference = run(neuron, xs, first, "reference")

    def broken(*arguments):
        raise RuntimeError("no launcher today")

    monkeypatch.setattr(triton_plan.TritonPlan, "_start", broken)
    monkeypatch.setattr(triton_kernel, "_CHECKED", True)
    state = neuron.State(*first)
    with use("triton"), pytest.raises(BuildError, match=r"Triton failed on snn4_forward of LIF: no launcher today"):
        neuron.sequence(xs, state)
    assert KERNEL.refuses(neuron, xs, state) == "Triton failed on snn4_forward of LIF: no launcher today"
    _plan(neuron, (2,)).broken = None
    # the same call falls back
    assert KERNEL.refuses(neuron, xs, state) is None
    assert torch.equal(KERNEL(neuron, xs, state)[0], reference.ys)


def test_unasked_nobody_gets_what_no_gpu_has_checked():
    net = torch.nn.Sequential(LIF())
    (choice,) = snn4.explain(net, torch.zeros(3, 1, 2)).choices
    assert choice.implementation == "c++"
    assert choice.refused == (("triton", "no GPU has checked these kernels yet; use('triton') runs them all the same"),)


def test_explain_names_triton():
    net = torch.nn.Sequential(LIF(), LI())
    with use("triton"):
        table = str(snn4.explain(net, torch.zeros(3, 1, 2)))
    assert table.count("triton") >= 2
    with use("c++"), pytest.raises(OptionError, match=r"use\('c\+\+'\) is in force"):
        snn4.explain(torch.nn.Sequential(_Unknown()), torch.zeros(3, 1, 2))
    with use("triton"), pytest.raises(OptionError, match="step does aten.cumsum"):
        snn4.explain(torch.nn.Sequential(_Unknown()), torch.zeros(3, 1, 2))


class _Unknown(Neuron):
    State = state("v")

    def step(self, x, state):
        v = state.v + x.cumsum(-1)
        return v, self.State(v)
