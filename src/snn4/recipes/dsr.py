"""DSR: how far the spikes are from the number that they stand for, and what that does to accuracy.

Networks of one architecture, trained alike: DSR with IF and LIF, learned and held thresholds, alpha of one half and 1;
BPTT on the same neurons and on LIF; and the ANN. Of each: accuracy, time, memory, steps, how seldom it fires. Of those
with a representation also the error of each layer beside the paper's bound, at T from short to long with the weights as
they were trained, and the accuracy at that T.

Paper: [meng2022dsr]
Differs from the paper: a small dense network on Fashion-MNIST and our options; its readout is linear, without neurons.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Generator, Tensor

from snn4.core.errors import OptionError
from snn4.core.quantity import Learned, Value
from snn4.data import DataSet, Split
from snn4.models import mlp
from snn4.neurons import DSRIF, DSRLIF
from snn4.profiling import representation_error
from snn4.recipes.costs import step_cost
from snn4.recipes.fixed import ROUTE, settled
from snn4.recipes.options import NeuronOptions, TrainingOptions
from snn4.recipes.study import Study, seeded, study_runner, three
from snn4.recipes.tables import Cells, Row, percent
from snn4.recipes.tasks import make_task, shown
from snn4.through_time import BPTT, DSR, Neuron, Route, use_route
from snn4.training import evaluate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPECTED", "TITLE", "Arm", "Config", "arms", "main"]

TITLE = "DSR: representation error, accuracy and cost, beside BPTT and the ANN"
# what the paper says is compared with, not required
EXPECTED: dict[str, float] = {}
_WATCHED = 512


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the recipe."""

    seed: int = 0
    """Of everything random: weights, splits, order."""
    epochs: int = 8
    """Passes over the training split, for each network."""
    steps: int = 5
    """Time steps in training."""
    lengths: tuple[int, ...] = (2, 5, 10, 20, 40)
    """Time steps at which a trained network is run again."""
    hidden: tuple[int, ...] = (256, 128)
    """Widths of the hidden layers."""
    limit: int | None = 20_000
    """Use only so many training samples."""
    neuron: NeuronOptions = dataclasses.field(default_factory=NeuronOptions)
    """Of the network that BPTT trains beside the same IF."""
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(batch_size=64, weight_decay=0.01, threads=1)
    )

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, steps=2, lengths=(2, 4), hidden=(8, 6), limit=128)


class Arm(NamedTuple):
    """One network of the study.

    Args:
        about: in words, for the table.
        neuron: makes its neurons.
        route: how they are differentiated; None for the ANN.
    """

    about: str
    neuron: Callable[[], torch.nn.Module]
    route: Route | None


def arms(config: Config) -> dict[str, Arm]:
    """All networks by name: thresholds and alpha are the paper's for few steps where the name says nothing else."""

    def integrate(v_threshold: Value, alpha: float) -> Callable[[], DSRIF]:
        return lambda: DSRIF(v_threshold, alpha)

    def leak() -> DSRLIF:
        return DSRLIF(1.0, Learned(0.6), 0.5, 0.1, 0.001)

    learned = Learned(6.0)
    return {
        "dsr-if": Arm("DSR, IF", integrate(learned, 0.5), DSR()),
        "dsr-if-held": Arm("DSR, IF, threshold held", integrate(6.0, 0.5), DSR()),
        "dsr-if-alpha1": Arm("DSR, IF, alpha = 1", integrate(learned, 1.0), DSR()),
        "dsr-if-held-alpha1": Arm("DSR, IF, both", integrate(6.0, 1.0), DSR()),
        "dsr-lif": Arm("DSR, LIF", leak, DSR()),
        "bptt-if": Arm("BPTT, the same IF", integrate(learned, 0.5), BPTT()),
        "bptt-lif": Arm(f"BPTT, {config.neuron.title(config.steps)}", config.neuron.factory(config.steps), BPTT()),
        "ann": Arm("ANN", torch.nn.ReLU, None),
    }


def carry_out(study: Study, config: Config) -> dict[str, Any]:
    """Train every network, look at its representation, then write the picture and the tables."""
    if not config.lengths or min(config.steps, *config.lengths) < 1:
        raise OptionError(f"--steps got {config.steps} and --lengths {config.lengths}", "whole numbers >= 1")
    settled("dsr", config, ROUTE, "Each of its networks has a route of its own.")
    every = arms(config)
    dataset = study.load("fashion")
    parts = three(dataset, 1 / 12, config)
    how = config.train.fit_config(config.epochs)
    study.begin()

    def net(arm: Arm) -> torch.nn.Module:
        made = seeded(lambda: mlp(784, config.hidden, 10, arm.neuron, norm=True), config.seed)
        return made if arm.route is None else use_route(made, arm.route)

    def steps(arm: Arm) -> int:
        return config.steps if arm.route is not None else 1

    def measure(arm: Arm) -> Row:
        batch = parts[0].take(torch.arange(min(config.train.batch_size, len(parts[0]))))
        found = step_cost(net(arm), shown(make_task(dataset, config.train), steps(arm)), batch, how, repeats=9)
        return {"peak_bytes": found.peak_bytes, "ms": found.milliseconds}

    def train(name: str, arm: Arm, costs: Row, folder: Path) -> Row:
        mine, task = net(arm), shown(make_task(dataset, config.train), steps(arm))
        row = {"arm": name, "about": arm.about, "steps": steps(arm), **costs}
        row |= study.learn(folder, mine, task, parts, how, seed=config.seed)
        xs = task.encode(parts[2].inputs[:_WATCHED], Generator())
        row["firing_rate"] = _active(mine, xs)
        row["thresholds"] = [
            torch.as_tensor(m.v_threshold).item() for m in mine.modules() if isinstance(m, (DSRIF, DSRLIF))
        ]
        if row["thresholds"]:
            row["over_time"] = [_represented(config, mine, dataset, parts[2], length) for length in config.lengths]
        return row

    costs = {name: study.row(f"cost-{name}", lambda _, a=arm: measure(a)) for name, arm in every.items()}
    rows = [study.row(name, lambda f, n=name: train(n, every[n], costs[n], f)) for name in every]
    return study.end(rows, tables(rows), draw(rows))


main = study_runner("dsr", TITLE, carry_out)


def _active(net: torch.nn.Module, xs: Tensor) -> float:
    """Share of hidden units that send something at a step."""
    shares: list[float] = []

    def note(_module: torch.nn.Module, _inputs: Any, output: Tensor) -> None:
        shares.append(float((output != 0).double().mean()))

    layers = [m for m in net.modules() if isinstance(m, (Neuron, torch.nn.ReLU))]
    handles = [layer.register_forward_hook(note) for layer in layers]
    try:
        with torch.no_grad():
            net(xs)
    finally:
        for handle in handles:
            handle.remove()
    return sum(shares) / len(shares)


def _represented(config: Config, net: torch.nn.Module, data: DataSet, test: Split, steps: int) -> Row:
    """Accuracy and representation error with so many steps, weights as they are."""
    task = shown(make_task(data, config.train), steps)
    found = representation_error(net, task.encode(test.inputs[:_WATCHED], Generator()))
    return {
        "steps": steps,
        "test_accuracy": evaluate(net, task, test, over_time=False).accuracy,
        "layers": [dataclasses.asdict(layer) for layer in found.layers],
    }


def tables(rows: list[Row]) -> dict[str, Cells]:
    """Accuracy and cost of each network, and how well its rates are represented."""
    return {"accuracy and cost": _accuracies(rows), "representation": _errors(rows)}


def _accuracies(rows: list[Row]) -> Cells:
    header = ["network", "test accuracy, %", "T", "one batch, ms", "its memory, MiB", "active, %", "thresholds"]
    return [
        header,
        *(
            [
                row["about"],
                percent(row["test_accuracy"]),
                str(row["steps"]),
                f"{row['ms']:.1f}",
                f"{row['peak_bytes'] / 2**20:.2f}",
                percent(row["firing_rate"], 1),
                ", ".join(f"{v:.2f}" for v in row["thresholds"]) or "-",
            ]
            for row in rows
        ),
    ]


def _errors(rows: list[Row]) -> Cells:
    """Representation error of each layer, over its clamp's upper end, and the accuracy beside it, for each T."""
    lines = [["network", "T", "test accuracy, %", "mean error, % of top, by layer", "bound", "beyond it, %"]]
    for row in rows:
        for found in row.get("over_time", []):
            layers = found["layers"]
            lines.append(
                [
                    row["about"],
                    str(found["steps"]),
                    percent(found["test_accuracy"]),
                    ", ".join(percent(layer["mean"] / layer["top"], 1) for layer in layers),
                    ", ".join(percent(layer["bound"] / layer["top"], 1) for layer in layers),
                    ", ".join(percent(layer["beyond"], 1) for layer in layers),
                ]
            )
    return lines


def draw(rows: list[Row]) -> dict[str, Figure]:
    """Error of the last hidden layer and accuracy against T, for DSR with IF."""
    from snn4.view.pictures import study
    from snn4.view.pictures.canvas import figure

    drawing = figure(8.2, 3.2)
    left, right = drawing.subplots(1, 2)
    shown = [row for row in rows if row["arm"] in ("dsr-if", "dsr-if-alpha1", "dsr-lif", "bptt-if")]
    lengths = [str(found["steps"]) for found in shown[0]["over_time"]]
    error, accuracy = (
        {row["about"]: [[100 * of(found)] for found in row["over_time"]] for row in shown} for of in (_last, _accuracy)
    )
    study(lengths, error, across="time steps", up="error of the last layer (% of top)", ax=left, title="")
    study(lengths, accuracy, across="time steps", up="test accuracy (%)", ax=right, title="")
    return {"representation": drawing}


def _last(found: Row) -> float:
    layer = found["layers"][-1]
    return layer["mean"] / layer["top"]


def _accuracy(found: Row) -> float:
    return found["test_accuracy"]
