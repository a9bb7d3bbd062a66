"""What a training step keeps for backward(), and what it costs to keep less.

    python benchmarks/bench_memory.py                    # a conv net and an MLP, peers that are installed, events
    python benchmarks/bench_memory.py --parts conv --repeats 9

Memory is what is alive after the forward pass and was not before it, as torch's own allocator counts it: what autograd
keeps, what modules keep, and the output; nothing is estimated. Entries take turns in one process, round by round;
medians are reported. Before anything is timed, the gradients of every entry of ours are compared with those of the
plain network, and have to be equal bit for bit.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import conditions, installed
from torch import Tensor
from torch.nn import functional as F

from snn4 import nn
from snn4.kernels import keep_memory, pool
from snn4.kernels.spikes.events import conv2d_of_events, linear_by_events, linear_of_events
from snn4.neurons import LIF

Forward = Callable[[Tensor], Tensor]
CLASSES, STEPS, BATCH = 10, 4, 64


def conv_net(channels_last: bool = False) -> torch.nn.Sequential:
    """32 and 64 channels, pooled spikes, one linear layer."""
    torch.random.manual_seed(0)
    net = torch.nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), LIF(v_reset=0.0, detach_reset=True), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), LIF(v_reset=0.0, detach_reset=True), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(3136, CLASSES), LIF(v_reset=0.0, detach_reset=True)),
    )
    return net.to(memory_format=torch.channels_last) if channels_last else net  # pyright: ignore[reportCallIssue]


def mlp() -> torch.nn.Sequential:
    """Three hidden layers of 1024 neurons, whose inputs are spikes."""
    torch.random.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for _ in range(3):
        linear = nn.Linear(1024, 1024)
        torch.nn.init.normal_(linear.weight, std=1.5 / 32)
        layers += [linear, LIF(v_reset=0.0, detach_reset=True)]
    return torch.nn.Sequential(*layers)


def peers() -> dict[str, tuple[torch.nn.Module, Forward]]:
    """The same conv net in other packages, as their tutorials write it."""
    found: dict[str, tuple[torch.nn.Module, Forward]] = {}
    if installed("spikingjelly"):
        from spikingjelly.activation_based import functional, layer, neuron, surrogate

        def node() -> torch.nn.Module:
            return neuron.LIFNode(
                tau=2.0, decay_input=False, v_reset=0.0, detach_reset=True, surrogate_function=surrogate.ATan()
            )

        torch.random.manual_seed(0)
        jelly = torch.nn.Sequential(
            *(layer.Conv2d(1, 32, 3, padding=1), layer.BatchNorm2d(32), node(), layer.MaxPool2d(2)),
            *(layer.Conv2d(32, 64, 3, padding=1), layer.BatchNorm2d(64), node(), layer.MaxPool2d(2)),
            *(layer.Flatten(), layer.Linear(3136, CLASSES), node()),
        )
        functional.set_step_mode(jelly, "m")

        def run_jelly(x: Tensor) -> Tensor:
            functional.reset_net(jelly)
            return jelly(x)

        found[f"spikingjelly {installed('spikingjelly')}"] = (jelly, run_jelly)
    if installed("snntorch"):
        import snntorch
        from snntorch import surrogate as surrogates

        torch.random.manual_seed(0)
        leaky = torch.nn.ModuleList(
            snntorch.Leaky(beta=0.5, reset_mechanism="zero", spike_grad=surrogates.atan()) for _ in range(3)
        )
        rest = torch.nn.ModuleList(
            [
                torch.nn.Sequential(torch.nn.Conv2d(1, 32, 3, padding=1), torch.nn.BatchNorm2d(32)),
                torch.nn.Sequential(
                    torch.nn.MaxPool2d(2), torch.nn.Conv2d(32, 64, 3, padding=1), torch.nn.BatchNorm2d(64)
                ),
                torch.nn.Sequential(torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(3136, CLASSES)),
            ]
        )

        def run_snntorch(x: Tensor) -> Tensor:
            # layers without a state see all steps at once, which is the fastest way that it allows
            for part, neuron in zip(rest, leaky, strict=True):
                x = part(x.flatten(0, 1)).unflatten(0, x.shape[:2])
                memory, out = neuron.reset_mem(), []
                for step in x.unbind(0):
                    spikes, memory = neuron(step, memory)
                    out.append(spikes)
                x = torch.stack(out)
            return x

        found[f"snntorch {installed('snntorch')}"] = (torch.nn.ModuleList([rest, leaky]), run_snntorch)
    return found


def alive_after(forward: Callable[[], Any]) -> int:
    """Bytes that are alive after a call and were not before."""
    gc.collect()
    # blocks of the kernels' own list are not counted by torch
    pool(0)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        kept = forward()
    pool(1024)
    del kept
    return sum(int(event.self_cpu_memory_usage) for event in profile.key_averages())


class Entry:
    """A network, how to call it, and its optimiser."""

    def __init__(self, net: torch.nn.Module, forward: Forward, x: Tensor, target: Tensor) -> None:
        self.net, self.forward, self.x, self.target = net, forward, x, target
        self.optimiser = torch.optim.Adam(net.parameters(), 1e-3)

    def loss(self) -> Tensor:
        """Cross entropy of the mean output."""
        return F.cross_entropy(self.forward(self.x).mean(0), self.target)

    def gradients(self) -> list[Tensor]:
        """Of every parameter."""
        self.net.zero_grad()
        self.loss().backward()
        return [p.grad.clone() for p in self.net.parameters() if p.grad is not None]

    def step(self) -> float:
        """Seconds of one training step."""
        began = time.perf_counter()
        self.optimiser.zero_grad()
        self.loss().backward()
        self.optimiser.step()
        return time.perf_counter() - began


def compare(entries: dict[str, Entry], twins: dict[str, str], repeats: int) -> dict[str, Any]:
    """Check, count, time. `twins`: an entry -> the one whose gradients it must have."""
    for name, other in twins.items():
        if not all(map(torch.equal, entries[name].gradients(), entries[other].gradients())):
            sys.exit(f"not timed: the gradients of {name!r} are not those of {other!r}")
    base = {name: alive_after(entry.loss) for name, entry in entries.items()}
    times: dict[str, list[float]] = {name: [] for name in entries}
    for turn in range(repeats + 1):
        for name, entry in entries.items():
            gc.collect()
            taken = entry.step()
            if turn:
                times[name].append(taken)
    return {
        name: {
            "kept_MiB": round(base[name] / 2**20, 2),
            "step_ms": round(1e3 * statistics.median(times[name]), 2),
            "fastest_ms": round(1e3 * min(times[name]), 2),
        }
        for name in entries
    }


def conv_part(repeats: int) -> dict[str, Any]:
    """The conv net of the tables: 28 x 28, T = 4, B = 64."""
    draw = torch.Generator().manual_seed(0)
    x, target = torch.rand(STEPS, BATCH, 1, 28, 28, generator=draw), torch.arange(BATCH) % CLASSES
    entries: dict[str, Entry] = {}
    twins: dict[str, str] = {}
    for layout, last in (("", False), (", channels_last", True)):
        net = conv_net(last)
        variants = {
            "snn4 default": copy.deepcopy(net),
            "snn4 bits": nn.use_memory(copy.deepcopy(net), "bits"),
            "snn4 fused": nn.fuse(copy.deepcopy(net)),
        }
        for name, one in variants.items():
            entries[name + layout] = Entry(one, one, x, target)
            twins[name + layout] = "snn4 default" + layout
    entries |= {name: Entry(net, forward, x, target) for name, (net, forward) in peers().items()}
    return compare(entries, twins, repeats)


def mlp_part(repeats: int) -> dict[str, Any]:
    """1024-1024-1024-1024, T = 25, B = 64, from spikes."""
    draw = torch.Generator().manual_seed(0)
    x = (torch.rand(25, BATCH, 1024, generator=draw) < 0.1).float()
    target, net = torch.arange(BATCH), mlp()
    variants = {
        "snn4 default": copy.deepcopy(net),
        "snn4 bits": nn.use_memory(copy.deepcopy(net), "bits"),
        "snn4 bits, recomputed": nn.fuse(copy.deepcopy(net), recompute=True),
    }
    entries = {name: Entry(one, one, x, target) for name, one in variants.items()}
    return compare(entries, dict.fromkeys(variants, "snn4 default"), repeats)


def events_part(repeats: int) -> dict[str, Any]:
    """Adding weights against a dense product, by the share of ones; both given the very same input."""
    rows: dict[str, Any] = {}
    draw = torch.Generator().manual_seed(0)
    linear = [
        ("linear", (m, k), nn.Linear(k, n)) for m, k, n in ((3200, 784, 512), (8000, 512, 512), (4000, 1024, 1024))
    ]
    linear.append(("linear", (500, 4096), nn.Linear(4096, 4096)))
    convolutions = ((256, 32, 64, 14), (128, 64, 128, 16), (128, 128, 128, 16), (128, 256, 256, 8))
    conv = [("conv 3x3", (n, c, s, s), nn.Conv2d(c, o, 3, padding=1)) for n, c, o, s in convolutions]
    for kind, shape, layer in (*linear, *conv):
        layer.to(memory_format=torch.channels_last)
        for share in (0.01, 0.02, 0.05, 0.1, 0.2, 0.3):
            x = (torch.rand(shape, generator=draw) < share).float()
            x = x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
            dense, added = (both(layer, x, events=on) for on in (False, True))
            with torch.no_grad():
                gap = float((dense() - added()).abs().max())
                times = {"dense": [seconds(dense) for _ in range(repeats)], "events": []}
                times["events"] = [seconds(added) for _ in range(repeats)]
            name = f"{kind} {'x'.join(map(str, shape))} -> {layer.weight.shape[0]}, {share:.0%}"
            if kind == "linear":
                rows[f"training, {name}"] = training(layer, x, repeats)
            a, b = (1e3 * statistics.median(times[which]) for which in ("dense", "events"))
            rows[name] = {"dense_ms": round(a, 3), "events_ms": round(b, 3), "times": round(a / b, 2), "gap": gap}
            sys.stdout.write(f"  {name:<44}{a:>9.2f} {b:>9.2f} ms {a / b:>6.2f}x   differ by {gap:.1e}\n")
    return rows


def training(layer: Any, x: Tensor, repeats: int) -> dict[str, float]:
    """Forward and the gradient of the weights, by torch's dense product and by sums over events, in turns."""
    grad = torch.randn(len(x), len(layer.weight), generator=torch.Generator().manual_seed(0))
    given = x, layer.weight, layer.bias
    calls = {
        "dense": lambda: torch.autograd.grad(F.linear(*given), layer.weight, grad)[0],
        "events": lambda: torch.autograd.grad(known(linear_by_events(*given)), layer.weight, grad)[0],
    }
    dense, added = (call() for call in calls.values())
    gap = float((dense - added).abs().max() / dense.abs().max())
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            times[name].append(seconds(call))
    a, b = (1e3 * statistics.median(taken) for taken in times.values())
    return {"dense_ms": round(a, 3), "events_ms": round(b, 3), "times": round(a / b, 2), "gap": gap}


def both(layer: Any, x: Tensor, *, events: bool) -> Callable[[], Tensor]:
    """The layer on `x`, with or without events, whatever the share of ones."""
    if not events:
        given = (x, layer.weight, layer.bias)
        return lambda: F.linear(*given) if x.ndim == 2 else F.conv2d(*given, padding=1)
    if x.ndim == 2:
        return lambda: known(linear_of_events(x, layer.weight, layer.bias, 1.1))
    return lambda: known(
        conv2d_of_events(x, layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation, 1.1)
    )


def known(y: Tensor | None) -> Tensor:
    """What cannot be missing here."""
    assert y is not None
    return y


def seconds(call: Callable[[], Any]) -> float:
    """Of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> None:
    """Check, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="conv,mlp,events", help="some of conv, mlp, events")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--default-malloc", action="store_true", help="freed memory goes back to the system")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "memory.json")
    options = parser.parse_args()
    known: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    keeps = False if options.default_malloc else keep_memory()
    for part in options.parts.split(","):
        sys.stdout.write(f"\n{part}\n")
        rows = {"conv": conv_part, "mlp": mlp_part, "events": events_part}[part](options.repeats)
        about = {"repeats": options.repeats, "keep_memory": keeps, **conditions(), "load_at_end": os.getloadavg()}
        known[part] = {"rows": rows, "conditions": about}
        for name, row in rows.items() if part != "events" else ():
            sys.stdout.write(f"  {name:<36}{row['kept_MiB']:>10.2f} MiB {row['step_ms']:>9.2f} ms\n")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(known, indent=2) + "\n")


if __name__ == "__main__":
    main()
