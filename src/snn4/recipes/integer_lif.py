"""Integer LIF: trained with counts up to D, run with binary spikes in D virtual steps, beside LIF of T D steps.

The spiking twin, `snn4.layers.SpikingTwin`, is compared with the integer network neuron by neuron: its spikes have to
be those of the counts, each in its virtual step.

Paper: [luo2024spikeyolo]
Differs from the paper: a small dense network on Fashion-MNIST, and our options.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor

from snn4.core.errors import OptionError
from snn4.layers import SpikingTwin
from snn4.models import mlp
from snn4.neurons import IntegerLIF, UnaryLIF, unary
from snn4.profiling import profile
from snn4.recipes.fixed import ROUTE, settled
from snn4.recipes.options import NeuronOptions, TrainingOptions
from snn4.recipes.study import Study, seeded, study_runner, three
from snn4.recipes.tables import Cells, Row, percent
from snn4.recipes.tasks import make_task, shown
from snn4.training import evaluate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPECTED", "TITLE", "Config", "differences", "main"]

TITLE = "Integer LIF: trained with counts, run with spikes, beside LIF of as many steps"
EXPECTED = {"spikes that differ, at most": 0}
_WATCHED = 512


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the recipe."""

    seed: int = 0
    """Of everything random: weights, splits, order."""
    epochs: int = 8
    """Passes over the training split, for each network."""
    steps: int = 1
    """T, the steps of the integer network. Its twin has T D virtual steps, and so has the LIF beside it."""
    levels: tuple[int, ...] = (2, 4, 8)
    """D, one pair of networks for each."""
    hidden: tuple[int, ...] = (256, 128)
    """Widths of the hidden layers."""
    limit: int | None = 20_000
    """Use only so many training samples."""
    neuron: NeuronOptions = dataclasses.field(default_factory=NeuronOptions)
    """Of the network of T D steps beside it."""
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(batch_size=64, weight_decay=0.01, threads=1)
    )

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, levels=(2,), hidden=(8, 6), limit=128)


def differences(net: torch.nn.Module, xs: Tensor) -> Row:
    """Run an integer network and its twin on the same input, in the precision of the input, and compare all spikes.

    Args:
        net: the trained network; a copy in the precision of `xs` is compared.
        xs: its input. Shape (T, B, *features).

    Returns:
        How many spikes there are in all virtual steps, how many are not where the counts put them, and the largest
        difference of the outputs.
    """
    mine = copy.deepcopy(net).to(xs.dtype).eval()
    twin = SpikingTwin(mine)
    with torch.no_grad(), _outputs(mine, IntegerLIF) as counts, _outputs(twin, UnaryLIF) as spikes:
        one = mine(xs)
        other = twin(xs)
    wanted = [unary(count, twin.levels) for count in counts]
    return {
        "twin_spikes": sum(int(s.sum()) for s in spikes),
        "twin_differs": sum(int((w != s).sum()) for w, s in zip(wanted, spikes, strict=True)),
        "output_difference": float((one - other).abs().max()),
    }


@contextmanager
def _outputs(net: torch.nn.Module, kind: type[torch.nn.Module]) -> Iterator[list[Tensor]]:
    """What the members of one kind answer, in the order of the calls."""
    found: list[Tensor] = []

    def note(_module: torch.nn.Module, _inputs: Any, output: Tensor) -> None:
        found.append(output)

    handles = [m.register_forward_hook(note) for m in net.modules() if isinstance(m, kind)]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def carry_out(study: Study, config: Config) -> dict[str, Any]:
    """Train both networks for every D, compare the twin, then write the picture and the table."""
    if config.steps < 1 or not config.levels or min(config.levels) < 1:
        raise OptionError(f"--steps got {config.steps} and --levels {config.levels}", "whole numbers >= 1")
    settled("integer_lif", config, ROUTE, "Both networks are trained by BPTT.")
    beside = {levels: config.neuron.title(config.steps * levels) for levels in config.levels}
    dataset = study.load("fashion")
    parts = three(dataset, 1 / 12, config)
    how = config.train.fit_config(config.epochs)
    study.begin()

    def run(kind: str, levels: int, folder: Path) -> Row:
        integer = kind == "integer"
        neuron = (lambda: IntegerLIF(levels)) if integer else config.neuron.factory(config.steps * levels)
        net = seeded(lambda: mlp(784, config.hidden, 10, neuron, norm=True), config.seed)
        task = shown(make_task(dataset, config.train), config.steps if integer else config.steps * levels)
        found = study.learn(folder, net, task, parts, how, seed=config.seed)
        row = {"model": kind, "levels": levels, "steps": config.steps, **found}
        xs = task.encode(parts[2].inputs[:_WATCHED], Generator())
        if not integer:
            return {**row, "neuron": beside[levels], **_costs(net, xs)}
        twin = SpikingTwin(net)
        return {
            **row,
            "twin_test_accuracy": evaluate(twin, task, parts[2], over_time=False).accuracy,
            "float32": differences(net, xs),
            "float64": differences(net, xs.double()),
            **_costs(twin, xs),
        }

    rows = [
        study.row(f"{kind}-D{levels}", lambda folder, k=kind, d=levels: run(k, d, folder))
        for levels in config.levels
        for kind in ("integer", "lif")
    ]
    differ = sum(row["float64"]["twin_differs"] for row in rows if row["model"] == "integer")
    return study.end(rows, tables(rows), draw(rows), figures={"spikes that differ": differ})


main = study_runner("integer_lif", TITLE, carry_out)


def _costs(net: torch.nn.Module, xs: Tensor) -> Row:
    """Spikes and energy of a sample."""
    found = profile(net, xs, batch_size=128).to_dict()
    return {key: found[key] for key in ("spikes_per_sample", "mean_firing_rate", "energy_pj")}


def tables(rows: list[Row]) -> dict[str, Cells]:
    """The integer network, its twin and the other, a line for each D."""
    name = _beside(rows)
    header = [
        "D",
        "integer, test accuracy, %",
        "its spiking twin, %",
        f"{name} of T D steps, %",
        "spikes that differ, float64",
        "float32",
        "spikes a sample, twin",
        name,
        "energy, arithmetic alone, nJ, twin",
        name,
    ]
    found = {(row["model"], row["levels"]): row for row in rows}
    lines: list[list[str]] = []
    for levels in dict.fromkeys(row["levels"] for row in rows):
        one, other = found["integer", levels], found["lif", levels]
        lines.append(
            [
                str(levels),
                percent(one["test_accuracy"]),
                percent(one["twin_test_accuracy"]),
                percent(other["test_accuracy"]),
                *(f"{one[kind]['twin_differs']} of {one[kind]['twin_spikes']:,}" for kind in ("float64", "float32")),
                *(f"{row['spikes_per_sample']:.0f}" for row in (one, other)),
                *(_range(row["energy_pj"]["compute"]) for row in (one, other)),
            ]
        )
    return {"counts and spikes": [header, *lines]}


def _beside(rows: list[Row]) -> str:
    """The neuron of the other networks; rows without one are of LIF."""
    return next((row["neuron"] for row in rows if "neuron" in row), "LIF")


def _range(picojoules: list[float]) -> str:
    return " to ".join(f"{one / 1000:,.0f}" for one in picojoules)


def draw(rows: list[Row]) -> dict[str, Figure]:
    """Accuracy and spikes against D, the integer network and LIF."""
    from snn4.view.pictures import study
    from snn4.view.pictures.canvas import figure

    drawing = figure(8.2, 3.2)
    left, right = drawing.subplots(1, 2)
    levels = [str(level) for level in dict.fromkeys(row["levels"] for row in rows)]
    for ax, key, scale, up in (
        (left, "test_accuracy", 100, "test accuracy (%)"),
        (right, "spikes_per_sample", 1, "spikes a sample"),
    ):
        series = {
            name: [[scale * row[key]] for row in rows if row["model"] == kind]
            for kind, name in (("integer", "integer LIF"), ("lif", f"{_beside(rows)} of T D steps"))
        }
        study(levels, series, across="D", up=up, ax=ax, title="")
    return {"counts and spikes": drawing}
