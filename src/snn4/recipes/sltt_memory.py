"""SLTT and SLTT-K beside BPTT: memory and time of a training step against T, and accuracy at the paper's tau.

SLTT and SLTT-K run with time outermost: the loss of a step is sent back, and its graph freed, before the next step.
All three make the same loss small, TET's, which has a term for each step. Memory is counted block by block as torch
allocates it, without weights and input, so that it is the same number on every machine.

Paper: [meng2023sltt, deng2022tet], the second for the loss.
Differs from the paper: a small convolutional network and our options. Batch norm is taken over each step with time
outermost, as in the paper, and over all steps for BPTT.
"""

from __future__ import annotations

import dataclasses
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.data import DataSet
from snn4.models import conv_net
from snn4.objectives import tet
from snn4.recipes.costs import step_cost
from snn4.recipes.fixed import ROUTE, settled
from snn4.recipes.options import NeuronOptions, TrainingOptions
from snn4.recipes.study import Study, seeded, study_runner, three
from snn4.recipes.tables import Cells, Row, percent
from snn4.recipes.tasks import make_task, shown
from snn4.through_time import BPTT, SLTT, Route, use_route
from snn4.training import FitConfig, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPECTED", "TITLE", "Config", "main", "routes"]

TITLE = "SLTT and SLTT-K beside BPTT: memory and time against T, and accuracy"
EXPECTED = {
    "memory growth of sltt, at most": 0.1,
    "time of sltt-k over bptt, at most": 0.6,
    "sltt behind bptt, at most": 0.005,
    "sltt-k behind bptt, at most": 0.005,
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the recipe."""

    seed: int = 0
    """The first seed."""
    seeds: int = 2
    """How many trainings of each route, counted up from the first."""
    epochs: int = 4
    """Passes over the training split."""
    steps: int = 4
    """Time steps of the trained networks."""
    lengths: tuple[int, ...] = (4, 8, 16, 32, 64)
    """Time steps at which memory and time are measured."""
    one_in: int = 4
    """SLTT-K sends back one step in so many: K = T / 4."""
    measured: int = 64
    """Samples of the batch that is measured."""
    channels: tuple[int, ...] = (32, 32, 32)
    """Output channels of the convolutions."""
    hidden: tuple[int, ...] = (64,)
    """Widths of the dense hidden layers."""
    limit: int | None = 10_000
    """Use only so many training samples."""
    neuron: NeuronOptions = dataclasses.field(default_factory=lambda: NeuronOptions(tau=1.1, surrogate="triangle"))
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(batch_size=64, learning_rate=3e-3, threads=1)
    )

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, seeds=1, steps=4, lengths=(2, 4), measured=4, channels=(2,), hidden=(4,), limit=64)


def routes(config: Config, steps: int) -> dict[str, Route]:
    """The three routes, for sequences of one length."""
    return {"bptt": BPTT(), "sltt": SLTT(), "sltt-k": SLTT(k=max(1, steps // config.one_in))}


def carry_out(study: Study, config: Config) -> dict[str, Any]:
    """Measure every length, then train every route, then write the picture and the table."""
    if config.seeds < 1 or not config.lengths or min(*config.lengths, config.steps, config.one_in, config.measured) < 1:
        raise OptionError(
            f"--seeds got {config.seeds}, --lengths {config.lengths}, --steps {config.steps}, --one-in {config.one_in} "
            f"and --measured {config.measured}",
            "whole numbers >= 1",
        )
    settled("sltt_memory", config, ROUTE, f"It trains along {', '.join(routes(config, config.steps))}.")
    dataset = study.load("fashion")
    study.begin()

    def net(seed: int) -> torch.nn.Module:
        neuron = config.neuron.factory()
        return seeded(lambda: conv_net((1, 28, 28), config.channels, 10, neuron, dense=config.hidden), seed)

    def how(name: str) -> FitConfig:
        return dataclasses.replace(config.train.fit_config(config.epochs), online="no" if name == "bptt" else "batch")

    def measure(name: str, steps: int) -> Row:
        batch = dataset.train.take(torch.arange(config.measured))
        mine = use_route(net(config.seed), routes(config, steps)[name])
        found = step_cost(mine, _task(config, dataset, steps), batch, how(name), repeats=3)
        return {
            "kind": "cost",
            "route": name,
            "steps": steps,
            "peak_bytes": found.peak_bytes,
            "ms": found.milliseconds,
        }

    def learn(name: str, seed: int, folder: Path) -> Row:
        mine = dataclasses.replace(config, seed=seed)
        route = routes(config, config.steps)[name]
        row = study.learn(
            folder,
            use_route(net(seed), route),
            _task(config, dataset, config.steps),
            three(dataset, 1 / 12, mine),
            how(name),
            seed=seed,
        )
        return {"kind": "training", "route": name, "steps": config.steps, **row}

    costs = [
        study.row(f"cost-{name}-T{steps}", lambda _, n=name, t=steps: measure(n, t))
        for steps in config.lengths
        for name in routes(config, steps)
    ]
    trained = [
        study.row(f"{name}-seed{seed}", lambda folder, n=name, s=seed: learn(n, s, folder))
        for seed in range(config.seed, config.seed + config.seeds)
        for name in routes(config, config.steps)
    ]
    rows = costs + trained
    return study.end(rows, tables(rows), draw(rows), figures=figures(rows))


main = study_runner("sltt_memory", TITLE, carry_out)


def _task(config: Config, data: DataSet, steps: int) -> Task:
    """The image at every step, and TET's loss."""

    def objective(ys: Tensor, targets: Tensor) -> Tensor:
        return tet(ys, targets, label_smoothing=config.train.label_smoothing)

    return dataclasses.replace(shown(make_task(data, config.train), steps), objective=objective)


def _of(rows: list[Row], kind: str, route: str) -> list[Row]:
    return [row for row in rows if row["kind"] == kind and row["route"] == route]


def figures(rows: list[Row]) -> dict[str, float]:
    """What the targets are about.

    Returns:
        `memory growth of ROUTE`: how much more the longest sequence needs than the shortest; `time of ROUTE over bptt`
        at the longest; `ROUTE behind bptt`: the difference of the mean test accuracies.
    """
    found: dict[str, float] = {}
    slowest = _of(rows, "cost", "bptt")[-1]["ms"]
    best = statistics.mean(row["test_accuracy"] for row in _of(rows, "training", "bptt"))
    for route in ("bptt", "sltt", "sltt-k"):
        costs = _of(rows, "cost", route)
        found[f"memory growth of {route}"] = costs[-1]["peak_bytes"] / costs[0]["peak_bytes"] - 1
        if route != "bptt":
            mean = statistics.mean(row["test_accuracy"] for row in _of(rows, "training", route))
            found[f"time of {route} over bptt"] = costs[-1]["ms"] / slowest
            found[f"{route} behind bptt"] = best - mean
    return found


def tables(rows: list[Row]) -> dict[str, Cells]:
    """Memory and time for each length, then accuracy for each seed."""
    names = ("bptt", "sltt", "sltt-k")
    lengths = [row["steps"] for row in _of(rows, "cost", "bptt")]
    costs = {name: _of(rows, "cost", name) for name in names}
    header = ["T", *(f"{name}, MiB" for name in names), *(f"{name}, ms" for name in names)]
    lines = [
        [
            str(steps),
            *(f"{costs[name][n]['peak_bytes'] / 2**20:.2f}" for name in names),
            *(f"{costs[name][n]['ms']:.1f}" for name in names),
        ]
        for n, steps in enumerate(lengths)
    ]
    trained = {name: _of(rows, "training", name) for name in names}
    accuracy = [
        [name, *(percent(row["test_accuracy"]) for row in trained[name]), f"{trained[name][0]['steps']}"]
        for name in names
    ]
    seeds = [f"test accuracy, %, seed {row['seed']}" for row in trained["bptt"]]
    return {"memory and time": [header, *lines], "accuracy": [["route", *seeds, "T"], *accuracy]}


def draw(rows: list[Row]) -> dict[str, Figure]:
    """Memory and time against T, a line for each route."""
    from snn4.view.pictures import study
    from snn4.view.pictures.canvas import figure

    drawing = figure(8.2, 3.2)
    left, right = drawing.subplots(1, 2)
    lengths = [str(row["steps"]) for row in _of(rows, "cost", "bptt")]
    for ax, key, scale, up in ((left, "peak_bytes", 2**-20, "peak memory (MiB)"), (right, "ms", 1, "one batch (ms)")):
        series = {
            name.upper(): [[scale * row[key]] for row in _of(rows, "cost", name)] for name in ("bptt", "sltt", "sltt-k")
        }
        study(lengths, series, across="time steps", up=up, ax=ax, title="")
        ax.set_yscale("log")
    return {"memory and time": drawing}
