"""Trials: the runs of a study that compares members of the library, each with options of its own.

A trial trains one SNN, reads the test split once, and measures what a step of training costs. One that cannot be (a
route that a neuron cannot serve, numbers that are not finite) leaves a row that says why. Nothing is left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from snn4.core.errors import OptionError
from snn4.profiling import profile
from snn4.recipes.comparison import Experiment, make_networks, make_tasks
from snn4.recipes.costs import step_cost, zero_gradient
from snn4.recipes.study import Study, Three, three
from snn4.recipes.tables import Row
from snn4.training import Task

__all__ = ["Trial", "best", "prepared", "run_trials", "seeds_of"]

# enough for a rate to a percent, few enough for seconds
_PROFILED = 256


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run of a study.

    Args:
        name: of its folder.
        labels: what it is, the first entries of its row; among them `seed`.
        experiment: makes its network and its task.
        config: its options, as a comparison over time steps has them.
        tell: what else of the trained network belongs into the row.
    """

    name: str
    labels: Mapping[str, Any]
    experiment: Experiment
    config: Any
    tell: Callable[[torch.nn.Module], Mapping[str, Any]] | None = None


def run_trials(study: Study, trials: Iterable[Trial]) -> list[Row]:
    """Run trials, or read what they left behind; in their order."""
    return [
        study.row(one.name, lambda folder, one=one: _run(study, one, folder), one.labels, refusals=True)
        for one in trials
    ]


def prepared(study: Study, trial: Trial) -> tuple[torch.nn.Module, Task, Three]:
    """The fresh SNN of a trial, its task, and the training, validation and test split."""
    experiment, config = trial.experiment, trial.config
    # before the data is read: what does not go together is refused here
    net = make_networks(experiment, config)["snn"]
    dataset = experiment.prepare(study.load(experiment.data))
    return net, make_tasks(experiment, config, dataset)["snn"], three(dataset, experiment.validation, config)


def _run(study: Study, trial: Trial, folder: Path) -> dict[str, Any]:
    """Train, test once, measure."""
    config = trial.config
    net, task, parts = prepared(study, trial)
    how = config.train.fit_config(config.epochs)
    found = study.learn(folder, net, task, parts, how, seed=config.seed)
    train, _, test = parts
    some = test.take(torch.arange(min(_PROFILED, len(test))))
    seen = profile(net, task.encode(some.inputs, torch.Generator().manual_seed(config.seed)), batch_size=128)
    batch = train.take(torch.arange(min(how.batch_size, len(train))))
    cost = step_cost(net, task, batch, how, config.seed)
    return {
        **found,
        "learning_parameters": sum(p.numel() for p in net.parameters() if p.requires_grad),
        "step_ms": cost.milliseconds,
        "peak_bytes": cost.peak_bytes,
        "firing_rate": 1 - seen.activation_sparsity,
        "zero_gradient": zero_gradient(net, task, batch, how, config.seed),
        **(trial.tell(net) if trial.tell is not None else {}),
    }


def best(rows: Iterable[Row], count: int) -> list[Row]:
    """The rows of the highest validation accuracy, those that failed left out; of equals the first.

    Example:
        >>> [row["name"] for row in best([{"name": "a", "val_accuracy": 0.5}, {"name": "b", "failed": "NaN"}], 2)]
        ['a']
    """
    whole = [row for row in rows if "val_accuracy" in row]
    return sorted(whole, key=lambda row: -row["val_accuracy"])[:count]


def seeds_of(config: Any) -> range:
    """The seeds of a study.

    Raises:
        OptionError: none.
    """
    if config.seeds < 1:
        raise OptionError(f"--seeds got {config.seeds}", "at least 1")
    return range(config.seed, config.seed + config.seeds)
