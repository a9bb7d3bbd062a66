"""Linear + LIF in the Open Neuromorphic setting: batch 16, T = 500, n neurons, forward and backward.

    python benchmarks/bench_linear.py --sizes 512,1024       # peers that are installed, in turns in one process
    benchmarks/spyx.sh 512,1024                              # spyx (JAX), in an environment of its own

Open Neuromorphic asks that each package be used as its own documentation shows. Some show a loop which calls the linear
layer at every step, and would be faster otherwise; so each peer is measured in two settings:

    as documented      what its users write (documented.py)
    one product        torch's linear layer on all steps at once, then the package's neuron

The input is spikes, one in ten, and needs no gradient; the loss is the sum of all output spikes. Ours runs once with
torch's dense product and once with `nn.Linear(events="always")`, which adds the weights of the spikes. The products
alone are timed in the same rounds: no layer around them can be faster.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable

import torch
from common import peers, show, summary, timed, write
from documented import documented
from torch import Tensor

from snn4 import nn
from snn4.kernels import keep_memory, use
from snn4.neurons import LIF

STEPS, BATCH, TAU = 500, 16, 10.0


def check(linear: torch.nn.Linear, events: nn.Linear, lif: LIF, x: Tensor) -> None:
    """Spikes against the loop over steps; the product by events against an exact one."""
    with torch.no_grad(), use("reference"):
        expected = lif(linear(x))
    if not torch.equal(lif(linear(x)), expected):
        sys.exit("not timed, because spikes differ from the reference loop")
    found = []
    for layer in (events, linear.double()):
        layer.zero_grad()
        ys = layer(x.to(layer.weight.dtype))
        ys.square().sum().backward()
        found.append((ys.detach(), layer.weight.grad))
    linear.float().zero_grad()
    for mine, exact in zip(*found, strict=True):
        if float((mine - exact).abs().max() / exact.abs().max()) > 1e-5:
            sys.exit("not timed, because sums over events differ from the product")


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
        linear, events, lif = torch.nn.Linear(size, size), nn.Linear(size, size, events="always"), LIF(tau=TAU)
        events.load_state_dict(linear.state_dict())
        check(linear, events, lif, x[:50])
        runs: dict[str, Callable[[], Tensor]] = {
            "matrix product alone": lambda x=x, linear=linear: linear(x),
            "sums over events alone": lambda x=x, events=events: events(x),
            "snn4 LIF": lambda x=x, linear=linear, lif=lif: lif(linear(x)),
            "snn4 LIF, sums over events": lambda x=x, events=events, lif=lif: lif(events(x)),
        }
        runs |= {f"{name}, as documented": run for name, run in documented(linear, x, TAU).items()}
        for name, make in peers(TAU).items():
            layer = make()
            runs[f"{name}, one product"] = lambda x=x, linear=linear, layer=layer: layer(linear(x))

        def step(run: Callable[[], Tensor], linear: torch.nn.Linear = linear, events: nn.Linear = events) -> None:
            run().sum().backward()
            linear.zero_grad()
            events.zero_grad()

        times = timed({name: lambda run=run: step(run) for name, run in runs.items()}, options.rounds)
        base, fewest = (statistics.median(times[name]) for name in ("snn4 LIF", "snn4 LIF, sums over events"))
        rows = {name: summary(seconds, base) for name, seconds in times.items()}
        for name, seconds in times.items():
            rows[name]["times_ours_over_events"] = round(statistics.median(seconds) / fewest, 2)
        show(f"Linear + LIF, n = {size}, T = {STEPS}, batch {BATCH}", rows)
        setting = ", memory kept" if kept else ""
        write("linear", f"n = {size}{setting}", {"rounds": options.rounds, "keep_memory": kept, "rows": rows})


if __name__ == "__main__":
    main()
