"""Linear + LIF in the Open Neuromorphic setting: batch 16, T = 500, n neurons, forward and backward.

    python benchmarks/bench_linear.py --sizes 512            # peers that are installed, in turns in one process
    benchmarks/spyx.sh 512                                   # spyx (JAX), in an environment of its own

The loss is the sum of all spikes. The matrix product alone is timed in the same rounds: no layer can be faster.
"""

from __future__ import annotations

import argparse
import statistics

import torch
from common import peers, show, summary, timed, write

from snn4.kernels import keep_memory, use
from snn4.neurons import LIF

STEPS, BATCH = 500, 16


def main() -> None:
    """Check, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="512")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--keep-memory", action="store_true", help="glibc keeps freed memory, for everybody")
    options = parser.parse_args()
    kept = keep_memory() if options.keep_memory else False
    for size in map(int, options.sizes.split(",")):
        draw = torch.Generator().manual_seed(0)
        x = (torch.rand(STEPS, BATCH, size, generator=draw) > 0.9).float()
        linear = torch.nn.Linear(size, size)
        lif = LIF(tau=10.0)
        with torch.no_grad(), use("reference"):
            expected = lif(linear(x[:50]))
        if not torch.equal(lif(linear(x[:50])), expected):
            raise SystemExit("not timed, because spikes differ from the reference loop")

        layers = {"matrix product alone": None, "snn4 LIF": lif, **{name: make() for name, make in peers().items()}}

        def step(layer: torch.nn.Module | None, x: torch.Tensor = x, linear: torch.nn.Linear = linear) -> None:
            ys = linear(x)
            (ys if layer is None else layer(ys)).sum().backward()
            linear.zero_grad()

        times = timed({name: lambda layer=layer: step(layer) for name, layer in layers.items()}, options.rounds)
        base = statistics.median(times["snn4 LIF"])
        rows = {name: summary(seconds, base) for name, seconds in times.items()}
        show(f"Linear + LIF, n = {size}, T = {STEPS}, batch {BATCH}", rows)
        setting = ", memory kept" if kept else ""
        write("linear", f"n = {size}{setting}", {"rounds": options.rounds, "keep_memory": kept, "rows": rows})


if __name__ == "__main__":
    main()
