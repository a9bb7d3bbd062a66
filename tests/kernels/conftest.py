"""One cache for the whole run: each kernel is compiled once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

import snn4.kernels  # noqa: F401  (registers the kernels)
from snn4.kernels import build

COMPILER = build.no_compiler_reason()
# looking for doctests would import them, and with them switch Triton's interpreter on
collect_ignore = ["interpreter.py", "triton_cases.py"]


@pytest.fixture(scope="session", autouse=True)
def kernel_cache(tmp_path_factory):
    """Kernels of these tests do not come from, or go to, the user's cache."""
    before = {name: os.environ.get(name) for name in ("SNN4_CACHE", "SNN4_QUIET")}
    folder = tmp_path_factory.mktemp("kernels")
    os.environ.update(SNN4_CACHE=str(folder), SNN4_QUIET="1")
    yield folder
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture
def unwritten_is_nan():
    """Fresh memory holds NaN, so that nothing unwritten passes."""
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty_strided((3,), (1,)).isnan().all(), "this torch does not fill fresh memory"
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.fixture
def python():
    """Run a script in a process of its own."""

    def start(script, **environment):
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def pytest_collection_modifyitems(items):
    if COMPILER is None:
        return
    for item in items:
        names = ("test_graph", "test_numba", "test_triton", "triton_cases")
        if "kernels" in str(item.path) and not item.path.name.startswith(names):
            item.add_marker(pytest.mark.skip(reason=COMPILER))
