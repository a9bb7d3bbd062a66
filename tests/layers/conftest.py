"""These tests are about the reference loop; kernels are compared with it in tests of their own."""

from __future__ import annotations

import pytest

from snn4.through_time.registry import register, registered, unregister


@pytest.fixture(autouse=True)
def _without_kernels():
    kernels = registered()
    for kernel in kernels:
        unregister(kernel)
    yield
    for kernel in reversed(kernels):
        register(kernel)
