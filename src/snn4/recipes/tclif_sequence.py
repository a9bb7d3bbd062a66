"""Sequential MNIST, one pixel a step for 784 steps: TC-LIF, and LIF in the same recipe beside it.

The feed-forward network, 1-40-256-128-10, has 44,762 weights; its only memory is that of its neurons. The answer is the
sum of the output weights' answers over all steps, over sqrt(784). Every cell is a run of its own:
`--cells tclif lif alif relu`. Permuted sequential MNIST with recurrent networks is
`snn4 run tclif_sequence --permuted --recurrent --cells tclif alif`.

Paper: [zhang2024tclif, le2015irnn], with the first's widths, thresholds and start values for each of the four tasks.
Differs from the paper: fewer epochs, with a learning rate that falls as half a cosine, and a smaller batch, so that a
CPU can train it; a validation split chooses the epoch, and the test split is read once; matrix products in bfloat16.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Generator, Tensor

from snn4.core.errors import OptionError
from snn4.core.quantity import Learned
from snn4.data import Pixels
from snn4.models import srnn
from snn4.neurons import ALIF, TCLIF
from snn4.objectives import cross_entropy
from snn4.profiling import profile
from snn4.recipes.cells import called
from snn4.recipes.fixed import ROUTE, settled
from snn4.recipes.options import NeuronOptions, TrainingOptions
from snn4.recipes.study import Study, seeded, study_runner, three
from snn4.recipes.tables import Cells, Row, percent
from snn4.training import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPECTED", "TITLE", "Config", "main", "network", "task_of"]

TITLE = "Sequential MNIST, one pixel a step: TC-LIF beside LIF"
EXPECTED = {"tclif.test_accuracy": 0.9735}

Cell = Literal["tclif", "lif", "alif", "relu"]
_SIDE, _CLASSES, _ORDER = 28, 10, 0
# (permuted, recurrent) -> logits of beta1 and beta2, gamma, threshold: the authors' settings
_SETTINGS = {
    (False, False): (0.0, 0.0, 0.5, 1.0),
    (False, True): (1.5, -0.5, 0.5, 1.0),
    (True, False): (0.0, 0.0, 0.7, 1.5),
    (True, True): (-1.4, 1.4, 0.5, 1.8),
}
_WATCHED = 256


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the recipe."""

    seed: int = 0
    """Of everything random: weights, splits, order. The permutation of the pixels is always the same."""
    epochs: int = 60
    """Passes over the training split, for each cell."""
    steps: int = 784
    """Pixels of the image, and so time steps: 784, or 196, 49 or 16 of an image made smaller by averaging."""
    permuted: bool = False
    """Show the pixels in a fixed random order: neighbours then lie far apart."""
    recurrent: bool = False
    """Hidden layers feed back to themselves, all but the last; usual widths are then 64 256 256, 155,082 weights.
    The hardest of the four tasks is --permuted --recurrent --cells tclif alif."""
    hidden: tuple[int, ...] = ()
    """Widths of the hidden layers; empty for the paper's."""
    cells: tuple[Cell, ...] = ("tclif", "lif")
    """Hidden neurons, one run each, in this order: tclif, lif (with the options of `neuron`), alif, relu."""
    limit: int | None = None
    """Use only so many training samples."""
    neuron: NeuronOptions = dataclasses.field(
        default_factory=lambda: NeuronOptions(tau=20.0, learn_tau=True, surrogate="triangle", detach_reset=False)
    )
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(
            batch_size=32, learning_rate=4e-3, weight_decay=1e-2, autocast=True, threads=1
        )
    )

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, steps=16, hidden=(8, 8), limit=128)


def network(config: Config, cell: Cell) -> torch.nn.Module:
    """The network with hidden neurons of one kind, its weights drawn from the seed.

    Raises:
        OptionError: an unknown cell.
    """
    c1, c2, gamma, v_threshold = _SETTINGS[config.permuted, config.recurrent]

    def tclif() -> torch.nn.Module:
        beta1, beta2 = (Learned(sign * torch.sigmoid(torch.tensor(c)).item()) for sign, c in ((-1, c1), (1, c2)))
        return TCLIF(beta1, beta2, gamma, v_threshold)

    made: dict[str, Callable[[], torch.nn.Module]] = {
        "tclif": tclif,
        "lif": config.neuron.factory(config.steps),
        "alif": lambda: ALIF(Learned(20.0), Learned(150.0)),
        "relu": torch.nn.ReLU,
    }
    if cell not in made:
        raise OptionError(f"--cells got {cell!r}", f"one of {', '.join(made)}")
    hidden = config.hidden or ((64, 256, 256) if config.recurrent else (40, 256, 128))
    back = [config.recurrent] * (len(hidden) - 1) + [config.recurrent and len(hidden) == 1]

    def build() -> torch.nn.Module:
        return srnn(1, hidden, _CLASSES, made[cell], recurrent=back, readout=torch.nn.Identity)

    return seeded(build, config.seed)


def task_of(config: Config) -> Task:
    """From grey values to the loss: pixels between 0 and 1, one a step, and the sum of the answers over sqrt(T).

    Raises:
        OptionError: steps that are not the pixels of the image at 28, 14, 7 or 4 pixels a side.
    """
    side = round(config.steps**0.5)
    if side * side != config.steps or side not in (28, 14, 7, 4):
        raise OptionError(f"--steps got {config.steps}", "784, 196, 49 or 16")
    order = Pixels(config.steps, _ORDER if config.permuted else None)

    def encode(batch: Tensor, _generator: Generator) -> Tensor:
        image = batch.float() / 255
        return order(image if side == _SIDE else torch.nn.functional.adaptive_avg_pool2d(image, side))

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(logits, targets, label_smoothing=config.train.label_smoothing)

    # a sum's logits are too far apart to begin with, a mean's too close: networks then learned slowly or not at all
    return Task(encode, lambda ys: ys.sum(0) / len(ys) ** 0.5, loss)


def carry_out(study: Study, config: Config) -> dict[str, Any]:
    """Train the network with each kind of neuron, then write the picture and the table."""
    if not config.cells or len(set(config.cells)) != len(config.cells):
        raise OptionError(f"--cells got {config.cells}", "at least one, and none twice")
    settled("tclif_sequence", config, ROUTE, "Its networks are trained by BPTT.")
    task, nets = task_of(config), {cell: network(config, cell) for cell in config.cells}
    how = config.train.fit_config(config.epochs)
    parts = three(study.load("mnist"), 1 / 12, config)
    study.begin()

    def run(cell: Cell, folder: Path) -> Row:
        net = nets[cell]
        row = study.learn(folder, net, task, parts, how, seed=config.seed)
        found = profile(net, task.encode(parts[2].inputs[:_WATCHED], Generator()), batch_size=64)
        return {"cell": called(cell, config.neuron, config.steps), **row, "firing_rate": found.mean_firing_rate}

    rows = [study.row(cell, lambda folder, cell=cell: run(cell, folder)) for cell in config.cells]
    return study.end(rows, tables(rows), draw(rows))


main = study_runner("tclif_sequence", TITLE, carry_out)


def tables(rows: list[Row]) -> dict[str, Cells]:
    """One line for each kind of neuron."""
    header = ["neurons", "test accuracy, %", "validation accuracy, %", "best epoch", "parameters", "firing rate, %"]
    lines = [
        [
            row["cell"],
            percent(row["test_accuracy"]),
            percent(row["val_accuracy"]),
            f"{row['best_epoch']} of {row['epochs']}",
            f"{row['parameters']:,}",
            percent(row["firing_rate"], 1),
        ]
        for row in rows
    ]
    return {"cells": [header, *lines]}


def draw(rows: list[Row]) -> dict[str, Figure]:
    """Validation accuracy against the epoch, a line for each kind of neuron."""
    from snn4.view.pictures.canvas import BLUE, GREEN, PURPLE, VERMILLION, figure, legend, polish, whole_steps

    drawing = figure(4.6, 3.2)
    ax = drawing.subplots()
    for row, colour in zip(rows, (BLUE, VERMILLION, GREEN, PURPLE), strict=False):
        values = [100 * value for value in row["val_curve"]]
        ax.plot(range(1, len(values) + 1), values, color=colour, marker=".", label=row["cell"])
    polish(ax, "", "epoch", "validation accuracy (%)")
    whole_steps(ax, max(len(row["val_curve"]) for row in rows))
    legend(ax)
    return {"cells": drawing}
