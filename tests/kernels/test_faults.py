"""What can go wrong outside of snn4 ends in a right result or a clear error."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest
import torch
from tests.kernels.twins import Adaptive, Dendrite, assert_close_gradients, assert_same_bits, inputs, run

import snn4
from snn4 import Learned
from snn4.core.errors import ShapeError
from snn4.kernels import build, identity, numba_plan, plan, use
from snn4.neurons import LIF, CubaLIF
from snn4.surrogates import FastSigmoid, Rectangle

X = torch.linspace(-1, 2, 24).view(4, 2, 3)


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A cache of its own, and nothing remembered."""

    def forget():
        plan._plans.clear()
        identity._walked.clear()
        build._loaded.clear()

    monkeypatch.setenv("SNN4_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(numba_plan, "no_numba_reason", lambda: "numba is not installed")
    forget()
    yield forget
    forget()


@pytest.fixture
def expected():
    with use("reference"):
        return LIF(v_reset=0.0, surrogate=FastSigmoid())(X)


def found():
    neuron = LIF(v_reset=0.0, surrogate=FastSigmoid())
    (choice,) = snn4.explain(neuron, X).choices
    return neuron(X), choice.implementation, dict(choice.refused).get("c++", "")


def compiler(path, body):
    path.mkdir(exist_ok=True)
    script = path / "g++"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    return str(script)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("exit 3", "it said nothing"),
        ("kill -SEGV $$", "it said nothing"),
        ("echo 'cc1plus: error: out of memory' >&2; exit 1", "out of memory"),
        ("exit 0", "it said nothing"),
        (
            '[ "$1" = --version ] && exit 0; head -c 40 /bin/sh > "$(echo "$*" | sed "s/.* -o //; s/ .*//")"',
            "cannot be loaded",
        ),
    ],
    ids=["exit", "crash", "message", "nothing made", "rubbish made"],
)
def test_a_broken_compiler(body, reason, fresh, expected, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", compiler(tmp_path / "bin", body))
    ys, implementation, said = found()
    assert implementation == "reference loop"
    assert reason in said, said
    assert torch.equal(ys, expected)


def test_a_compiler_without_openmp(fresh, expected, monkeypatch, tmp_path, capfd):
    real = build.find_compiler()
    assert real is not None
    body = f"""for a in "$@"; do [ "$a" = -fopenmp ] && echo "error: cannot find -lgomp" >&2 && exit 1; done
exec {real.path} "$@" """
    monkeypatch.setenv("CXX", compiler(tmp_path / "bin", body))
    monkeypatch.setenv("SNN4_QUIET", "")
    ys, implementation, _ = found()
    assert implementation == "c++"
    assert torch.equal(ys, expected)
    assert "on one thread" in capfd.readouterr().err


ELSEWHERE = """
import torch
from snn4.kernels import use
from snn4.neurons import LIF
from snn4.surrogates import FastSigmoid

with use("c++"):
    print(LIF(v_reset=0.0, surrogate=FastSigmoid())(torch.linspace(-1, 2, 24).view(4, 2, 3)).flatten().tolist())
"""


def test_a_shared_object_of_another_machine(fresh, expected, python):
    """Whole by its checksum, but the loader refuses it: it is built again."""
    found()
    (kept,) = build.cache_folder().glob("*.so")
    whole = bytearray(kept.read_bytes())
    whole[18:20] = (0xF3 if whole[18] != 0xF3 else 0x3E).to_bytes(2, "little")  # e_machine of ELF
    kept.unlink()
    kept.write_bytes(whole)
    about = json.loads(kept.with_suffix(".json").read_text())
    about["sha256"] = hashlib.sha256(whole).hexdigest()
    kept.with_suffix(".json").write_text(json.dumps(about))
    # a process of its own: this one has the right one under that name
    out, said = python(ELSEWHERE).communicate(timeout=120)
    assert out.strip() == str(expected.flatten().tolist()), said
    assert kept.read_bytes() != bytes(whole)


def test_a_cache_that_is_read_only(fresh, expected, monkeypatch, capfd):
    def full(*_args, **_kwargs):
        raise OSError(30, "Read-only file system")

    monkeypatch.setenv("SNN4_QUIET", "")
    monkeypatch.setattr(build.tempfile, "TemporaryFile", full)
    ys, implementation, _ = found()
    assert implementation == "c++"
    assert torch.equal(ys, expected)
    assert "Read-only file system" in capfd.readouterr().err


def test_no_steps_and_no_elements():
    with pytest.raises(ShapeError):
        LIF()(torch.empty(0, 2, 3))
    for shape in ((4, 0, 3), (4, 2, 0), (4, 0, 0)):
        x = torch.empty(shape, requires_grad=True)
        ys = LIF(tau=Learned(2.0))(x)
        ys.sum().backward()
        assert ys.shape == x.grad.shape == shape


FORKED = """
import os, signal, warnings
warnings.simplefilter("ignore")
import torch
from snn4.kernels import use
from snn4.neurons import LIF

torch.set_num_threads(2)
x, neuron = torch.linspace(-1, 2, 20 * 64 * 300).view(20, 64, 300), LIF()
with use("c++"), torch.no_grad():
    ys = neuron(x)
    child = os.fork()
    if not child:
        # a child that waits for threads which it has not got is ended, and that is told
        signal.alarm(60)
        os._exit(0 if bool((neuron(x).numpy() == ys.numpy()).all()) else 3)
    print(os.waitpid(child, 0)[1])
"""


def test_a_forked_process(python):
    process = python(FORKED)
    out, said = process.communicate(timeout=200)
    assert out.strip() == "0", said


MEMBERS = {
    "LIF": lambda: LIF(tau=Learned(2.0, shape=(7,))),
    "CubaLIF": lambda: CubaLIF(tau=3.0, tau_syn=2.0, surrogate=Rectangle()),
    "a user's": Adaptive,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["g++", "clang++"])
@pytest.mark.parametrize("mode", ["recompute", "save"])
def test_both_compilers(name, mode, fresh, monkeypatch):
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.setenv("CXX", path)
    for make in MEMBERS.values():
        neuron = make()
        xs, first = inputs(neuron, (9, 41, 7))
        assert_same_bits(run(neuron, xs, first, "c++", backward=mode), run(neuron, xs, first, "reference"))
    neuron = Dendrite()
    xs, first = inputs(neuron, (9, 5, 5, 4, 4), scale=0.3)
    reference, kernel = run(neuron, xs, first, "reference"), run(neuron, xs, first, "c++", backward=mode)
    assert torch.equal(kernel.ys, reference.ys)
    assert_close_gradients(kernel, reference, 1e-5)
    (found,) = {build.find_compiler()}
    assert found is not None
    assert found.kind == ("clang" if "clang" in name else "gcc")
