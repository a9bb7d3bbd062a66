"""Kernels that come with snn4: used where they fit, with the same bits at every level of instructions."""

from __future__ import annotations

import pytest
import torch
from tests.kernels.twins import assert_same_bits, inputs, run

from snn4.kernels import blocks, build, compiler, identity, plan, pool
from snn4.kernels.prebuild import prebuild
from snn4.neurons import LIF, CubaLIF
from snn4.surrogates import FastSigmoid

LEVELS = compiler.levels()
pytestmark = pytest.mark.skipif(not LEVELS, reason="no level of instructions is known for this CPU")


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """An installation with kernels, and an empty cache."""
    folder = tmp_path / "prebuilt"
    monkeypatch.setattr(build, "prebuilt_folder", lambda: folder)
    monkeypatch.setenv("SNN4_CACHE", str(tmp_path / "cache"))
    fresh()
    yield folder
    fresh()


def fresh():
    """Act like a new process."""
    build._loaded.clear()
    plan._plans.clear()
    identity._walked.clear()


def compiled(folder):
    """How many kernels were compiled here."""
    return len(list((folder.parent / "cache" / "kernels").glob("*.so")))


def loaded():
    return [name for _, name in build._loaded if name.endswith(".so")]


def test_bits_do_not_depend_on_the_level(shipped, monkeypatch):
    neuron = LIF(v_reset=0.0, surrogate=FastSigmoid())
    xs, first = inputs(neuron, (13, 33, 7))
    reference = run(neuron, xs, first, "reference")
    names = prebuild([neuron], shipped, LEVELS)
    assert len(names) == len(LEVELS)
    for level in LEVELS:
        fresh()
        monkeypatch.setattr(build, "levels", lambda level=level: (level,))
        assert_same_bits(run(neuron, xs, first, "c++"), reference)
        (name,) = loaded()
        assert level in name
    assert not compiled(shipped)
    fresh()
    monkeypatch.setattr(build, "levels", tuple)
    assert_same_bits(run(neuron, xs, first, "c++"), reference)
    assert compiled(shipped) == 1, "a CPU with none of the levels compiles"


def test_what_does_not_fit_is_compiled_here(shipped):
    prebuild([LIF()], shipped, LEVELS[:1])
    xs, first = inputs(LIF(), (3, 5, 2))
    run(LIF(tau=9.0), xs, first, "c++")
    assert not compiled(shipped), "numbers are arguments"
    neuron = CubaLIF(tau=3.0, tau_syn=2.0)
    run(neuron, *inputs(neuron, (3, 5, 2)), "c++")
    assert compiled(shipped) == 1, "another neuron"
    (kept,) = shipped.glob("*.so")
    whole = kept.read_bytes()
    kept.unlink()
    kept.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    fresh()
    run(LIF(), xs, first, "c++")
    assert compiled(shipped) == 2, "a damaged one"


def test_no_compiler_is_needed(shipped, monkeypatch, tmp_path):
    neuron = LIF(v_reset=0.0, surrogate=FastSigmoid())
    prebuild([neuron], shipped, LEVELS[:1])
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "")
    xs, first = inputs(neuron, (3, 5, 2))
    assert_same_bits(run(neuron, xs, first, "c++"), run(neuron, xs, first, "reference"))


@pytest.mark.parametrize("index", ["{", "[]", '{"format": "another", "sha256": {"a": "b"}}'])
def test_a_damaged_index_is_no_index(shipped, index):
    shipped.mkdir()
    (shipped / "index.json").write_text(index)
    assert build.prebuilt("a") is None


def test_a_neuron_that_is_no_kernel_is_left_out(shipped):
    class Sorting(LIF):
        def step(self, x, state):
            return super().step(x.cumsum(-1), state)

    assert prebuild([Sorting()], shipped, LEVELS[:1]) == []


def test_other_sources_come_along(shipped):
    twice = 'extern "C" int twice(int x) { return 2 * x; }'
    assert len(prebuild([], shipped, LEVELS[:1], more={"twice": twice})) == 1
    assert build.library(twice, label="twice").twice(21) == 42
    assert not compiled(shipped)


def test_levels_follow_the_cpu(monkeypatch):
    v3 = "flags\t\t: fpu avx avx2 bmi1 bmi2 f16c fma abm movbe"
    monkeypatch.setattr(compiler.platform, "system", lambda: "Linux")
    for text, expected in (
        ("model name : Old\nflags : fpu sse2", ()),
        (v3, ("x86-64-v3",)),
        (v3 + " avx512f avx512bw avx512cd avx512dq avx512vl", ("x86-64-v4", "x86-64-v3")),
        ("CPU part : 0xd0c\nFeatures : fp asimd", ("armv8-a",)),
    ):
        monkeypatch.setattr(compiler, "cpu", lambda text=text: text)
        assert compiler.levels() == expected


def test_what_neurons_share_comes_along(shipped):
    names = prebuild([], shipped, LEVELS[:1], shared=True)
    assert len(names) == 2
    blocks._library.cache_clear()
    assert blocks.empty((1 << 18,), (1,), torch.float32).shape == (1 << 18,)
    assert pool() >= 0
    assert loaded()[0] in names
    assert not compiled(shipped)
    blocks._library.cache_clear()
