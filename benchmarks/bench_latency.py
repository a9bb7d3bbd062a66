"""How long a neuron's first use takes, and what one call costs beside its arithmetic.

    python benchmarks/bench_latency.py

The first use is measured in processes of their own: with an empty cache, and again with what it left there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

import torch
from common import show, write

from snn4 import Learned
from snn4.neurons import LIF

FIRST = """
import time, torch, snn4
from snn4.neurons import LIF
from snn4 import Learned
neuron = {neuron}
x = torch.randn(4, 8, 32, requires_grad=True)
began = time.perf_counter()
neuron(x).sum().backward()
print(time.perf_counter() - began)
"""
NEURONS = {
    "LIF": "LIF(tau=2.0)",
    "LIF, two learned per neuron": "LIF(tau=Learned(2.0, (32,)), v_threshold=Learned(1.0, (32,)))",
}


def first_use(neuron: str, cache: str) -> float:
    """Seconds of the first forward and backward of a process."""
    ran = subprocess.run(
        [sys.executable, "-c", FIRST.format(neuron=neuron)],
        env={**os.environ, "SNN4_CACHE": cache, "SNN4_QUIET": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(ran.stdout)


def per_call(neuron: torch.nn.Module, rounds: int = 15, calls: int = 200) -> float:
    """Seconds of forward and backward on a tensor so small that nothing else counts: the best of some rounds."""
    x, grad = torch.randn(4, 8, 32, requires_grad=True), torch.randn(4, 8, 32)
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(calls):
            neuron(x).backward(grad)
        best = min(best, (time.perf_counter() - began) / calls)
    return best


class Double(torch.nn.Module):
    """What autograd costs for the simplest operation."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x * 2."""
        return x * 2.0


def main() -> None:
    """Measure, print, write."""
    torch.set_num_threads(1)
    rows: dict[str, dict[str, float]] = {}
    for name, neuron in NEURONS.items():
        with tempfile.TemporaryDirectory() as cache:
            cold, warm = first_use(neuron, cache), first_use(neuron, cache)
        rows[f"{name}: first use"] = {"compiled_s": round(cold, 2), "later_process_s": round(warm, 3)}
    modules = {
        "x * 2": Double(),
        "LIF": LIF(tau=2.0),
        "LIF, two learned per neuron": LIF(tau=Learned(2.0, (32,)), v_threshold=Learned(1.0, (32,))),
    }
    for name, module in modules.items():
        rows[f"{name}: a call"] = {"microseconds": round(1e6 * per_call(module), 1)}
    show("latency", rows)
    write("latency", "latency", {"rows": rows})


if __name__ == "__main__":
    main()
