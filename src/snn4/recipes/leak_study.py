"""Accuracy and spikes a neuron against the leak, for neurons that fire several times and for those that fire once.

The source reports that one-spike networks do not care about the leak once its time constant is longer than the window,
and that networks with several spikes have a best one in between. This recipe measures both curves with their spread
over seeds, and says whether they agree.

Paper: [yamamoto2024], figure 2.
Differs from the paper: our options; the test split is read once a run, after validation has chosen the epoch.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from snn4.core.errors import OptionError
from snn4.data import Split
from snn4.recipes.comparison import make_networks, make_tasks
from snn4.recipes.fixed import ROUTE, settled
from snn4.recipes.options import TrainingOptions
from snn4.recipes.study import Study, study_runner, three
from snn4.recipes.tables import Cells, Column, Row
from snn4.recipes.timed import TimingOptions, image_mlp
from snn4.timing import observe
from snn4.view import pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPECTED", "TITLE", "Config", "main"]

TITLE = "How the leak changes accuracy and spikes, several spikes a neuron against one"
# what the source says is compared with, not required
EXPECTED: dict[str, float] = {}

_WATCHED = 1000
_NAMES = {"several": "several spikes", "one": "one spike"}


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the recipe."""

    seed: int = 0
    """The first seed."""
    seeds: int = 3
    """How many, counted up from the first."""
    epochs: int = 10
    """Passes over the training split, in each run."""
    leaks: tuple[float | None, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, None)
    """Membrane time constants, in windows; None for no leak."""
    hidden: tuple[int, ...] = (400,)
    """Widths of the layers that fire."""
    limit: int | None = None
    """Use only so many training samples."""
    ann_learning_rate: float = 1e-3
    """Not used here: a study has no ANN beside it; multispike_mnist has."""
    timing: TimingOptions = dataclasses.field(default_factory=TimingOptions)
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(learning_rate=1e-2, weight_decay=0.0, ema=0.999)
    )

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, seeds=2, leaks=(0.5, None), hidden=(8,), limit=128)


def carry_out(study: Study, config: Config) -> dict[str, Any]:
    """Train every model with every leak and seed, then write the picture and the table."""
    if config.seeds < 1 or not config.leaks or len(set(config.leaks)) != len(config.leaks):
        raise OptionError(f"--seeds got {config.seeds} and --leaks {config.leaks}", "a seed, and leaks that differ")
    settled("leak_study", config, ROUTE, "Exact spike times have no steps that a route could go through.")
    settled("leak_study", config, ["timing.tau_v"], "Give the leaks with --leaks.")
    study.load("mnist")
    study.begin()
    rows = [
        study.row(name, lambda folder, k=kind, c=one: _run(study, c, k, folder)) for name, kind, one in _plan(config)
    ]
    return study.end(rows, tables(rows), draw(rows), agreement=agreement(rows))


main = study_runner("leak_study", TITLE, carry_out)


def _plan(config: Config) -> Iterator[tuple[str, str, Config]]:
    """Name, model and options of each run, seed by seed, so that a part of the study is a study."""
    for seed in range(config.seed, config.seed + config.seeds):
        for leak in config.leaks:
            for kind, spikes in (("one", 1), ("several", max(2, config.timing.max_spikes))):
                timing = dataclasses.replace(config.timing, tau_v=leak, max_spikes=spikes)
                name = f"{kind}-tau{'none' if leak is None else f'{leak:g}'}-seed{seed}"
                yield name, kind, dataclasses.replace(config, seed=seed, timing=timing)


def _run(study: Study, config: Config, kind: str, folder: Path) -> Row:
    """Train one network, and look at its spikes."""
    experiment = image_mlp("leak_study", TITLE, "mnist", config, EXPECTED)
    dataset = study.load("mnist")
    net, task = make_networks(experiment, config)["snn"], make_tasks(experiment, config, dataset)["snn"]
    parts = three(dataset, experiment.validation, config)
    row = study.learn(folder, net, task, parts, config.train.fit_config(config.epochs), seed=config.seed)
    found = observe(net, task.encode(_some(dataset.test).inputs, torch.Generator()))
    return {
        "model": kind,
        "tau_v": config.timing.tau_v,
        **row,
        "spikes_per_neuron": statistics.mean(one.spikes for one in found.values()),
        "silent_share": statistics.mean(one.silent for one in found.values()),
        "truncated_share": statistics.mean(one.truncated for one in found.values()),
    }


def _some(split: Split) -> Split:
    return split.take(torch.arange(min(_WATCHED, len(split))))


def _values(rows: list[Row], kind: str, key: str) -> dict[float | None, list[float]]:
    """The values of all seeds, by leak in the order of the study."""
    found: dict[float | None, list[float]] = {}
    for row in rows:
        if row["model"] == kind:
            found.setdefault(row["tau_v"], []).append(row[key])
    return found


def agreement(rows: list[Row], window: float = 1.0) -> dict[str, Any]:
    """What the source says, held against the measured curves.

    Args:
        rows: of the study.
        window: the length that a leak is long or short against.

    Returns:
        `one_flat_beyond_window`: how far the means of the one-spike network lie apart for leaks beyond the window, and
        the largest standard deviation over seeds beside it; `several_best`: the leak of the best mean, and whether it
        lies inside the range; `several_ahead`: the difference of the means at each leak.
    """
    means = {
        kind: {leak: statistics.mean(values) for leak, values in _values(rows, kind, "test_accuracy").items()}
        for kind in _NAMES
    }
    long = [leak for leak in means["one"] if leak is None or leak > window]
    spread = max(
        (statistics.stdev(v) for v in _values(rows, "one", "test_accuracy").values() if len(v) > 1), default=0.0
    )
    flat = [means["one"][leak] for leak in long]
    leaks = list(means["several"])
    best = max(leaks, key=lambda leak: means["several"][leak])
    return {
        "one_flat_beyond_window": {"range": max(flat) - min(flat) if flat else None, "seed_deviation": spread},
        "several_best": {"tau_v": best, "inside": best not in (leaks[0], leaks[-1])},
        "several_ahead": [{"tau_v": leak, "difference": means["several"][leak] - means["one"][leak]} for leak in leaks],
    }


def _name(leak: float | None) -> str:
    return "none" if leak is None else f"{leak:g}"


def tables(rows: list[Row]) -> dict[str, Cells]:
    """One line for each leak, means with the standard deviation over seeds."""
    header = [
        "tau_v",
        *(f"test accuracy, {name}, %" for name in _NAMES.values()),
        *(f"spikes a neuron, {name}" for name in _NAMES.values()),
    ]
    columns = [
        (column, _values(rows, kind, column.key))
        for column in (Column("test_accuracy", header[1], 100), Column("spikes_per_neuron", header[3]))
        for kind in _NAMES
    ]
    leaks = _values(rows, "several", "test_accuracy")
    lines = [[_name(leak), *(column.cell(values[leak]) for column, values in columns)] for leak in leaks]
    return {"leaks": [header, *lines]}


def draw(rows: list[Row]) -> dict[str, Figure]:
    """Accuracy and spikes a neuron against the leak."""
    from snn4.view.pictures.canvas import figure

    drawing = figure(8.2, 3.2)
    left, right = drawing.subplots(1, 2)
    for ax, key, scale, up in (
        (left, "test_accuracy", 100, "test accuracy (%)"),
        (right, "spikes_per_neuron", 1, "spikes a neuron and sample"),
    ):
        values = {kind: _values(rows, kind, key) for kind in _NAMES}
        leaks = list(values["several"])
        series = {
            _NAMES[kind]: [[scale * one for one in values[kind][leak]] for leak in leaks] for kind in reversed(_NAMES)
        }
        pictures.study(
            [_name(leak) for leak in leaks], series, across="leak constant (windows)", up=up, ax=ax, title=""
        )
    return {"leaks": drawing}
