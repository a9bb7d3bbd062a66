"""The Triton engine in Triton's interpreter, in a process of its own: the switch comes before the import."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed"),
]

PROGRAM = """
import math, sys
import torch
from snn4.timing import adjoint, engine_triton, reference
from snn4.timing.types import Constants

inf = math.inf
largest = 0.0
for seed, case in enumerate([(3.0, 0.7), (1.0, 1.0), (2.0, 1.0), (inf, 1.0), (1.0, inf), (inf, inf), (0.5, 1.3)]):
    draw = torch.Generator().manual_seed(seed)
    t = (torch.rand(2, 9, generator=draw, dtype=torch.float64) * 16).round() / 4
    t[torch.rand(2, 9, generator=draw) < 0.2] = inf
    t, source = t.sort(1)
    weight = torch.randn(5, 9, generator=draw, dtype=torch.float64) * 1.5 + 0.5
    for room in (2, 12):
        constants = Constants(*case, 1.0)
        given = (t, source, weight, constants, room, 4.0)
        law = reference.solve(*given, want_max=True)
        mine = engine_triton.solve(*given, want_max=True)
        assert torch.equal(mine.exists, law.exists) and torch.equal(mine.truncated, law.truncated), case
        for name in ("times", "current", "slope", "v_max", "t_max"):
            one, other = getattr(mine, name), getattr(law, name)
            largest = max(largest, float(torch.where(one == other, 0.0, (one - other).abs()).max()))
        grad = torch.randn(law.times.shape, generator=draw, dtype=torch.float64)
        grad_v = torch.randn(2, 5, generator=draw, dtype=torch.float64)
        fired = adjoint.clip_slope(law, constants, 4.0, 0.05)
        for extra in (None, grad_v):
            known = (t, source, weight, constants, fired, grad, extra)
            for one, other in zip(engine_triton.adjoint(*known), adjoint.adjoint(*known), strict=True):
                largest = max(largest, float((one - other).abs().max()) / max(1.0, float(other.abs().max())))
sys.exit(0 if largest < 1e-9 else f"differs by {largest}")
"""


def test_agrees_with_the_reference_in_the_interpreter():
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
