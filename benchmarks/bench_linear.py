"""Linear + LIF in the Open Neuromorphic setting: batch 16, T = 500, n neurons, forward and backward.

    python benchmarks/bench_linear.py --sizes 512,1024       # peers that are installed, in turns in one process
    benchmarks/spyx.sh 512,1024                              # spyx (JAX), in an environment of its own

Open Neuromorphic asks that each package be used as its own documentation shows. Some show a loop which calls the linear
layer at every step, and would be faster otherwise; so each peer is measured in two settings:

    as documented      what its users write (documented.py)
    one product        torch's linear layer on all steps at once, then the package's neuron

The input is spikes, one in ten, and needs no gradient; the loss is the sum of all output spikes. Ours runs with torch's
dense product, with `nn.Linear(product="onednn")`, whose product is dense as well, and with
`nn.Linear(events="always")`, which adds the weights of the spikes and is of no use for other input. The products alone
are timed in the same rounds: no layer around them can be faster.
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


def check(linear: torch.nn.Linear, others: dict[str, nn.Linear], lif: LIF, x: Tensor) -> None:
    """Spikes against the loop over steps; products against an exact one."""
    with torch.no_grad(), use("reference"):
        expected = lif(linear(x))
    if not torch.equal(lif(linear(x)), expected):
        sys.exit("not timed, because spikes differ from the reference loop")
    found = []
    for layer in (*others.values(), linear.double()):
        layer.zero_grad()
        ys = layer(x.to(layer.weight.dtype))
        ys.square().sum().backward()
        found.append((ys.detach(), layer.weight.grad))
    linear.float().zero_grad()
    *mine, exact = found
    for name, values in zip(others, mine, strict=True):
        if any(float((a - b).abs().max() / b.abs().max()) > 1e-5 for a, b in zip(values, exact, strict=True)):
            sys.exit(f"not timed, because {name} differs from the exact product")


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
        linear, lif = torch.nn.Linear(size, size), LIF(tau=TAU)
        others = {
            "oneDNN": nn.Linear(size, size, product="onednn"),
            "sums over events": nn.Linear(size, size, events="always"),
        }
        for layer in others.values():
            layer.load_state_dict(linear.state_dict())
        check(linear, others, lif, x[:50])
        runs: dict[str, Callable[[], Tensor]] = {
            "matrix product alone": lambda x=x, linear=linear: linear(x),
            "snn4 LIF": lambda x=x, linear=linear, lif=lif: lif(linear(x)),
        }
        for name, layer in others.items():
            runs[f"{name} alone"] = lambda x=x, layer=layer: layer(x)
            runs[f"snn4 LIF, {name}"] = lambda x=x, layer=layer, lif=lif: lif(layer(x))
        runs |= {f"{name}, as documented": run for name, run in documented(linear, x, TAU).items()}
        for name, make in peers(TAU).items():
            layer = make()
            runs[f"{name}, one product"] = lambda x=x, linear=linear, layer=layer: layer(linear(x))

        weights = [linear, *others.values()]

        def step(run: Callable[[], Tensor], weights: list[torch.nn.Module] = weights) -> None:
            run().sum().backward()
            for layer in weights:
                layer.zero_grad()

        times = timed({name: lambda run=run: step(run) for name, run in runs.items()}, options.rounds)
        rows = {name: summary(seconds, statistics.median(times["snn4 LIF"])) for name, seconds in times.items()}
        for which, column in (("oneDNN", "times_onednn"), ("sums over events", "times_events")):
            base = statistics.median(times[f"snn4 LIF, {which}"])
            for name, seconds in times.items():
                rows[name][column] = round(statistics.median(seconds) / base, 2)
        show(f"Linear + LIF, n = {size}, T = {STEPS}, batch {BATCH}", rows)
        setting = ", memory kept" if kept else ""
        write("linear", f"n = {size}{setting}", {"rounds": options.rounds, "keep_memory": kept, "rows": rows})


if __name__ == "__main__":
    main()
