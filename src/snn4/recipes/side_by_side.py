"""Studies of hidden neurons side by side on one data set: equal widths, epochs, steps and seeds, one row a run.

What no recurrent layer takes (`cells.FEED_FORWARD`) is trained feed-forward, with the same widths. The recurrent
network of ReLUs is the ANN of equal architecture.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from snn4.core.errors import OptionError
from snn4.recipes.cells import FEED_FORWARD, Cell, called
from snn4.recipes.comparison import Experiment
from snn4.recipes.costs import step_cost
from snn4.recipes.recipe import Main
from snn4.recipes.study import Study, study_runner
from snn4.recipes.tables import COLUMNS, Cells, Column, Row, grouped, table
from snn4.recipes.trials import Trial, prepared, seeds_of
from snn4.training import recorded_spikes
from snn4.view import pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Member", "draw", "rates_of", "side_by_side", "tables"]

Member = Cell | Literal["relu"]
"""A cell, or the ANN's."""
_KNOWN = (*get_args(Cell), "relu")
_COLUMNS = (COLUMNS[1], COLUMNS[0], Column("parameters", "parameters", 1, 0), *COLUMNS[2:5], COLUMNS[6])
_WATCHED = 64


def side_by_side(name: str, title: str, make: Callable[[Any, Cell], Experiment]) -> Main:
    """The `main` of such a study.

    Args:
        name: of the recipe.
        title: one line.
        make: from options and a cell to the experiment; may refuse them.
    """

    def carry_out(study: Study, config: Any) -> dict[str, Any]:
        if not config.cells or len(set(config.cells)) != len(config.cells):
            raise OptionError(f"--cells got {config.cells}", "at least one, and none twice")
        rates = rates_of(config)
        trials = [_trial(config, make, cell, rates, seed) for seed in seeds_of(config) for cell in config.cells]
        study.begin()
        rows = [
            study.row(one.name, lambda folder, one=one: _run(study, one, folder), one.labels, refusals=True)
            for one in trials
        ]
        return study.end(rows, tables(rows), draw(rows))

    return study_runner(name, title, carry_out)


def rates_of(config: Any) -> dict[str, float]:
    """The learning rate of each cell.

    Raises:
        OptionError: no `cell=number`, an unknown cell, or a rate that is no rate.
    """
    rates: dict[str, float] = dict.fromkeys(config.cells, float(config.train.learning_rate))
    for text in config.rates:
        cell, _, value = text.partition("=")
        try:
            rate = float(value)
        except ValueError:
            rate = math.nan
        if cell not in _KNOWN or not 0 < rate < math.inf:
            raise OptionError(
                f"--rates got {text!r}", f"CELL=RATE with one of {', '.join(_KNOWN)}", "Write relu=0.003."
            )
        if cell in rates:
            rates[cell] = rate
    return rates


def _trial(
    config: Any, make: Callable[[Any, Cell], Experiment], cell: Member, rates: Mapping[str, float], seed: int
) -> Trial:
    """One cell with one seed."""
    recurrent = config.recurrent and cell not in FEED_FORWARD
    train = dataclasses.replace(config.train, learning_rate=rates[cell])
    one = dataclasses.replace(config, seed=seed, recurrent=recurrent, train=train)
    experiment = make(one, "lif" if cell == "relu" else cell)
    if cell == "relu":
        build = experiment.build
        experiment = dataclasses.replace(experiment, build=lambda _neuron, steps: build(torch.nn.ReLU, steps))
    name = called(cell, config.neuron, config.steps)
    labels = {"cell": name, "form": "recurrent" if recurrent else "feed-forward", "rate": rates[cell], "seed": seed}
    return Trial(f"{cell}-seed{seed}", labels, experiment, one)


def _run(study: Study, trial: Trial, folder: Path) -> dict[str, Any]:
    """Train, test once, and see what a step costs and who fires; nothing here looks at a loop step by step."""
    config = trial.config
    net, task, (train, val, test) = prepared(study, trial)
    how = config.train.fit_config(config.epochs)
    found = study.learn(folder, net, task, (train, val, test), how, seed=config.seed)
    cost = step_cost(net, task, train.take(torch.arange(min(how.batch_size, len(train)))), how, config.seed)
    some = test.take(torch.arange(min(_WATCHED, len(test))))
    with torch.no_grad(), recorded_spikes(net) as spikes:
        net(task.encode(some.inputs, torch.Generator().manual_seed(config.seed)))
    fired = sum(s.sum().item() for s in spikes.values())
    places = sum(s.numel() for s in spikes.values())
    return {
        **found,
        "step_ms": cost.milliseconds,
        "peak_bytes": cost.peak_bytes,
        "firing_rate": fired / places if places else None,
    }


def tables(rows: Sequence[Row]) -> dict[str, Cells]:
    """One line for each cell, the best validation first."""
    by = {"cell": "neurons", "form": "form"}
    # studies made before there was one for each cell
    by |= {"rate": "learning rate"} if any("rate" in row for row in rows) else {}
    return {"cells": table(rows, by, _COLUMNS, order="val_accuracy")}


def draw(rows: Sequence[Row]) -> dict[str, Figure]:
    """Who is how good, and what a step costs."""
    from snn4.view.pictures.canvas import figure

    whole = grouped([row for row in rows if "failed" not in row], ["cell"])
    if not whole:
        return {}
    drawing = figure(9.6, 1.4 + 0.2 * len(whole))
    left, right = drawing.subplots(1, 2)
    accuracy, time = (
        {cell: [scale * row[key] for row in some] for (cell,), some in whole.items()}
        for key, scale in (("test_accuracy", 100), ("step_ms", 1))
    )
    order = sorted(accuracy, key=lambda cell: -statistics.mean(accuracy[cell]))
    marked = "lif" if "lif" in accuracy else None
    pictures.ranking(accuracy, across="test accuracy (%)", marked=marked, order=order, ax=left, title="accuracy")
    pictures.ranking(time, across="forward and backward (ms)", marked=marked, order=order, ax=right, title="time")
    return {"cells": drawing}
