"""Everything about a GPU in one run: are the generated kernels right there, and how fast are they?

    python benchmarks/gpu.py                        # a GPU of NVIDIA, torch for CUDA, about 8 minutes
    python benchmarks/gpu.py --only parity,layer    # some of the sections
    TRITON_INTERPRET=1 python benchmarks/gpu.py --dry --out dry.json    # no GPU: tiny shapes, numbers mean nothing

Needs no network: snn4, torch, numpy, jaxtyping, triton, and peers (spikingjelly, snntorch) where they can be imported.
`results/gpu.json` is written after every section, so that a run which is cut short leaves what it found; a section that
would begin after --minutes is left out and named. The exit status is 1 where a kernel disagreed with the loop.

Sections
    parity    every neuron and surrogate against the loop over its own step, on this device: bits, learned parameters
    layer     one LIF layer, forward and backward, T = 4, 16, 100, 500: share of the memory's limit measured in the same
              rounds (copy: read x, write s; sum of two: read x and a gradient, write a gradient), the loop, and peers
    blocks    the same layer with other sizes of a program, to choose the one that is the default
    overhead  a tiny layer: what a call costs when the work is nothing
    gemm      spikes times weights: fp32, TF32, bf16, and fp32 weights split in two or three bf16 terms, with errors
    steps     whole training steps (MLP, conv net, ResNet-18), fp32 and bf16, beside the same net with ReLU
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.metadata
import itertools
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from common import ALIF, Dendrite, Layer, commit, installed, ours
from torch import Tensor

import snn4
from snn4 import Learned, nn
from snn4.kernels import TritonKernel, triton_plan, use
from snn4.neurons import IF, LI, LIF, CubaLIF, exponential, plif
from snn4.surrogates import ATan, FastSigmoid, Gaussian, MultiGaussian, Rectangle, Sigmoid, Triangle
from snn4.through_time import Neuron, registry

SHAPES = {4: (64, 64, 64, 64), 16: (64, 65536), 100: (64, 8192), 500: (64, 2048)}
CPU_SHAPES = {4: (64, 64, 32, 32), 100: (16, 4096), 500: (16, 512)}
DRY_SHAPES = {4: (2, 3, 4), 9: (2, 5)}


class Bench:
    """The device, the time that is left, and how to time a call."""

    def __init__(self, *, dry: bool, minutes: float, repeats: int) -> None:
        self.dry, self.repeats = dry, 1 if dry else repeats
        self.device = torch.device("cpu" if dry else "cuda")
        self.end = time.monotonic() + 60 * minutes

    def out_of_time(self) -> bool:
        """Whether no more sections may begin."""
        return time.monotonic() > self.end

    def normal(self, *shape: int, seed: int = 0, scale: float = 1.0, shift: float = 0.0) -> Tensor:
        """Random numbers, the same for every device."""
        draw = torch.Generator(self.device).manual_seed(seed)
        return torch.randn(shape, generator=draw, device=self.device).mul_(scale).add_(shift)

    def seconds(self, *calls: Callable[[], Any]) -> list[float]:
        """What each of these calls takes, one behind the other, on the device."""
        if self.dry:
            marks = [time.perf_counter()]
            for call in calls:
                call()
                marks.append(time.perf_counter())
            return [b - a for a, b in itertools.pairwise(marks)]
        events = [torch.cuda.Event(enable_timing=True) for _ in range(len(calls) + 1)]
        # the device still works on this when the calls are queued: what is timed is their work, not their queueing
        torch.cuda._sleep(2_000_000)
        events[0].record()
        for call, event in zip(calls, events[1:], strict=True):
            call()
            event.record()
        torch.cuda.synchronize()
        return [a.elapsed_time(b) / 1e3 for a, b in itertools.pairwise(events)]

    def rounds(self, entries: dict[str, Callable[[], list[float]]]) -> dict[str, list[list[float]]]:
        """Entries take turns, round by round; two rounds are thrown away, and an entry that fails is named."""
        found: dict[str, list[list[float]]] = {name: [] for name in entries}
        for turn in range(self.repeats + (0 if self.dry else 2)):
            for name, entry in list(entries.items()):
                try:
                    taken = entry()
                except Exception as problem:
                    say(f"    {name}: left out ({type(problem).__name__}: {str(problem).splitlines()[0][:150]})")
                    del entries[name], found[name]
                    continue
                if turn >= (0 if self.dry else 2):
                    found[name].append(taken)
        return found


def say(text: str) -> None:
    """A line for the reader."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def conditions(bench: Bench) -> dict[str, Any]:
    """The machine and the software."""
    found: dict[str, Any] = {
        "dry": bench.dry,
        "python": platform.python_version(),
        "snn4": snn4.__version__,
        "commit": commit() or None,
        "repeats": bench.repeats,
        **{name: installed(name) or None for name in ("torch", "triton", "numpy", "spikingjelly", "snntorch", "cupy")},
    }
    if not bench.dry:
        about = torch.cuda.get_device_properties(bench.device)
        found |= {"gpu": about.name, "memory_gib": round(about.total_memory / 2**30, 1), "cuda": torch.version.cuda}
        found |= {"multiprocessors": about.multi_processor_count, "l2_mib": about.L2_cache_size / 2**20}
    return found


# --------------------------------------------------------------------------------------------------------------- parity


def members() -> dict[str, tuple[Callable[[], Neuron], bool]]:
    """Neurons, and whether their arithmetic is + - * / and comparisons alone, where bits must be equal."""
    exact: dict[str, Callable[[], Neuron]] = {
        "IF": IF,
        "IF hard": lambda: IF(v_reset=0.1),
        "LIF": LIF,
        "LIF hard": lambda: LIF(v_reset=0.0, surrogate=FastSigmoid()),
        "LIF detached": lambda: LIF(v_reset=-0.5, detach_reset=True, decay=exponential, surrogate=Triangle()),
        "LIF input decay": lambda: LIF(decay_input=True, surrogate=Rectangle()),
        "PLIF": plif,
        "LIF learned per channel": lambda: LIF(tau=Learned(torch.linspace(1.6, 3.0, 5).view(5, 1)), surrogate=ATan()),
        "CubaLIF": lambda: CubaLIF(tau=3.0, tau_syn=2.0),
        "CubaLIF hard": lambda: CubaLIF(v_reset=0.3, detach_reset=True),
        "LI": lambda: LI(tau=3.0, decay_input=True),
        "ALIF": ALIF,
    }
    near: dict[str, Callable[[], Neuron]] = {
        "Dendrite": lambda: Dendrite((5, 5)),
        **{f"LIF {s!r}": lambda s=s: LIF(surrogate=s) for s in (Sigmoid(), Gaussian(), MultiGaussian())},
        "LIF learned surrogate": lambda: LIF(surrogate=ATan(Learned(2.0))),
    }
    return {**{n: (m, True) for n, m in exact.items()}, **{n: (m, False) for n, m in near.items()}}


def ran(neuron: Neuron, xs: Tensor, implementation: str, mode: str, low: torch.dtype | None) -> dict[str, Tensor]:
    """Outputs, last state and gradients of a weighted sum of both."""
    neuron.zero_grad()
    leaf = (xs if low is None else xs.to(low)).detach().requires_grad_()
    with use(implementation, backward=mode), torch.autocast(xs.device.type, low, enabled=low is not None):
        ys, states = snn4.run(neuron, leaf)
    loss: Any = 0
    for seed, out in enumerate((ys, *states[""])):
        draw = torch.Generator(xs.device).manual_seed(seed)
        loss = loss + (out * torch.randn(out.shape, generator=draw, device=xs.device).to(out)).sum()
    loss.backward()
    found = {"outputs": ys, **{f"state {k}": field for k, field in enumerate(states[""])}, "gradient": leaf.grad}
    found.update((f"of {name}", p.grad) for name, p in neuron.named_parameters())
    return {name: value.detach() for name, value in found.items()}


def parity(bench: Bench) -> dict[str, Any]:
    """Every member against the loop on the same device: modes, dtypes, small and odd, large and even."""
    small, large = ((7, 2, 5, 5),) * 2 if bench.dry else ((7, 41, 5, 5), (17, 32768, 5, 5))
    cases: list[tuple[torch.dtype, str, tuple[int, ...]]] = [
        (torch.float32, "recompute", small),
        (torch.float32, "recompute", large),
        (torch.float32, "save", large),
        (torch.float64, "recompute", small),
        (torch.bfloat16, "recompute", large),
    ]
    rows: list[dict[str, Any]] = []
    for name, (make, exact) in list(members().items())[:: 5 if bench.dry else 1]:
        worst: dict[str, Any] = {"neuron": name, "exact": exact, "differ": 0, "relative": 0.0, "parameters": 0.0}
        for dtype, mode, shape in cases[::4] if bench.dry else cases:
            low = dtype if dtype == torch.bfloat16 else None
            real = torch.float32 if low else dtype
            neuron = make().to(bench.device, real)
            xs = bench.normal(*shape, seed=len(shape), scale=0.8, shift=0.3).to(real)
            # what is no spike does not travel in bf16
            way = "auto" if low and neuron.alphabet is None else "triton"
            compare(worst, ran(neuron, xs, way, mode, low), ran(neuron, xs, "reference", mode, low))
        worst["right"] = worst["parameters"] < 1e-5 and (worst["differ"] == 0 or not exact) and worst["relative"] < 1e-4
        rows.append(worst)
        gaps = f"relative {worst['relative']:.1e}, parameters {worst['parameters']:.1e}"
        say(f"    {'right' if worst['right'] else 'WRONG':<6}{name:<34}{worst['differ']} numbers differ, {gaps}")
    return {"members": rows, "right": all(row["right"] for row in rows)}


def compare(worst: dict[str, Any], mine: dict[str, Tensor], loop: dict[str, Tensor]) -> None:
    """Remember the largest differences."""
    for what, value in loop.items():
        other = mine[what]
        gap = float((other.double() - value.double()).norm() / value.double().norm().clamp_min(1e-30))
        if what.startswith("of "):
            worst["parameters"] = max(worst["parameters"], gap)
            continue
        worst["relative"] = max(worst["relative"], gap)
        worst["differ"] += int((other != value).sum())


# ---------------------------------------------------------------------------------------------------------------- layer


def peers() -> Iterator[tuple[str, Layer]]:
    """LIF layers of other packages with each of their own implementations; one that does not run is named."""
    if installed("spikingjelly"):
        functional = importlib.import_module("spikingjelly.activation_based.functional")
        neuron = importlib.import_module("spikingjelly.activation_based.neuron")
        surrogate = importlib.import_module("spikingjelly.activation_based.surrogate")
        for backend in ("torch", "cupy", "triton"):
            for kind, reset in (("hard", 0.0), ("soft", None)):
                how = {"tau": 10.0, "decay_input": False, "v_reset": reset, "step_mode": "m"}
                try:
                    node = neuron.LIFNode(surrogate_function=surrogate.ATan(), backend=backend, **how)
                except Exception as problem:
                    say(f"    spikingjelly {backend}: {str(problem).splitlines()[0][:100]}")
                    continue

                def call(x: Tensor, node: Any = node) -> Tensor:
                    functional.reset_net(node)
                    return node(x)

                yield f"spikingjelly {installed('spikingjelly')} {backend}, {kind} reset", call
    if installed("snntorch"):
        leaky = importlib.import_module("snntorch").Leaky(beta=0.9)

        def run_snntorch(x: Tensor) -> Tensor:
            memory, out = leaky.reset_mem(), []
            for step in x.unbind(0):
                spikes, memory = leaky(step, memory)
                out.append(spikes)
            return torch.stack(out)

        yield f"snntorch {installed('snntorch')} Leaky", run_snntorch


def turns(bench: Bench, layer: Layer, x: Tensor, grad: Tensor) -> Callable[[], list[float]]:
    """One forward and one backward of a layer, timed."""

    def entry() -> list[float]:
        x.grad, held = None, []
        taken = bench.seconds(lambda: held.append(layer(x)), lambda: held.pop().backward(grad))
        x.grad = None
        return taken

    return entry


def limit(bench: Bench, x: Tensor) -> Callable[[], list[float]]:
    """What memory allows: a copy, and a sum of two."""
    a, b, c = (torch.empty_like(x) for _ in range(3))
    return lambda: bench.seconds(lambda: b.copy_(a), lambda: torch.add(a, b, out=c))


def layers(bench: Bench) -> dict[str, Any]:
    """LIF over each shape, beside the limit, the loop and peers; bf16 beside the limit of bf16."""
    result: dict[str, Any] = {}
    shapes = DRY_SHAPES if bench.dry else {**SHAPES, **{t * 1000: s for t, s in CPU_SHAPES.items()}}
    for key, tail in shapes.items():
        steps = key // 1000 if key >= 1000 else key
        if bench.out_of_time():
            break
        x = bench.normal(steps, *tail, scale=0.5, shift=0.15)
        low_x, low = x.bfloat16().requires_grad_(), torch.bfloat16
        grad, x = bench.normal(steps, *tail, seed=1), x.requires_grad_()
        low_grad = grad.bfloat16()
        lif = LIF(tau=10.0)
        entries = {
            "limit": limit(bench, x.detach()),
            "limit bf16": limit(bench, low_x.detach()),
            "snn4 LIF": turns(bench, ours(lif, "triton"), x, grad),
            "snn4 LIF, states saved": turns(bench, ours(lif, "triton", backward="save"), x, grad),
            "snn4 LIF bf16": turns(bench, ours(lif, "triton", low), low_x, low_grad),
            "snn4 ALIF": turns(bench, ours(ALIF(), "triton"), x, grad),
            "snn4 three states, learned": turns(bench, ours(Dendrite(tail[1:]).to(x.device), "triton"), x, grad),
        }
        # beyond some steps the loop holds too much, and says nothing new
        if steps <= 100:
            entries["snn4 LIF, loop"] = turns(bench, ours(lif, "reference"), x, grad)
        entries |= {name: turns(bench, layer, x, grad) for name, layer in peers()}
        text = "x".join(map(str, x.shape))
        say(f"    {text}, {x.numel() / 1e6:.1f} million elements")
        result[text] = table(bench.rounds(entries))
        del x, low_x, grad, low_grad, entries
        gc.collect()
    return result


def table(times: dict[str, list[list[float]]]) -> dict[str, Any]:
    """Medians, and shares of the limit in the same rounds."""
    rows: dict[str, Any] = {}
    for name, taken in times.items():
        floor = times["limit bf16" if "bf16" in name else "limit"]
        parts = [statistics.median(column) for column in zip(*taken, strict=True)]
        floors = [statistics.median(column) for column in zip(*floor, strict=True)]
        shares = [a / b for a, b in zip(floors, parts, strict=True)]
        rows[name] = {
            "forward_ms": 1e3 * parts[0],
            "backward_ms": 1e3 * parts[1],
            "share_forward": shares[0],
            "share_backward": shares[1],
            "share": sum(floors) / sum(parts),
        }
        say(
            f"      {name:<42}{1e3 * parts[0]:>9.3f} +{1e3 * parts[1]:>9.3f} ms{100 * shares[0]:>7.0f} % and"
            f"{100 * shares[1]:>4.0f} % of the limit"
        )
    return rows


def blocks(bench: Bench) -> dict[str, Any]:
    """The layer with programs of other sizes; the one in triton_plan.py should be the best of them."""
    result: dict[str, Any] = {}
    before = dict(triton_plan._BLOCKS)
    shapes = {4: DRY_SHAPES[4]} if bench.dry else {**SHAPES, 1000: (16, 512)}
    for steps, tail in shapes.items():
        x = bench.normal(steps, *tail, scale=0.5, shift=0.15).requires_grad_()
        grad = bench.normal(steps, *tail, seed=1)
        entries: dict[str, Callable[[], list[float]]] = {"limit": limit(bench, x.detach())}
        for size in (128, 256, 512, 1024):
            inner = turns(bench, ours(LIF(tau=10.0), "triton"), x, grad)

            def entry(size: int = size, inner: Callable[[], list[float]] = inner) -> list[float]:
                triton_plan._BLOCKS.update(forward=(size, size), backward=(size, size))
                return inner()

            entries[f"{size} elements"] = entry
        say(f"    {'x'.join(map(str, x.shape))}")
        try:
            result["x".join(map(str, x.shape))] = table(bench.rounds(entries))
        finally:
            triton_plan._BLOCKS.update(before)
        del x, grad, entries
    return result


def overhead(bench: Bench) -> dict[str, Any]:
    """Microseconds of a forward and a backward where the work is nothing."""
    x, grad = bench.normal(4, 8, 32).requires_grad_(), bench.normal(4, 8, 32)
    result: dict[str, float] = {}
    layer = {"snn4 LIF": ours(LIF(), "triton"), "snn4 LIF, loop": ours(LIF(), "reference"), **dict(peers())}
    for name, call in layer.items():
        count = 1 if bench.dry else 200
        for measured in (False, True):
            began = time.perf_counter()
            for _ in range(count):
                call(x).backward(grad)
            if not bench.dry:
                torch.cuda.synchronize()
            if measured:
                result[name] = 1e6 * (time.perf_counter() - began) / count
        say(f"    {name:<42}{result[name]:>9.0f} us")
    return result


# ----------------------------------------------------------------------------------------------------------------- gemm


def gemm(bench: Bench) -> dict[str, Any]:
    """Spikes are exact in bf16, so that only the weight's rounding counts: it can be split into bf16 terms."""
    sizes = [(16, 32, 8)] if bench.dry else [(8000, 512, 512), (65536, 1024, 1024), (8192, 4096, 4096)]
    result: dict[str, Any] = {}
    for m, k, n in sizes:
        draw = torch.Generator(bench.device).manual_seed(0)
        spikes = (torch.rand(m, k, generator=draw, device=bench.device) < 0.1).float()
        weight = bench.normal(k, n) / math.sqrt(k)
        exact = spikes.double() @ weight.double()
        terms, rest = [], weight
        for _ in range(3):
            terms.append(rest.bfloat16())
            rest = rest - terms[-1].float()
        low = spikes.bfloat16()

        def split(count: int, low: Tensor = low, terms: list[Tensor] = terms) -> Tensor:
            products = [_wide(low, term) for term in terms[:count]]
            return sum(products[1:], products[0])

        def dense(precision: str, spikes: Tensor = spikes, weight: Tensor = weight) -> Tensor:
            torch.set_float32_matmul_precision(precision)
            try:
                return spikes @ weight
            finally:
                torch.set_float32_matmul_precision("highest")

        ways: dict[str, Callable[[], Tensor]] = {
            "fp32": lambda d=dense: d("highest"),
            "TF32": lambda d=dense: d("high"),
            "bf16": lambda low=low, terms=terms: low @ terms[0],
            **{f"bf16 x {count}, summed in fp32": lambda c=count, s=split: s(c) for count in (1, 2, 3)},
        }
        name = f"{m}x{k}x{n}"
        say(f"    {name}")
        entries = {way: (lambda call=call: bench.seconds(call)) for way, call in ways.items()}
        times = {way: statistics.median(t[0] for t in taken) for way, taken in bench.rounds(entries).items()}
        result[name] = {
            way: {"ms": 1e3 * taken, "error": float((ways[way]().double() - exact).abs().max() / exact.abs().max())}
            for way, taken in times.items()
        }
        for way, row in result[name].items():
            say(f"      {way:<28}{row['ms']:>9.3f} ms, largest error {row['error']:.1e} of the largest value")
    return result


def _wide(a: Tensor, b: Tensor) -> Tensor:
    """A product of bf16 that is summed, and handed out, in float32."""
    if a.is_cuda:
        return torch.mm(a, b, out_dtype=torch.float32)
    return a.float() @ b.float()


# ---------------------------------------------------------------------------------------------------------------- steps


class Block(torch.nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, inside: int, outside: int, stride: int, act: Callable[[], torch.nn.Module]) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), act())
        self.second = nn.Sequential(nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside))
        same = stride == 1 and inside == outside
        around = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))
        self.around, self.act = (nn.Identity() if same else around), act()

    def forward(self, x: Tensor) -> Tensor:
        """The activation of the sum."""
        return self.act(self.second(self.first(x)) + self.around(x))


def resnet(act: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """ResNet-18 for pictures of 32 x 32."""
    parts: list[torch.nn.Module] = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), act()]
    inside = 64
    for outside, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        parts += [Block(inside, outside, stride, act), Block(outside, outside, 1, act)]
        inside = outside
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def conv(act: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """Two convolutions for pictures of 28 x 28."""
    one = (nn.Conv2d(1, 32, 3, 1, 1), nn.BatchNorm2d(32), act(), nn.MaxPool2d(2))
    two = (nn.Conv2d(32, 64, 3, 1, 1), nn.BatchNorm2d(64), act(), nn.MaxPool2d(2))
    return nn.Sequential(*one, *two, nn.Flatten(), nn.Linear(64 * 49, 10))


def mlp(act: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """One hidden layer."""
    return nn.Sequential(nn.Linear(784, 400), act(), nn.Linear(400, 10))


def steps(bench: Bench) -> dict[str, Any]:
    """Forward, loss, backward and Adam: spiking by kernel and by loop, and ReLU on the same tensor."""
    nets: dict[str, tuple[Any, tuple[int, ...]]] = {
        "MLP 784-400-10, T=25, B=1024": (mlp, (25, 1024, 784)),
        "conv 32-64, T=4, B=512": (conv, (4, 512, 1, 28, 28)),
        "ResNet-18, T=4, B=128": (resnet, (4, 128, 3, 32, 32)),
    }
    if bench.dry:
        nets = {"MLP": (mlp, (2, 2, 784))}
    result: dict[str, Any] = {}
    for title, (make, shape) in nets.items():
        say(f"    {title}")
        x = bench.normal(*shape)
        target = torch.arange(shape[1], device=bench.device) % 10
        entries: dict[str, Callable[[], list[float]]] = {}
        for low in (None, torch.bfloat16):
            kind = "fp32" if low is None else "bf16"
            ways = {"snn4": (LIF, "triton"), "snn4, loop": (LIF, "reference"), "ReLU": (nn.ReLU, "auto")}
            for name, (act, way) in ways.items():
                entries[f"{name}, {kind}"] = training(bench, make(act).to(bench.device), x, target, way, low)
        times = bench.rounds(entries)
        result[title] = {name: 1e3 * statistics.median(t[0] for t in taken) for name, taken in times.items()}
        for name, taken in result[title].items():
            relu = result[title].get(f"ReLU, {name[-4:]}", math.nan)
            say(f"      {name:<28}{taken:>9.2f} ms, {taken / relu:.2f} x ReLU")
    return result


def training(
    bench: Bench, net: torch.nn.Module, x: Tensor, target: Tensor, way: str, low: torch.dtype | None
) -> Callable[[], list[float]]:
    """One step of training, timed."""
    fused = {"fused": True} if x.is_cuda else {}
    optimizer = torch.optim.Adam(net.parameters(), 1e-3, **fused)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with use(way), torch.autocast(x.device.type, low, enabled=low is not None):
            loss = torch.nn.functional.cross_entropy(net(x).float().mean(0), target)
        loss.backward()
        optimizer.step()

    return lambda: bench.seconds(step)


SECTIONS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "parity": parity,
    "layer": layers,
    "gemm": gemm,
    "steps": steps,
    "overhead": overhead,
    "blocks": blocks,
}


def main() -> None:
    """Run the sections, write after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=9.0, help="no section begins later than this")
    parser.add_argument("--dry", action="store_true", help="on the CPU, interpreted, tiny: the script itself is tested")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gpu.json")
    options = parser.parse_args()
    unknown = set(options.only.split(",")) - set(SECTIONS)
    if unknown:
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    if not options.dry and not torch.cuda.is_available():
        parser.error("no GPU is seen by torch; --dry checks the script without one")
    # the fastest convolution, for everybody
    torch.backends.cudnn.benchmark = True
    bench = Bench(dry=options.dry, minutes=options.minutes, repeats=options.repeats)
    if bench.dry:
        registry.register(TritonKernel("cpu"))
    result: dict[str, Any] = {"conditions": conditions(bench), "left_out": []}
    say(json.dumps(result["conditions"]))
    for name in options.only.split(","):
        if bench.out_of_time():
            result["left_out"].append(name)
            say(f"{name}: left out, no time")
            continue
        began = time.monotonic()
        say(name)
        try:
            result[name] = SECTIONS[name](bench)
        except Exception as problem:
            # the next section may still find something
            result[name] = {"failed": f"{type(problem).__name__}: {problem}"}
            say(f"  {name} failed: {type(problem).__name__}: {problem}")
        say(f"  {name}: {time.monotonic() - began:.0f} s")
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    failed = [name for name, found in result.items() if isinstance(found, dict) and "failed" in found]
    sys.exit(1 if failed or not result.get("parity", {}).get("right", True) else 0)


if __name__ == "__main__":
    main()
