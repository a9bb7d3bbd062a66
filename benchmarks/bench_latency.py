"""How long a first call takes: a shipped neuron, a neuron of one's own, the same one in a later process; and each call.

    python benchmarks/bench_latency.py
    python benchmarks/bench_latency.py --repeats 9

Every figure of a first call is from a process of its own with an empty cache; it is the time of `neuron(x)` with a
gradient wanted, and its `backward()`, after `import snn4` and a first call of `torch` itself. What imports leave is
collected before: a full collection, 40 ms, would fall into one script's first call and not into another's. The overhead
is that of forward and backward on a tensor of 96 numbers, beside a layer of torch's, and inside `torch.compile`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from common import show, write

from snn4.kernels.numba_build import no_numba_reason

FIRST = """
import gc, sys, time
from pathlib import Path
import torch
import snn4
from snn4 import nn
from snn4.core.states import state
from snn4.kernels import build, use
from snn4.neurons import LIF
from snn4.surrogates import ATan
from snn4.through_time import Neuron

which, prebuilt = sys.argv[1:3]
if prebuilt:
    build.prebuilt_folder = lambda: Path(prebuilt)

class Own(Neuron):
    State = state("v", "a")
    def __init__(self):
        super().__init__()
        self.surrogate = ATan()
    def step(self, x, state):
        v = 0.9 * state.v + x
        theta = 1.0 + 0.2 * state.a
        s = self.surrogate(v - theta)
        return s, self.State(v - s * theta, 0.95 * state.a + s)

neuron = LIF() if which == "shipped" else Own()
x = torch.linspace(-1, 2, 96).view(4, 8, 3).requires_grad_()
(x * 2).sum().backward()
torch.relu(x).sum().backward()
x.grad = None
gc.collect()
began = time.perf_counter()
with use("numba" if which == "numba" else "c++"):
    ys = neuron(x)
forward = time.perf_counter() - began
ys.sum().backward()
whole = time.perf_counter() - began
grad = x.grad.clone()
x.grad = None
with use("reference"):
    expected = neuron(x)
    expected.sum().backward()
assert torch.equal(ys, expected) and torch.equal(grad, x.grad), "not what the loop gives"
print(forward, whole)
"""

CALLS = """
import statistics, sys, time, warnings
import torch
from snn4 import Learned
from snn4.kernels import use
from snn4.neurons import LIF

warnings.simplefilter("ignore")
torch.set_num_threads(1)
x = torch.linspace(-1, 2, 96).view(4, 8, 3).requires_grad_()
neuron, grad = LIF(), torch.ones(4, 8, 3)
learned = LIF(tau=Learned(2.0, (3,)), v_threshold=Learned(1.0, (3,)))
compiled = torch.compile(neuron, fullgraph=True)
entries = {"relu": torch.relu, "LIF": neuron, "two learned per neuron": learned, "inside torch.compile": compiled}
times = {name: [] for name in entries}
for call in entries.values():
    call(x).backward(grad)
for _ in range(15):
    for name, call in entries.items():
        began = time.perf_counter()
        for _ in range(300):
            call(x).backward(grad)
        times[name].append((time.perf_counter() - began) / 300)
with use("reference"):
    began = time.perf_counter()
    for _ in range(300):
        neuron(x).backward(grad)
    loop = (time.perf_counter() - began) / 300
print(*(statistics.median(times[name]) for name in entries), loop)
"""


def child(script: str, cache: str, *arguments: str) -> list[float]:
    """The numbers that a script prints, in a process of its own."""
    environment = {**os.environ, "SNN4_CACHE": cache, "SNN4_QUIET": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", script, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise SystemExit(ran.stderr)
    return [float(word) for word in ran.stdout.split()]


def spread(values: list[list[float]]) -> dict[str, float]:
    """Median and extremes, in ms."""
    forward, whole = ([1e3 * v for v in column] for column in zip(*values, strict=True))
    return {
        "forward_ms": round(statistics.median(forward), 1),
        "forward_and_backward_ms": round(statistics.median(whole), 1),
        "slowest_ms": round(max(whole), 1),
    }


def ahead(folder: Path) -> None:
    """Kernels as a wheel brings them."""
    from snn4.kernels.prebuild import prebuild
    from snn4.neurons import LIF

    prebuild([LIF()], folder)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    first: dict[str, list[list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        shipped = Path(folder) / "prebuilt"
        ahead(shipped)
        for turn in range(options.repeats):
            empty = str(Path(folder) / f"cache{turn}")
            first.setdefault("shipped, compiled ahead", []).append(child(FIRST, empty, "shipped", str(shipped)))
            first.setdefault("own, compiled now", []).append(child(FIRST, empty, "own", ""))
            first.setdefault("own, later process", []).append(child(FIRST, empty, "own", ""))
            if no_numba_reason() is None:
                first.setdefault("own by Numba, compiled now", []).append(child(FIRST, empty, "numba", ""))
                first.setdefault("own by Numba, later process", []).append(child(FIRST, empty, "numba", ""))
        relu, ours, learned, compiled, loop = child(CALLS, folder)
    rows: dict[str, dict[str, float]] = {f"first use: {name}": spread(values) for name, values in first.items()}
    calls = {
        "torch.relu": relu,
        "LIF": ours,
        "LIF, two learned per neuron": learned,
        "LIF inside torch.compile": compiled,
        "LIF in the reference loop": loop,
    }
    rows |= {f"a call: {name}": {"microseconds": round(1e6 * seconds, 1)} for name, seconds in calls.items()}
    show("latency", rows)
    write("latency", "latency", {"rows": rows, "repeats": options.repeats})


if __name__ == "__main__":
    main()
