"""Kernels by Numba: the same bits as the loop, where there is no C++ compiler."""

from __future__ import annotations

import sys

import pytest
import torch
from tests.kernels import laws
from tests.kernels.twins import Adaptive, Dendrite, assert_close_gradients, assert_same_bits, inputs, relative, run

import snn4
from snn4 import Learned
from snn4.core.errors import MissingLibraryError, OptionError
from snn4.core.states import state
from snn4.kernels import build, numba_build, use
from snn4.neurons import IF, LI, LIF
from snn4.surrogates import ATan, FastSigmoid, Gaussian, MultiGaussian, Rectangle, Sigmoid
from snn4.through_time import Neuron

X = torch.linspace(-1, 2, 24).view(4, 2, 3)
needs_numba = pytest.mark.skipif(numba_build.no_numba_reason() is not None, reason=str(numba_build.no_numba_reason()))

EXACT = {
    "IF hard": lambda: IF(v_reset=0.1),
    "LIF rectangle": lambda: LIF(surrogate=Rectangle()),
    **{name: laws.EXACT[name] for name in ("LIF all options", "CubaLIF", "LI", "a user's")},
}


@needs_numba
@pytest.mark.usefixtures("unwritten_is_nan")
@pytest.mark.parametrize("mode", ["recompute", pytest.param("save", marks=pytest.mark.slow)])
def test_bits(mode):
    neuron = LIF(v_reset=0.0, surrogate=FastSigmoid())
    for steps in (1, 2, 7, 63):
        for count in (1, 33, 1000, 1025):
            xs, first = inputs(neuron, (steps, count, 1), seed=steps * count)
            reference = run(neuron, xs, first, "reference")
            assert_same_bits(run(neuron, xs, first, "numba", backward=mode), reference)
    assert reference.ys.any(), "it never fired"


@needs_numba
@pytest.mark.slow
@pytest.mark.usefixtures("unwritten_is_nan")
@pytest.mark.parametrize("make", EXACT.values(), ids=EXACT)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mode", ["recompute", "save"])
def test_bits_of_every_member(make, dtype, mode):
    neuron = make()
    for steps, count in ((1, 1), (7, 1025), (63, 33), (500, 3)):
        xs, first = inputs(neuron, (steps, count, 1), dtype)
        assert_same_bits(run(neuron, xs, first, "numba", backward=mode), run(neuron, xs, first, "reference"))


@needs_numba
@pytest.mark.parametrize("channels_last", [pytest.param(False, marks=pytest.mark.slow), True])
def test_parameters_of_every_shape(channels_last):
    channel = torch.linspace(1.6, 3.0, 5).view(5, 1, 1)
    each = torch.linspace(0.7, 1.3, 60).view(5, 3, 4)
    neuron = LIF(tau=Learned(channel), v_threshold=Learned(each), decay_input=True)
    xs, first = inputs(neuron, (7, 3, 5, 3, 4), channels_last=channels_last)
    reference, kernel = run(neuron, xs, first, "reference"), run(neuron, xs, first, "numba")
    assert_same_bits(kernel, reference)
    assert kernel.ys.stride() == xs.stride()
    assert set(kernel.grads) == set(reference.grads)
    for name, grad in kernel.grads.items():
        assert relative(grad, reference.grads[name]) < 1e-5, name


@needs_numba
def test_threads_and_segments_change_no_bit(monkeypatch):
    from snn4.kernels import numba_plan

    neuron = LIF(tau=Learned(2.0, shape=(3, 1, 1)), v_threshold=Learned(1.0))
    xs, first = inputs(neuron, (29, 5, 3, 16, 16))
    threads = torch.get_num_threads()
    monkeypatch.setattr(numba_plan, "SERIAL", 1)
    ran = []
    try:
        for count, steps in ((1, 1000), (1, 7), (3, 1000), (2, 1)):
            torch.set_num_threads(count)
            monkeypatch.setattr(numba_plan, "_HISTORY_BYTES", steps * 256 * 4)
            ran.append(run(neuron, xs, first, "numba"))
    finally:
        torch.set_num_threads(threads)
    for other in ran[1:]:
        assert_same_bits(other, ran[0])
        assert all(torch.equal(other.grads[name], grad) for name, grad in ran[0].grads.items())


@needs_numba
@pytest.mark.parametrize(
    "surrogate",
    [
        Sigmoid(Learned(4.0)),
        *(pytest.param(s, marks=pytest.mark.slow) for s in (Gaussian(), MultiGaussian(), ATan(Learned(2.0)))),
    ],
    ids=repr,
)
@pytest.mark.parametrize("double", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_surrogates_with_functions(surrogate, double):
    neuron = LIF(surrogate=surrogate)
    neuron = neuron.double() if double else neuron
    xs, first = inputs(neuron, (16, 33, 3), torch.float64 if double else torch.float32)
    reference, kernel = run(neuron, xs, first, "reference"), run(neuron, xs, first, "numba")
    assert torch.equal(kernel.ys, reference.ys)
    assert all(map(torch.equal, kernel.last, reference.last))
    assert_close_gradients(kernel, reference, 1e-14 if double else 2e-6)
    for name, grad in kernel.grads.items():
        assert relative(grad, reference.grads[name]) < 1e-5


@needs_numba
@pytest.mark.slow
@pytest.mark.parametrize("mode", ["recompute", "save"])
def test_a_users_neuron_with_learned_parameters(mode):
    neuron = Dendrite()
    xs, first = inputs(neuron, (33, 5, 5, 4, 4), scale=0.3)
    reference, kernel = run(neuron, xs, first, "reference"), run(neuron, xs, first, "numba", backward=mode)
    assert torch.equal(kernel.ys, reference.ys)
    assert all(map(torch.equal, kernel.last, reference.last))
    assert_close_gradients(kernel, reference, 1e-5)
    for name, grad in kernel.grads.items():
        assert relative(grad, reference.grads[name]) < 1e-5, name


class Everything(Neuron):
    """Every operation that a printer knows, once."""

    State = state("v", "w")

    def step(self, x, state):
        v, w = state
        a = torch.exp(-v.abs()) + torch.expm1(0.1 * w) + torch.log(v.abs() + 1) + torch.log1p(w.abs())
        a = a + torch.sin(v) * torch.cos(w) + torch.tan(0.1 * v) + torch.atan(w) + torch.erf(v)
        a = a + torch.tanh(w) * torch.sigmoid(v) + torch.sqrt(v.abs() + 0.5) + (v.abs() + 0.5) ** 1.7
        b = torch.floor(v) + torch.ceil(w) + torch.round(x) + torch.trunc(v) + torch.sign(w) + torch.fmod(v, 1.5)
        c = torch.where((v > w) & ~(x >= 0) | (v == w), v, w) + torch.maximum(v, x) - torch.minimum(w, x)
        c = c + torch.logical_xor(v < 0, w <= 0).to(x.dtype) + (x != 0).to(x.dtype) + x.clamp(-1, 1) + (-v)
        return a + b + c, self.State(0.5 * v + 0.1 * c + x, 0.5 * w - 0.1 * a)


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.float64, marks=pytest.mark.slow)])
@pytest.mark.parametrize("implementation", ["c++", pytest.param("numba", marks=[needs_numba, pytest.mark.slow])])
def test_every_operation(implementation, dtype):
    neuron = Everything()
    xs, first = inputs(neuron, (1, 40, 11), dtype)
    reference, kernel = run(neuron, xs, first, "reference"), run(neuron, xs, first, implementation)
    tolerance = 2e-6 if dtype == torch.float32 else 1e-14
    for one, other in zip((kernel.ys, *kernel.last), (reference.ys, *reference.last), strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=4 * tolerance)
    assert_close_gradients(kernel, reference, 10 * tolerance)


@needs_numba
def test_extreme_values():
    laws.extreme_values("numba")


def test_c_plus_plus_goes_first():
    if build.no_compiler_reason() is not None:
        pytest.skip(build.no_compiler_reason())
    (choice,) = snn4.explain(LIF(), X).choices
    assert choice.implementation == "c++"
    with use("numba"), use("auto"):
        assert snn4.explain(LIF(), X).choices[0].implementation == "c++"


@needs_numba
def test_without_a_compiler_numba_stands_in(monkeypatch, tmp_path):
    neuron = LIF(v_reset=0.0, surrogate=FastSigmoid())
    with use("reference"):
        expected = neuron(X)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "")

    class Here(Adaptive):
        pass

    for one in (neuron, Here()):
        with use("reference"):
            expected = one(X)
        (choice,) = snn4.explain(one, X).choices
        # what was compiled before is still there
        assert choice.implementation in (("c++", "numba") if one is neuron else ("numba",))
        assert torch.equal(one(X), expected)


def test_without_numba(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.setattr(numba_build.importlib.util, "find_spec", lambda name: None)
    assert "pip install 'snn4[numba]'" in (numba_build.no_numba_reason() or "")
    with use("numba"), pytest.raises(OptionError, match="numba is not installed"):
        LIF()(X)
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    with pytest.raises(MissingLibraryError, match=r"snn4\[numba\]"):
        numba_build.load_numba("", label="nothing")


LATER = """
import sys
import torch
from snn4.kernels import use
from snn4.neurons import LIF
from snn4.surrogates import FastSigmoid

with use("numba"):
    ys = LIF(v_reset=0.0, surrogate=FastSigmoid())(torch.linspace(-1, 2, 24).view(4, 2, 3))
assert "numba" not in sys.modules, "only llvmlite is needed for what is kept"
print(ys.flatten().tolist())
"""


@needs_numba
def test_a_later_process_does_not_load_numba(python):
    neuron = LIF(v_reset=0.0, surrogate=FastSigmoid())
    with use("numba"):
        ys = neuron(X)
    process = python(LATER)
    out, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert out.strip() == str(ys.flatten().tolist())
    assert "compiled" not in said


@needs_numba
@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], pytest.param(lambda b: b"", marks=pytest.mark.slow)])
def test_a_damaged_entry_is_built_again(damage, monkeypatch, tmp_path):
    from snn4.kernels import numba_plan

    monkeypatch.setenv("SNN4_CACHE", str(tmp_path))
    with use("numba"):
        for again in (False, True):
            numba_plan._plans.clear()
            build._loaded.clear()
            ys = LI()(X)
            (kept,) = (tmp_path / "kernels").glob("*.o")
            whole = kept.read_bytes()
            if not again:
                kept.unlink()
                kept.write_bytes(damage(whole))
    with use("reference"):
        assert torch.equal(ys, LI()(X))
    assert len(kept.read_bytes()) == len(whole)


@needs_numba
def test_inside_torch_compile():
    import warnings

    neuron = LIF(v_reset=0.0, surrogate=FastSigmoid())
    with warnings.catch_warnings(), use("numba"):
        warnings.simplefilter("ignore")
        torch.compiler.reset()
        compiled = torch.compile(neuron, fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(X), neuron(X))
        torch.compiler.reset()
