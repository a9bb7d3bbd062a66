"""Every neuron, compiled: does it cost what its bytes cost, or why does no kernel run it?

    python benchmarks/bench_neurons.py                          # three shapes of 16.4 to 16.8 million elements
    python benchmarks/bench_neurons.py --only alif tclif --shapes 16x64x16384

Each neuron has its own defaults. Correctness comes first: a neuron that differs from its reference loop is not timed.
Neurons take turns in one process, LIF among them; `bench_layer.py` says what `bytes_MB` and `times_bytes_at_lif` are:
the time divided by that which the bytes take at LIF's bandwidth. DH-LIF has four branches, and so four inputs a neuron.
Neurons whose step is a product over time (PSN and its masked form) are matrix products, and their bytes say little.
"""

from __future__ import annotations

import argparse
import inspect
import statistics
import sys
from typing import Any

import torch
from bench_layer import agree, measure, moved
from common import Layer, ours, write
from torch import Tensor

import snn4
from snn4.kernels import keep_memory
from snn4.neurons import DHLIF
from snn4.recipes.members import accepts, kinds, make
from snn4.recipes.study import seeded
from snn4.through_time import Neuron

SHAPES = "4x64x64x32x32,16x64x16384,100x40x4096"
BRANCHES = 4


def made(name: str, steps: int) -> Neuron:
    """A neuron with its defaults."""
    member = kinds()[name]
    given = {key: value for key, value in (("steps", steps), ("k", min(2, steps))) if _needs(member, key)}
    return make(name, member, given)


def _needs(member: Any, key: str) -> bool:
    return accepts(member, key) and inspect.signature(member).parameters[key].default is inspect.Parameter.empty


def fitting(neuron: Neuron, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of its input, with as many elements."""
    if not isinstance(neuron, DHLIF):
        return shape
    return (*shape[:2], BRANCHES, shape[2] // BRANCHES, *shape[3:])


def runs_as(neuron: Neuron, x: Tensor) -> tuple[str, str]:
    """What runs it, and why others do not."""
    choice = snn4.explain(torch.nn.Sequential(neuron), x).choices[0]
    return choice.implementation, "; ".join(f"{name}: {why}" for name, why in choice.refused)


def inputs(neuron: Neuron, shape: tuple[int, ...], draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """An input at which LIF fires now and then, and the gradient of what the neuron answers."""
    x = torch.randn(fitting(neuron, shape), generator=draw) * 0.5 + 0.15
    with torch.no_grad():
        y = neuron(x[:, :1])
    return x, torch.randn((shape[0], shape[1], *y.shape[2:]), generator=draw)


def main() -> None:
    """Check, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default=SHAPES, help="TxBxfeatures, separated by commas")
    parser.add_argument("--only", nargs="*", choices=kinds(), default=list(kinds()), help="names of neurons")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--keep-memory", action="store_true", help="glibc keeps freed memory")
    parser.add_argument("--out", default="neurons", help="name of the file of results")
    options = parser.parse_args()
    kept = keep_memory() if options.keep_memory else False
    for text in options.shapes.split(","):
        shape = tuple(int(n) for n in text.split("x"))
        rows: dict[str, dict[str, Any]] = {}
        for name in dict.fromkeys(["lif", *options.only]):
            rows[name] = one(name, shape, options.repeats)
            base = rows["lif"]
            if "total_ms" in rows[name]:
                ratio = rows[name]["total_ms"] / rows[name]["lif_ms"] * base["bytes_MB"] / rows[name]["bytes_MB"]
                rows[name]["times_bytes_at_lif"] = round(ratio, 2)
            sys.stdout.write(f"{text} {name:<14} {rows[name]}\n")
            sys.stdout.flush()
        setting = ", memory kept" if kept else ""
        write(options.out, f"{text}{setting}", {"repeats": options.repeats, "keep_memory": kept, "rows": rows})


def one(name: str, shape: tuple[int, ...], repeats: int) -> dict[str, Any]:
    """One neuron beside LIF, in turns."""
    draw = torch.Generator().manual_seed(0)
    neuron, lif = seeded(lambda: made(name, shape[0]), 0), made("lif", shape[0])
    small = (min(shape[0], 25) if not accepts(kinds()[name], "steps") else shape[0], 2, *shape[2:])
    x, grad = inputs(neuron, small, draw)
    implementation, reasons = runs_as(neuron, x)
    if not implementation.startswith("c++"):
        return {"runs as": implementation, "because": reasons}
    said = agree(ours(neuron, "c++"), ours(neuron, "reference"), x, grad)
    if said:
        sys.exit(f"{name} is not timed, because results differ: {said}")
    x, grad = inputs(neuron, shape, draw)
    x.requires_grad_()
    entries: dict[str, Layer] = {"it": ours(neuron, "c++"), "lif": ours(lif, "c++")}
    lif_x, lif_grad = inputs(lif, shape, draw)
    lif_x.requires_grad_()
    del neuron, lif
    turns = {"it": (entries["it"], x, grad), "lif": (entries["lif"], lif_x, lif_grad)}
    times = measure(turns, lif_x.numel(), repeats)
    total, lif_total = (statistics.median(sum(pair) for pair in times[key]) for key in ("it", "lif"))
    return {
        "runs as": implementation,
        "forward_ms": round(1e3 * statistics.median(p[0] for p in times["it"]), 2),
        "backward_ms": round(1e3 * statistics.median(p[1] for p in times["it"]), 2),
        "total_ms": round(1e3 * total, 2),
        "lif_ms": round(1e3 * lif_total, 2),
        "share_of_limit": round(statistics.median(sum(p) for p in times["floor"]) / total, 3),
        "bytes_MB": round(1e-6 * moved(entries["it"], x), 1),
    }


if __name__ == "__main__":
    main()
