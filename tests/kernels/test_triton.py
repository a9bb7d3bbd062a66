"""Triton without a GPU: interpreted against the loop, and compiled for sm_90."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from snn4 import Learned
from snn4.kernels import triton_plan, use
from snn4.kernels.identity import identity
from snn4.kernels.layout import layout_of
from snn4.kernels.triton_kernel import TRITON
from snn4.kernels.triton_plan import OPTIONS, TritonPlan, triton_plan_for
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


@needs_triton
def test_the_benchmark_for_gpus_runs(tmp_path):
    """Tiny and interpreted: every section, every entry, and parity with the loop."""
    out, script = tmp_path / "gpu.json", ROOT / "benchmarks" / "gpu.py"
    code = "import runpy, sys, tests.kernels.interpreter as _; del sys.argv[0]; "
    code += "runpy.run_path(sys.argv[0], None, '__main__')"
    paths = [str(ROOT), str(script.parent), *(p for p in sys.path if p)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-W", "error", "-c", code, str(script), "--dry", "--out", str(out)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    assert "left out" not in ran.stdout
    found = json.loads(out.read_text())
    assert set(found) >= {"conditions", "parity", "layer", "gemm", "steps", "overhead", "blocks"}
    assert found["parity"]["right"]
    assert "snn4 LIF bf16" in next(iter(found["layer"].values()))


# ------------------------------------------------------------------------------------------------ compiled for a GPU

SHIPPED = {
    "IF": lambda: IF(),
    "LIF": lambda: LIF(),
    "LIF, all options": lambda: LIF(v_reset=-0.5, detach_reset=True, decay_input=True),
    "LIF, learned per channel": lambda: LIF(tau=Learned(torch.full((5, 1, 1), 2.0)), surrogate=Sigmoid()),
    "CubaLIF": lambda: CubaLIF(),
    "LI": lambda: LI(),
}
# as many elements as wide loads want
FEATURES = (5, 4, 4)


class H200:
    """What Triton asks a driver before it compiles, and nothing of what it asks to launch."""

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0

    def get_current_target(self):
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", 90, 32)


@pytest.fixture
def compiled(tmp_path, monkeypatch):
    """A forward and a backward call whose launches compile and launch nothing: the kernels, by name."""
    from triton.runtime import driver

    made = {}

    def compile_only(plan, name, mode, grid, arguments, block):
        kernel = getattr(plan.module(mode), name)
        made[name] = kernel.warmup(*arguments, BLOCK=block, num_warps=triton_plan._WARPS, grid=grid, **OPTIONS)

    def call(neuron, dtype=torch.float32, mode="recompute", travels=None):
        made.clear()
        plan = triton_plan_for(neuron, identity(neuron), FEATURES, dtype, torch.device("cpu"))
        assert not isinstance(plan, str), plan
        xs = torch.zeros(9, 2, *FEATURES, dtype=travels or dtype)
        state = [torch.zeros(2, *FEATURES, dtype=dtype) for _ in neuron.State._fields]
        tensors = [t.detach() for t in identity(neuron).tensors.values()]
        layout = layout_of(xs)
        ys, last, kept, ready = plan.forward(xs, state, tensors, layout, mode, last=True)
        assert ys.dtype == xs.dtype
        given = None if mode == "save" else xs
        plan.backward(given, state, kept, ready, ys, last, layout, mode, need_x=True, need_state=True)
        return made

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(TritonPlan, "_run", compile_only)
    monkeypatch.setattr(triton_plan, "_INTERPRETED", (256, 128))
    monkeypatch.setattr(triton_plan, "_LARGE", 1)
    monkeypatch.setattr(driver, "_active", H200())
    return call


def check_arithmetic(assembly):
    """IEEE: no product contracted with a sum, nothing rounded to zero below the normal numbers, no near division."""
    assert not re.search(r"\b(add|sub|mul|div|sqrt)\S*\.ftz", assembly)
    assert not re.search(r"\bdiv\.(full|approx)", assembly)
    assert not re.search(r"\b(fma|mad)\.\S*f(32|64)", assembly)
    assert not re.search(r"\b(atom|red)\.", assembly)


@needs_triton
@pytest.mark.parametrize("make", SHIPPED.values(), ids=SHIPPED)
def test_compiled_for_sm_90(make, compiled):
    neuron = make()
    made = compiled(neuron)
    assert {"snn4_forward", "snn4_backward"} <= set(made)
    for kernel in made.values():
        assert kernel.asm["cubin"]
        if list(neuron.parameters()) == []:  # exp of the sigmoid is a function, made of such parts
            check_arithmetic(kernel.asm["ptx"])
    # loads of neighbours are one load
    assert "ld.global.v2" in made["snn4_backward"].asm["ptx"]


@needs_triton
def test_sums_compiled_for_sm_90(compiled):
    made = compiled(LIF(tau=Learned(2.0), v_threshold=Learned(torch.ones(5, 1, 1))))
    for name in ("snn4_forward", "snn4_backward", "snn4_total", "snn4_total_wide"):
        check_arithmetic(made[name].asm["ptx"])


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("mode", ["recompute", "save"])
@pytest.mark.parametrize("make", SHIPPED.values(), ids=SHIPPED)
def test_compiled_for_sm_90_in_every_mode_and_dtype(make, mode, compiled):
    for travels, dtype in ((torch.float64,) * 2, (torch.bfloat16, torch.float32), (torch.float16, torch.float32)):
        assert all(kernel.asm["cubin"] for kernel in compiled(make().to(dtype), dtype, mode, travels).values())


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
