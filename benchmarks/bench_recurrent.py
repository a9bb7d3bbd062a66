"""Whole training steps (forward, loss, backward, Adam) of recurrent spiking networks: compiled, and step by step.

    python benchmarks/bench_recurrent.py                  # all shapes
    python benchmarks/bench_recurrent.py --only ecg       # one of them

The loop of snn4 (`use("reference")`: torch's own operations, one step after the other), its loop over compiled steps as
it was before there was a kernel for the whole layer, and peers' recurrent layers have the same sizes. Peers have LIF
neurons, so that ours stand beside them with LIF; ALIF, which the paper of SRNN has, is ours alone. "product" is the
floor of dense arithmetic: the three products with the recurrent weights of a step as matrix products over all steps at
once, which no network whose spikes come back can have.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
from collections.abc import Callable
from typing import Any

import torch
from common import show, summary, timed, write
from torch import Tensor, nn

from snn4.kernels import keep_memory, use
from snn4.layers import Linear, Recurrent
from snn4.models import lsnn, srnn
from snn4.neurons import ALIF, LI, LIF

# steps, batch, inputs, neurons, classes
SHAPES = {
    "ecg": (1300, 64, 4, 36, 6),
    "shd": (100, 128, 140, 128, 20),
    "shd 700": (100, 128, 700, 128, 20),
    "psmnist": (784, 128, 1, 128, 10),
}
RATE = {"ecg": 1.0, "shd": 0.05, "shd 700": 0.05, "psmnist": 1.0}


def input_of(name: str) -> tuple[Tensor, Tensor]:
    """Inputs and classes."""
    steps, batch, inputs, _, classes = SHAPES[name]
    draw = torch.Generator().manual_seed(1)
    x = torch.rand(steps, batch, inputs, generator=draw)
    return (x < RATE[name]).float() * (x if RATE[name] == 1.0 else 1.0), torch.randint(
        0, classes, (batch,), generator=draw
    )


def trainer(net: nn.Module, x: Tensor, y: Tensor) -> Callable[[], float]:
    """One training step."""
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)

    def step() -> float:
        optimiser.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(net(x).mean(0), y)
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    return step


def under(implementation: str, step: Callable[[], float]) -> Callable[[], float]:
    """A step under `use`."""

    def run() -> float:
        with use(implementation):
            return step()

    return run


class OneByOne(nn.Module):
    """A feedback that is no `Linear` to the eye of the loop: neurons run compiled, step by step."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """As the layer."""
        return self.inner(x)


def ours(name: str, neuron: Callable[[], nn.Module], *, stepped: bool = False) -> Callable[[], float]:
    """An SRNN with one hidden layer."""
    _, _, inputs, width, classes = SHAPES[name]
    torch.manual_seed(0)  # noqa: TID251  (layers of torch draw their weights from it)
    net = srnn(inputs, [width], classes, neuron, readout=lambda: LI(20.0))
    if stepped:
        for module in net.modules():
            if isinstance(module, Recurrent):
                module.feedback = OneByOne(module.feedback)
    return trainer(net, *input_of(name))


def long_short(name: str) -> Callable[[], float]:
    """An LSNN: half of its neurons adapt."""
    _, _, inputs, width, classes = SHAPES[name]
    torch.manual_seed(0)  # noqa: TID251
    half = width // 2
    return trainer(
        lsnn(inputs, classes, regular_neurons=width - half, adaptive_neurons=half, readout=lambda: LI(20.0)),
        *input_of(name),
    )


class Snntorch(nn.Module):
    """snntorch's RLeaky between the same layers."""

    def __init__(self, inputs: int, width: int, classes: int) -> None:
        super().__init__()
        snn: Any = importlib.import_module("snntorch")
        surrogate: Any = importlib.import_module("snntorch.surrogate")
        self.first, self.out = Linear(inputs, width), Linear(width, classes)
        self.neuron = snn.RLeaky(beta=0.5, linear_features=width, spike_grad=surrogate.atan())
        self.readout = LI(20.0)

    def forward(self, x: Tensor) -> Tensor:
        """All steps."""
        spikes, membrane = self.neuron.init_rleaky()
        found: list[Tensor] = []
        for now in self.first(x).unbind(0):
            spikes, membrane = self.neuron(now, spikes, membrane)
            found.append(spikes)
        return self.readout(self.out(torch.stack(found)))


class Spikingjelly(nn.Module):
    """spikingjelly's LinearRecurrentContainer between the same layers."""

    def __init__(self, inputs: int, width: int, classes: int) -> None:
        super().__init__()
        layer: Any = importlib.import_module("spikingjelly.activation_based.layer")
        neuron: Any = importlib.import_module("spikingjelly.activation_based.neuron")
        self.functional: Any = importlib.import_module("spikingjelly.activation_based.functional")
        self.first, self.out = Linear(inputs, width), Linear(width, classes)
        inner = neuron.LIFNode(tau=2.0, decay_input=False, v_reset=None)
        self.neuron = layer.LinearRecurrentContainer(inner, width, width)
        self.readout = LI(20.0)

    def forward(self, x: Tensor) -> Tensor:
        """All steps."""
        self.functional.reset_net(self.neuron)
        found = torch.stack([self.neuron(now) for now in self.first(x).unbind(0)])
        return self.readout(self.out(found))


def product(name: str) -> Callable[[], float]:
    """The recurrent layer's three matrix products, each over all steps at once."""
    steps, batch, _, width, _ = SHAPES[name]
    draw = torch.Generator().manual_seed(2)
    weight = torch.randn(width, width, generator=draw)
    s = (torch.rand(steps * batch, width, generator=draw) < 0.1).float()
    g = torch.randn(steps * batch, width, generator=draw)

    def run() -> float:
        return float((s @ weight.t())[0, 0] + (g @ weight)[0, 0] + (g.t() @ s)[0, 0])

    return run


def main() -> None:
    """Check, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=SHAPES, help="one shape")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default="snntorch,spikingjelly", help="which, separated by commas")
    parser.add_argument("--ours-only", action="store_true", help="neither loops nor peers; nothing is written")
    options = parser.parse_args()
    keep_memory()
    for name in [options.only] if options.only else list(SHAPES):
        _, _, inputs, width, classes = SHAPES[name]
        expected, got = under("reference", ours(name, LIF))(), under("auto", ours(name, LIF))()
        if abs(expected - got) > 1e-3 * abs(expected):
            raise SystemExit(f"not timed, because the first loss is {got} and not {expected}, the reference loop's")
        entries = {"snn4, LIF": ours(name, LIF), "snn4, ALIF": ours(name, ALIF), "snn4, LSNN": long_short(name)}
        entries["product, three at once"] = product(name)
        if not options.ours_only:
            entries["snn4, LIF, compiled step by step"] = ours(name, LIF, stepped=True)
            for kind, step in (("LIF", ours(name, LIF)), ("ALIF", ours(name, ALIF)), ("LSNN", long_short(name))):
                entries[f"snn4, {kind}, loop"] = under("reference", step)
            chosen = options.peers.split(",")
            if "snntorch" in chosen:
                entries["snntorch, RLeaky"] = trainer(Snntorch(inputs, width, classes), *input_of(name))
            if "spikingjelly" in chosen:
                entries["spikingjelly, LinearRecurrentContainer"] = trainer(
                    Spikingjelly(inputs, width, classes), *input_of(name)
                )
        times = timed(entries, options.rounds)
        base = statistics.median(times["snn4, LIF"])
        rows = {entry: summary(seconds, base) for entry, seconds in times.items()}
        setting = "{}: T = {}, B = {}, {} inputs, {} neurons, {} classes".format(name, *SHAPES[name])
        show(setting, rows)
        if not options.ours_only:
            write("recurrent", setting, {"rounds": options.rounds, "keep_memory": True, "rows": rows})


if __name__ == "__main__":
    main()
