"""One training step of exact spike times, beside surrogate gradients on time steps and an ANN of the same size.

    python benchmarks/bench_timing.py                    # steps, cost against events, memory
    python benchmarks/bench_timing.py --epoch            # and one whole epoch

MNIST, 784-400-10, Adam. Pixels become spike times (the brighter the earlier, black never: about 150 a sample).
Correctness comes first: the compiled engine must agree with the reference in double precision through the whole
network. Entries take turns in one process, round by round; medians are reported.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import conditions
from torch import Tensor
from torch.nn import functional as F

from snn4 import timing
from snn4.data.sets import load
from snn4.kernels import keep_memory, use
from snn4.models import mlp
from snn4.timing import engine_cpp, reference, two_stage
from snn4.timing.types import Constants

STEPS, HIDDEN, SPIKES, WINDOW = 25, 400, 8, 1.0
# turns of what takes seconds, after one that is thrown away
SLOW = 1
Step = Callable[[int], None]


class Data:
    """The training images as floats and as spike times."""

    def __init__(self, batch: int) -> None:
        split = load("mnist").train
        self.images = split.inputs.flatten(1).float() / 255
        self.classes, self.batch = split.targets, batch
        self.batches = len(self.images) // batch

    def __call__(self, n: int) -> tuple[Tensor, Tensor]:
        """Batch n, beginning again behind the last."""
        at = slice(n % self.batches * self.batch, (n % self.batches + 1) * self.batch)
        return self.images[at], self.classes[at]


def latency(images: Tensor) -> Tensor:
    """Spike times (B, N, 1): bright pixels early, black ones never."""
    return torch.where(images > 0, 0.6 * WINDOW * (1 - images), math.inf).unsqueeze(-1)


def timing_net(spikes: int = SPIKES, **how: Any) -> torch.nn.Sequential:
    """784-400-10 of exact spike times."""
    draw = torch.Generator().manual_seed(0)
    same = {"tau_v": 0.5, "tau_i": 0.2, "window": WINDOW, "generator": draw}
    return torch.nn.Sequential(
        timing.LIF(784, HIDDEN, max_spikes=spikes, **same, **how), timing.Readout(HIDDEN, 10, **same)
    )


def trainer(net: torch.nn.Module, data: Data, forward: Callable[[Tensor], Tensor], implementation: str) -> Step:
    """Forward, loss, backward, update."""
    optimiser = torch.optim.Adam(net.parameters(), 1e-3, fused=True)

    def step(n: int) -> None:
        images, classes = data(n)
        with use(implementation):
            optimiser.zero_grad()
            F.cross_entropy(forward(images), classes).backward()
            optimiser.step()

    return step


def entries(data: Data) -> tuple[dict[str, Step], dict[str, Step], dict[str, Callable[[Tensor], Tensor]]]:
    """Fast and slow ones; and what runs forward, for the memory."""
    fast: dict[str, Step] = {}
    slow: dict[str, Step] = {}
    forwards: dict[str, Callable[[Tensor], Tensor]] = {}

    def add(
        where: dict[str, Step],
        name: str,
        net: torch.nn.Module,
        make: Callable[[torch.nn.Module], Callable[[Tensor], Tensor]],
        implementation: str = "auto",
    ) -> None:
        forwards[name] = make(net)
        where[name] = trainer(net, data, forwards[name], implementation)

    def times(net: torch.nn.Module) -> Callable[[Tensor], Tensor]:
        return lambda images: net(latency(images))

    def penalised(net: torch.nn.Module) -> Callable[[Tensor], Tensor]:
        def forward(images: Tensor) -> Tensor:
            with timing.watch(net, want_max=True) as seen:
                out = net(latency(images))
            return out + 1e-3 * F.relu(1.0 - seen[0].fired.v_max).mean()

        return forward

    def held(net: torch.nn.Module) -> Callable[[Tensor], Tensor]:
        return lambda images: net(images.unsqueeze(0)).mean(0)

    def stepped(net: torch.nn.Module) -> Callable[[Tensor], Tensor]:
        return lambda images: net(timing.render(latency(images), STEPS, WINDOW)).mean(0)

    add(fast, f"exact times, up to {SPIKES} spikes", timing_net(), times)
    add(fast, f"exact times, up to {SPIKES} spikes, and largest potentials", timing_net(), penalised)
    add(fast, "exact times, one spike", timing_net(1), times)
    add(fast, f"surrogate gradient, T = {STEPS}, spikes in", mlp(784, [HIDDEN], 10), stepped)
    add(fast, f"surrogate gradient, T = {STEPS}, image held", mlp(784, [HIDDEN], 10, steps=STEPS), held)
    add(fast, "ANN, ReLU", mlp(784, [HIDDEN], 10, torch.nn.ReLU), held)
    add(slow, f"surrogate gradient, T = {STEPS}, spikes in, loop", mlp(784, [HIDDEN], 10), stepped, "reference")
    add(slow, "exact times, plain PyTorch", timing_net(), times, "reference")
    add(slow, "exact times, EventProp", timing_net(method="eventprop"), times)
    add(slow, "exact times, two stages", timing_net(method="two_stage"), times)
    return fast, slow, forwards


def agrees(data: Data) -> float:
    """The largest relative gap between the gradients of the two engines, in double precision; stops at 1e-9."""
    images, classes = (one[:16] for one in data(0))
    net, found = timing_net().double(), []
    for how in ("c++", "reference"):
        net.zero_grad()
        with use(how):
            F.cross_entropy(net(latency(images.double())), classes).backward()
        found.append([p.grad.clone() for p in net.parameters() if p.grad is not None])
    gap = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(*found, strict=True))
    if not gap < 1e-9:
        sys.exit(f"not timed, because gradients of the engines differ by {gap:.2g}")
    return gap


def take_turns(entries: dict[str, Step], repeats: int) -> dict[str, dict[str, float]]:
    """Milliseconds a step; the first round is thrown away."""
    times: dict[str, list[float]] = {name: [] for name in entries}
    for turn in range(repeats + 1):
        for name, step in entries.items():
            began = time.perf_counter()
            step(turn)
            if turn:
                times[name].append(1e3 * (time.perf_counter() - began))
    return {
        name: {"step_ms": round(statistics.median(taken), 3), "fastest_ms": round(min(taken), 3)}
        for name, taken in times.items()
    }


def saved_bytes(forward: Callable[[Tensor], Tensor], images: Tensor, implementation: str) -> int:
    """Bytes that a forward pass keeps for backward(), weights and input apart."""
    found: dict[int, int] = {}

    def keep(t: Tensor) -> Tensor:
        if not isinstance(t, torch.nn.Parameter) and t.untyped_storage().data_ptr() != images.data_ptr():
            found[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    with use(implementation), torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        out = forward(images)
    del out
    return sum(found.values())


def against_events(repeats: int) -> list[dict[str, float]]:
    """Solve and adjoint of one layer, 784 to 400, for 1x to 16x the events; weights shrink as events grow."""
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(HIDDEN, 784, generator=draw) * 0.12 + 0.07
    constants, rows = Constants(0.5, 0.2, 1.0), []
    runs = []
    for factor in (1, 2, 4, 8, 16):
        times = torch.rand(64, 784, factor, generator=draw).sort(-1).values
        times[torch.rand(64, 784, generator=draw) > 150 / 784] = math.inf
        runs.append((factor, engine_cpp.sort(times, WINDOW), weight / factor))
    taken: dict[int, list[tuple[float, float]]] = {factor: [] for factor, _, _ in runs}
    for turn in range(repeats + 1):
        for factor, (t, source, _, _), w in runs:
            began = time.perf_counter()
            fired = engine_cpp.solve(t, source, w, constants, SPIKES, WINDOW)
            middle = time.perf_counter()
            engine_cpp.adjoint(t, source, w, constants, fired, fired.slope, want_tau=False)
            if turn:
                taken[factor].append((middle - began, time.perf_counter() - middle))
    for factor, (t, source, _, counts), w in runs:
        fired = engine_cpp.solve(t, source, w, constants, SPIKES, WINDOW)
        rows.append(
            {
                "factor": factor,
                "events": int(counts.sum()),
                "spikes": int(fired.exists.sum()),
                "solve_ms": round(1e3 * statistics.median(a for a, _ in taken[factor]), 3),
                "adjoint_ms": round(1e3 * statistics.median(b for _, b in taken[factor]), 3),
            }
        )
    return rows


def stages(data: Data) -> dict[str, float]:
    """The solvers in plain PyTorch: all neurons through all rounds, two stages, and side by side in one walk."""
    net = timing_net()[0]
    times = latency(data(0)[0])
    with use("reference"):
        t, source, _ = timing.events(times, WINDOW)
    given = (t, source, net.weight.detach(), net.constants, SPIKES, WINDOW)
    ways: dict[str, Callable[[], Any]] = {
        "every round for every neuron": lambda: two_stage.solve(*given, everyone=True),
        "two stages": lambda: two_stage.solve(*given),
        "one walk": lambda: reference.solve(*given),
        "one walk, compiled": lambda: engine_cpp.solve(*given),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(SLOW):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            found[name].append(1e3 * (time.perf_counter() - began))
    return {name: round(statistics.median(taken), 2) for name, taken in found.items()}


def epoch(data: Data, entries: dict[str, Step], names: list[str]) -> dict[str, float]:
    """Seconds of one pass over the 60 000 images, a hundred steps of each in turn."""
    total = dict.fromkeys(names, 0.0)
    for begin in range(0, data.batches, 100):
        for name in names:
            began = time.perf_counter()
            for n in range(begin, min(begin + 100, data.batches)):
                entries[name](n)
            total[name] += time.perf_counter() - began
    return {name: round(seconds, 3) for name, seconds in total.items()}


def main() -> None:
    """Check, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--keep-memory", action="store_true", help="glibc keeps freed memory, for everybody")
    parser.add_argument("--fast-only", action="store_true", help="without what takes seconds a step")
    parser.add_argument("--epoch", action="store_true", help="also one epoch of the fast entries")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "timing.json")
    options = parser.parse_args()
    result: dict[str, Any] = {"conditions": conditions(), "batch": options.batch, "repeats": options.repeats}
    result["keep_memory"] = keep_memory() if options.keep_memory else False
    data = Data(options.batch)
    result["gradients_differ_by"] = agrees(data)
    result["events_a_sample"] = round(float((data(0)[0] > 0).sum(1).float().mean()), 1)
    with torch.no_grad():
        fired = timing_net()[0].fired(latency(data(0)[0]))
        result["spikes_a_neuron"] = round(float(fired.exists.float().sum(-1).mean()), 3)
    fast, slow, forwards = entries(data)
    rows = take_turns(fast, options.repeats) | (take_turns(slow, SLOW) if not options.fast_only else {})
    base = rows[next(iter(fast))]["step_ms"]
    for name, row in rows.items():
        row["times_ours"] = round(row["step_ms"] / base, 2)
        how = "reference" if name.endswith(("loop", "plain PyTorch")) else "auto"
        row["saved_mib"] = round(saved_bytes(forwards[name], data(0)[0], how) / 2**20, 3)
        sys.stdout.write(
            f"{name:<58}{row['step_ms']:>9.2f} ms{row['times_ours']:>8.2f} x ours{row['saved_mib']:>9.2f} MiB\n"
        )
    result["steps"] = rows
    result["against_events"] = against_events(options.repeats)
    result["solvers_ms"] = stages(data) if not options.fast_only else {}
    for row in result["against_events"]:
        sys.stdout.write(f"{json.dumps(row)}\n")
    sys.stdout.write(f"{json.dumps(result['solvers_ms'])}\n")
    if options.epoch:
        result["epoch_s"] = epoch(data, fast, list(fast))
        sys.stdout.write(f"{json.dumps(result['epoch_s'])}\n")
    result["load_at_end"] = os.getloadavg()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
