"""Triton without a GPU: interpreted against the loop, and compiled for sm_90."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from snn4 import Learned
from snn4.kernels import use
from snn4.kernels.identity import identity
from snn4.kernels.triton_kernel import TRITON
from snn4.kernels.triton_plan import OPTIONS, triton_plan_for
from snn4.neurons import IF, LI, LIF, CubaLIF
from snn4.surrogates import Sigmoid
from snn4.through_time import explain, registry

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
CASES = Path(__file__).with_name("triton_cases.py")
ROOT = CASES.parents[2]


def interpreted(*arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_"))}
    environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT), *(p for p in sys.path if p)]), "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(CASES), *arguments]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT, check=False)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    assert re.search(r"\d+ passed", ran.stdout), ran.stdout
    assert "skipped" not in ran.stdout


@needs_triton
def test_interpreted():
    """Every case of triton_cases.py, in a process where Triton's interpreter is on."""
    interpreted()


@needs_triton
@pytest.mark.slow
def test_interpreted_slowly():
    interpreted("-m", "slow")


# ------------------------------------------------------------------------------------------------ compiled for a GPU

SHIPPED = {
    "IF": lambda: IF(),
    "LIF": lambda: LIF(),
    "LIF, all options": lambda: LIF(v_reset=-0.5, detach_reset=True, decay_input=True),
    "LIF, learned per channel": lambda: LIF(tau=Learned(torch.full((5, 1, 1), 2.0)), surrogate=Sigmoid()),
    "CubaLIF": lambda: CubaLIF(),
    "LI": lambda: LI(),
}
FEATURES = (5, 3, 4)
_KINDS = {torch.float32: "fp32", torch.float64: "fp64", torch.bfloat16: "bf16", torch.float16: "fp16"}


def plan_of(neuron, dtype=torch.float32):
    plan = triton_plan_for(neuron, identity(neuron), FEATURES, dtype, torch.device("cpu"))
    assert not isinstance(plan, str), plan
    return plan


def compiled(plan, mode, name, travels, block=256):
    """A kernel for an H100 or H200, as a launch with large, aligned tensors would compile it. Needs no driver."""
    import triton
    from triton.backends.compiler import GPUTarget

    function = getattr(plan.module(mode), name)
    kinds, constants, aligned = {}, {}, {}
    for place, argument in enumerate(function.arg_names):
        kind = "i32"
        if argument == "BLOCK" or argument.startswith("step"):
            kind, constants[(place,)] = "constexpr", block if argument == "BLOCK" else 1
        elif argument in ("partial_at", "total_at"):
            kind = "*fp64"
        elif argument in ("x_at", "y_at", "gy_at", "gx_at"):
            kind = f"*{_KINDS[travels]}"
        elif argument.endswith("_at"):
            kind = f"*{_KINDS[plan.dtype]}"
        kinds[argument] = kind
        if kind.startswith("*") or argument in ("N", "P", "XS"):
            aligned[(place,)] = [["tt.divisibility", 16]]
    source = triton.compiler.ASTSource(fn=function, signature=kinds, constexprs=constants, attrs=aligned)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4, **OPTIONS})


def check_arithmetic(assembly):
    """IEEE: no product contracted with a sum, nothing rounded to zero below the normal numbers, no near division."""
    assert not re.search(r"\b(add|sub|mul|div|sqrt)\S*\.ftz", assembly)
    assert not re.search(r"\bdiv\.(full|approx)", assembly)
    assert not re.search(r"\b(fma|mad)\.\S*f(32|64)", assembly)
    assert not re.search(r"\b(atom|red)\.", assembly)


@pytest.fixture
def triton_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


@needs_triton
@pytest.mark.usefixtures("triton_cache")
@pytest.mark.parametrize("make", SHIPPED.values(), ids=SHIPPED)
def test_compiled_for_sm_90(make):
    plan = plan_of(make())
    for name in ("snn4_forward", "snn4_backward"):
        made = compiled(plan, "recompute", name, torch.float32)
        assert made.asm["cubin"]
        if "learned" not in str(make()):  # exp of the sigmoid is a function, made of such parts
            check_arithmetic(made.asm["ptx"])
    # loads of neighbours are one load
    assert "ld.global.v2" in made.asm["ptx"] or "ld.global.v4" in made.asm["ptx"]


@needs_triton
@pytest.mark.slow
@pytest.mark.usefixtures("triton_cache")
@pytest.mark.parametrize("make", SHIPPED.values(), ids=SHIPPED)
def test_compiled_for_sm_90_in_every_mode_and_dtype(make):
    for travels, dtype in ((torch.float64,) * 2, (torch.bfloat16, torch.float32), (torch.float16, torch.float32)):
        for mode in ("recompute", "save"):
            plan = plan_of(make(), dtype)
            for name in ("snn4_forward", "snn4_backward"):
                assert compiled(plan, mode, name, travels).asm["cubin"]


@needs_triton
@pytest.mark.usefixtures("triton_cache")
def test_sums_compiled_for_sm_90():
    plan = plan_of(LIF())
    for name in ("snn4_total", "snn4_total_wide"):
        check_arithmetic(compiled(plan, "recompute", name, torch.float32, 1024).asm["ptx"])


# ------------------------------------------------------------------------------------------------------------ choice


def test_it_takes_tensors_of_a_gpu_alone():
    xs = torch.zeros(3, 1, 2)
    assert TRITON.refuses(LIF(), xs, LIF.State(xs[0])) == "the input lies on cpu"
    assert TRITON.name == "triton"
    assert TRITON in registry.registered()
    # C++ is asked first, so that nobody reads about GPUs who has none
    net = torch.nn.Sequential(LIF())
    assert [c.refused for c in explain(net, xs).choices] == [()]
    with use("reference"):
        assert TRITON.refuses(LIF(), xs, LIF.State(xs[0])) == "use('reference') is in force"


def test_without_triton_the_reason_says_what_to_install(monkeypatch):
    from snn4.kernels import triton_source

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'snn4[gpu]'" in triton_source.no_triton_reason.__wrapped__()


def test_nothing_of_triton_is_imported_before_it_is_needed(python):
    ran = python("import sys, snn4.kernels; assert 'triton' not in sys.modules, 'imported'")
    _, said = ran.communicate(timeout=120)
    assert ran.returncode == 0, said
