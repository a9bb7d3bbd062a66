"""What every test and doctest starts from."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Test processes that run side by side share the cores. Set before torch is imported; subprocesses inherit it.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))
# pictures need no screen
os.environ.setdefault("MPLBACKEND", "agg")


@pytest.fixture(scope="session", autouse=True)
def _own_kernel_cache() -> Iterator[None]:
    """Compiled kernels of tests neither come from, nor go to, the user's cache."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("SNN4_CACHE", folder)
        os.environ.setdefault("SNN4_QUIET", "1")
        yield


@pytest.fixture(autouse=True)
def _reference_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests are about the reference loop, whatever was imported before; those of the kernels compare with it."""
    registry = sys.modules.get("snn4.through_time.registry")
    if registry is None or "kernels" in Path(request.node.path).parts:
        yield
        return
    kernels = registry.registered()
    for kernel in kernels:
        registry.unregister(kernel)
    yield
    for kernel in reversed(kernels):
        if kernel not in registry.registered():
            registry.register(kernel)
