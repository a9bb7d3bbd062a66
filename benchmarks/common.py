"""What the benchmarks share: the conditions, turns, neurons of users and of peers, files of results."""

from __future__ import annotations

import gc
import importlib.metadata
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import snn4
from snn4.core.states import state
from snn4.kernels import build, use
from snn4.surrogates import ATan
from snn4.through_time import Neuron

RESULTS = Path(__file__).parent / "results"
Layer = Callable[[Tensor], Tensor]


def installed(name: str) -> str:
    """The version of a package, or nothing."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def commit() -> str:
    """Of the working copy, or nothing."""
    words = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=Path(__file__).parent).stdout.strip()


def conditions() -> dict[str, Any]:
    """The machine and the software."""
    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if "model name" in line), cpu)
    compiler = build.find_compiler()
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_at_start": os.getloadavg(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "compiler": compiler.stamp if compiler else None,
        "snn4": snn4.__version__,
        "commit": commit(),
        "peers": {name: installed(name) for name in ("snntorch", "spikingjelly", "norse", "sinabs")},
        "huge_pages_for_torch": os.environ.get("THP_MEM_ALLOC_ENABLE", "0"),
        "pool": os.environ.get("SNN4_POOL", "default"),
    }


def turns(names: Iterable[str], rounds: int) -> Iterable[tuple[bool, str]]:
    """Whose turn it is, round by round, in another order each time; the first round does not count.

    Before each turn there is no garbage, the caches hold nothing of anybody's, and all threads are awake.
    """
    order = list(names)
    other = torch.zeros(64 << 20)
    # a full collection at every turn would leave the other cores asleep
    gc.collect()
    gc.freeze()
    for number in range(rounds + 1):
        # an entry whose neighbour is always the same meets what that one has left in the caches
        random.Random(number).shuffle(order)
        for name in order:
            gc.collect()
            other.add_(1.0)
            yield number > 0, name
    gc.unfreeze()


def timed(entries: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each entry, in turns."""
    times: dict[str, list[float]] = {name: [] for name in entries}
    for counts, name in turns(entries, rounds):
        began = time.perf_counter()
        entries[name]()
        taken = time.perf_counter() - began
        if counts:
            times[name].append(taken)
    return times


def summary(seconds: list[float], base: float) -> dict[str, float]:
    """Milliseconds of one entry, and how often `base` goes into its median."""
    middle = statistics.median(seconds)
    return {
        "ms": round(1e3 * middle, 3),
        "fastest_ms": round(1e3 * min(seconds), 3),
        "times_ours": round(middle / base, 2),
    }


def saved_bytes(call: Callable[[], Any]) -> int:
    """Bytes of the different storages that autograd saves for backward during a call."""
    found: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        kept = call()
    del kept
    return sum(found.values())


def write(name: str, section: str, result: dict[str, Any]) -> None:
    """Put one section into a file of results, beside those that are there."""
    path = RESULTS / f"{name}.json"
    whole: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    whole[section] = {"conditions": conditions(), **result}
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(whole, indent=2) + "\n")


def show(title: str, rows: dict[str, dict[str, Any]]) -> None:
    """Print rows as a table."""
    sys.stdout.write(f"\n{title}\n")
    for name, row in rows.items():
        cells = "  ".join(f"{key} {value}" for key, value in row.items())
        sys.stdout.write(f"  {name:<46} {cells}\n")
    sys.stdout.flush()


class ALIF(Neuron):
    """A neuron as a user would write it: two states."""

    State = state("v", "a")

    def __init__(self) -> None:
        super().__init__()
        self.surrogate = ATan()

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """An adapting threshold."""
        v = 0.9 * state.v + x
        theta = 1.0 + 0.2 * state.a
        s = self.surrogate(v - theta)
        return s, self.State(v - s * theta, 0.95 * state.a + s)


class Dendrite(Neuron):
    """A neuron as a user would write it: three states, learned parameters per channel."""

    State = state("d", "v", "s")

    def __init__(self, features: tuple[int, ...]) -> None:
        super().__init__()
        self.surrogate = ATan()
        channels = (features[0], *(1 for _ in features[1:]))
        self.b1 = torch.nn.Parameter(torch.full(channels, -0.4))
        self.b2 = torch.nn.Parameter(torch.full(channels, 0.3))

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Two compartments."""
        d = state.d - torch.sigmoid(self.b1) * state.v - 0.5 * state.s + x
        v = state.v + torch.sigmoid(self.b2) * d - state.s
        s = self.surrogate(v - 1.0)
        return s, self.State(d, v, s)


def ours(neuron: Neuron, implementation: str, low: torch.dtype | None = None, **how: Any) -> Layer:
    """One of our neurons, run in one way."""

    def call(x: Tensor) -> Tensor:
        with use(implementation, **how), torch.autocast(x.device.type, low, enabled=low is not None):
            return neuron(x)

    return call


class Sequence(torch.nn.Module):
    """A peer's neuron over (T, B, ...), from rest at every call."""

    def __init__(self, run: Callable[[Tensor], Tensor], module: torch.nn.Module) -> None:
        super().__init__()
        self.run, self.module = run, module

    def forward(self, x: Tensor) -> Tensor:
        """All steps."""
        return self.run(x)


def _snntorch(tau: float, hard: bool) -> Sequence:
    import snntorch

    leaky = snntorch.Leaky(beta=1 - 1 / tau, reset_mechanism="zero" if hard else "subtract")

    def run(x: Tensor) -> Tensor:
        memory, out = leaky.reset_mem(), []
        for step in x.unbind(0):
            spikes, memory = leaky(step, memory)
            out.append(spikes)
        return torch.stack(out)

    return Sequence(run, leaky)


def _spikingjelly(tau: float, hard: bool) -> Sequence:
    from spikingjelly.activation_based import functional, neuron, surrogate

    node = neuron.LIFNode(
        tau=tau, decay_input=False, surrogate_function=surrogate.ATan(), step_mode="m", v_reset=0.0 if hard else None
    )

    def run(x: Tensor) -> Tensor:
        functional.reset_net(node)
        return node(x)

    return Sequence(run, node)


def _norse(tau: float, hard: bool) -> Sequence:  # noqa: ARG001  (it knows one reset)
    import norse.torch as norse

    parameters = norse.LIFBoxParameters(tau_mem_inv=torch.as_tensor(1e3 / tau))
    cell = norse.LIFBoxCell(p=parameters, dt=1e-3)

    def run(x: Tensor) -> Tensor:
        state, out = None, []
        for step in x.unbind(0):
            spikes, state = cell(step, state)
            out.append(spikes)
        return torch.stack(out)

    return Sequence(run, cell)


def _sinabs(tau: float, hard: bool) -> Sequence:
    import sinabs.activation
    import sinabs.layers

    # its decay is exp(-1 / tau); it takes the batch first
    reset = sinabs.activation.MembraneReset() if hard else sinabs.activation.MembraneSubtract()
    layer = sinabs.layers.LIF(tau_mem=tau, norm_input=False, reset_fn=reset)

    def run(x: Tensor) -> Tensor:
        layer.reset_states()
        return layer(x.transpose(0, 1)).transpose(0, 1)

    return Sequence(run, layer)


_PEERS = {"snntorch": _snntorch, "spikingjelly": _spikingjelly, "norse": _norse, "sinabs": _sinabs}


def peers(tau: float = 10.0, only: Iterable[str] = tuple(_PEERS)) -> dict[str, Callable[[], Sequence]]:
    """Makers of LIF layers of other packages, those that are installed, by name, version and reset."""
    found: dict[str, Callable[[], Sequence]] = {}
    for name in only:
        version = installed(name)
        if not version:
            continue
        for reset in ("soft", "hard") if name == "spikingjelly" else ("hard",) if name == "norse" else ("soft",):
            hard = reset == "hard"
            found[f"{name} {version}, {reset} reset"] = lambda make=_PEERS[name], hard=hard: make(tau, hard)
    return found
