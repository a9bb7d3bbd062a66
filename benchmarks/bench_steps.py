"""Whole training steps (forward, loss, backward, Adam): what do spikes cost, against the same net with ReLU, and peers?

    python benchmarks/bench_steps.py mlp                 # 784-400-10, T = 25, batch 128
    python benchmarks/bench_steps.py conv                # 32-64 channels on 28 x 28, T = 4, batch 64
    python benchmarks/bench_steps.py resnet              # spiking ResNet-18 on 32 x 32, T = 4, batch 32
    python benchmarks/bench_steps.py conv --autocast     # everything under bf16 autocast

All networks have the same layers; only the activation differs. "ReLU" sees the same T x B frames, in channels_last as
ours; "ANN, T = 1" sees the batch once. Peers keep the layout in which they are faster. Bytes saved for backward are
those of the storages that autograd keeps.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from contextlib import nullcontext

import torch
from common import peers, saved_bytes, show, summary, timed, write
from torch import Tensor, nn

from snn4.kernels import keep_memory, use
from snn4.neurons import LIF

Activation = Callable[[], nn.Module]
Pair = tuple[Callable[[], float], Callable[[], Tensor]]
SETTINGS = {"mlp": (25, 128, (784,)), "conv": (4, 64, (1, 28, 28)), "resnet": (4, 32, (3, 32, 32))}


class Folded(nn.Module):
    """A neuron over (T, B, ...) as an activation over (T B, ...)."""

    def __init__(self, neuron: nn.Module, steps: int) -> None:
        super().__init__()
        self.neuron, self.steps = neuron, steps

    def forward(self, x: Tensor) -> Tensor:
        """All steps."""
        return self.neuron(x.unflatten(0, (self.steps, -1))).flatten(0, 1)


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, before: int, after: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), activation()
        )
        self.second = nn.Sequential(nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after))
        self.beside: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.beside = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        """Sum, then the activation."""
        return self.activation(self.second(self.first(x)) + self.beside(x))


def build(which: str, activation: Activation) -> nn.Sequential:
    """One of the three networks, over (T B, ...)."""
    torch.manual_seed(0)  # noqa: TID251  (layers of torch draw their weights from it)
    if which == "mlp":
        return nn.Sequential(nn.Linear(784, 400), activation(), nn.Linear(400, 10), activation())
    layers: list[nn.Module] = []
    if which == "conv":
        for before, after in ((1, 32), (32, 64)):
            layers += [nn.Conv2d(before, after, 3, 1, 1), nn.BatchNorm2d(after), activation(), nn.MaxPool2d(2)]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(3136, 10), activation())
    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), activation()]
    before = 64
    for after, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        layers.append(Block(before, after, stride, activation))
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def trainer(which: str, activation: Activation, steps: int, *, autocast: bool, channels_last: bool) -> Pair:
    """One training step of a network, and its forward pass alone."""
    _, batch, shape = SETTINGS[which]
    draw = torch.Generator().manual_seed(1)
    x = torch.rand(SETTINGS[which][0], batch, *shape, generator=draw)
    x = ((x < 0.3).float() if which == "mlp" else x)[:steps].flatten(0, 1)
    y = torch.randint(0, 10, (batch,), generator=draw)
    net = build(which, activation)
    if channels_last and which != "mlp":
        net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)

    def forward() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext():
            return nn.functional.cross_entropy(net(x).unflatten(0, (steps, batch)).float().mean(0), y)

    def step() -> float:
        optimiser.zero_grad(set_to_none=True)
        loss = forward()
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    return step, forward


def main() -> None:
    """Check, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=SETTINGS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--autocast", action="store_true", help="bf16 autocast, for everybody")
    parser.add_argument("--keep-memory", action="store_true", help="glibc keeps freed memory, for everybody")
    parser.add_argument("--peers", default="snntorch,spikingjelly,norse", help="which, separated by commas")
    options = parser.parse_args()
    kept = keep_memory() if options.keep_memory else False
    which, cast = options.which, options.autocast
    steps = SETTINGS[which][0]

    def lif() -> nn.Module:
        return Folded(LIF(tau=2.0), steps)

    def made(
        activation: Activation, steps: int = steps, last: bool = True
    ) -> tuple[Callable[[], float], Callable[[], Tensor]]:
        return trainer(which, activation, steps, autocast=cast, channels_last=last)

    with use("reference"):
        expected = made(lif)[0]()
    if abs(made(lif)[0]() - expected) > (2e-2 if cast else 1e-4) * abs(expected):
        raise SystemExit("not timed, because the first loss is not that of the reference loop")
    entries = {
        "snn4": made(lif),
        "ReLU, same T x B": made(nn.ReLU),
        "ANN, T = 1": made(nn.ReLU, 1),
    }
    if which != "mlp":
        entries["snn4, NCHW"] = made(lif, last=False)
        entries["ReLU, same T x B, NCHW"] = made(nn.ReLU, last=False)
    for name, make in peers(2.0, options.peers.split(",") if options.peers else ()).items():
        if "soft" in name or "norse" in name:
            entries[name] = made(lambda make=make: Folded(make(), steps), last=False)
    saved = {name: saved_bytes(forward) for name, (_, forward) in entries.items()}
    times = timed({name: step for name, (step, _) in entries.items()}, options.rounds)
    base = statistics.median(times["snn4"])
    rows = {
        name: {**summary(seconds, base), "saved_MiB": round(saved[name] / 2**20, 1)} for name, seconds in times.items()
    }
    setting = which + (", bf16 autocast" if cast else "") + (", memory kept" if kept else "")
    show(setting, rows)
    write("steps", setting, {"rounds": options.rounds, "keep_memory": kept, "rows": rows})


if __name__ == "__main__":
    main()
