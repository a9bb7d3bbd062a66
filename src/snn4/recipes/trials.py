"""Studies of many runs: each run is a trial, kept on its own in `runs/NAME`, so that a study goes on where it stopped.

A trial trains one SNN, reads the test split once, measures what a step of training costs, and leaves `row.json`. One
that cannot be (a route that a neuron cannot serve, numbers that are not finite) leaves a row that says why. Nothing is
left out, and nothing is tried again: remove the folder to do so.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from snn4.core.errors import CheckpointError, DataFileError, MissingLibraryError, OptionError, Snn4Error, StorageError
from snn4.core.files import read_json, write_json, write_text
from snn4.data import DataSet, load
from snn4.profiling import profile
from snn4.recipes.comparison import SCHEMA, Experiment, make_networks, make_tasks, splits, threads
from snn4.recipes.costs import step_cost
from snn4.recipes.options import command_line
from snn4.recipes.tables import Cells, Row, markdown
from snn4.training import environment, evaluate, fit, save_weights
from snn4.view import write_study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Study", "Trial", "best", "run_trials", "seeds_of"]

# what says something about the machine or the data, and nothing about the trial
_OUTSIDE = (CheckpointError, DataFileError, MissingLibraryError, StorageError)
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


@dataclasses.dataclass(frozen=True)
class Study:
    """Where trials run.

    Args:
        recipe: its name.
        out: the folder of the study.
        progress: show progress bars.
        data: folder of the data sets, or None for the usual places.
        download: fetch what is missing.
    """

    recipe: str
    out: Path
    progress: bool = False
    data: Path | None = None
    download: bool = False
    _loaded: dict[str, DataSet] = dataclasses.field(default_factory=dict[str, DataSet], repr=False, compare=False)

    def load(self, name: str) -> DataSet:
        """A data set, read once."""
        if name not in self._loaded:
            self._loaded[name] = load(name, self.data, download=self.download)
        return self._loaded[name]

    def begin(self, config: Any, *, resume: bool) -> None:
        """Write the options and the environment of a new study."""
        if not resume:
            options = dataclasses.asdict(config)
            write_json(self.out / "config.json", {"schema": SCHEMA, "recipe": self.recipe, "config": options})
            write_json(self.out / "environment.json", environment())

    def end(
        self,
        config: Any,
        title: str,
        rows: Sequence[Row],
        tables: Mapping[str, Cells],
        figures: Mapping[str, Figure],
        **more: Any,
    ) -> dict[str, Any]:
        """Write result.json, the tables, the pictures and the page, and return what result.json holds."""
        text = "\n".join(f"### {name}\n\n{markdown(cells)}" for name, cells in tables.items())
        result: dict[str, Any] = {
            "schema": SCHEMA,
            "recipe": self.recipe,
            "title": title,
            "seed": config.seed,
            "command": command_line(self.recipe, config),
            "study": list(rows),
            "table": text,
            **more,
            "environment": environment(),
        }
        write_json(self.out / "result.json", result)
        write_text(self.out / f"{self.recipe}.md", text)
        for name, figure in figures.items():
            word = "".join(c if c.isalnum() else "-" for c in name.lower())
            figure.savefig(self.out / f"{self.recipe}-{word}.svg", metadata={"Date": None})
        write_study(self.out, title, result["command"], tables, figures)
        return result


def run_trials(study: Study, trials: Iterable[Trial]) -> list[Row]:
    """Run trials, or read what they left behind; in their order."""
    return [_row(study, trial) for trial in trials]


def _row(study: Study, trial: Trial) -> Row:
    folder = study.out / "runs" / trial.name
    if (folder / "row.json").is_file():
        return read_json(folder / "row.json")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with threads(trial.config.train.threads):
            found = _run(study, trial, folder)
    except _OUTSIDE:
        raise
    except Snn4Error as cause:
        found = {"failed": str(cause), "error": type(cause).__name__}
    row = {**trial.labels, **found}
    write_json(folder / "row.json", row)
    for left_over in folder.glob("*.checkpoint*"):
        left_over.unlink()
    return row


def _run(study: Study, trial: Trial, folder: Path) -> dict[str, Any]:
    """Train, test once, measure."""
    experiment, config = trial.experiment, trial.config
    # before the data is read: what does not go together is refused here
    net = make_networks(experiment, config)["snn"]
    dataset = study.load(experiment.data)
    task = make_tasks(experiment, config, dataset)["snn"]
    train, val = splits(dataset, experiment.validation, config)
    options = config.train.fit_config(config.epochs)
    goes_on = any(folder.glob("*.checkpoint*"))
    begin = time.process_time()
    identity = {"recipe": study.recipe, "trial": trial.name, "options": dataclasses.asdict(config)}
    fitted = fit(
        net,
        task,
        train,
        val,
        options,
        seed=config.seed,
        folder=folder,
        name="snn",
        identity=identity,
        progress=study.progress,
    )
    # of a run that was stopped, the first part is not known
    spent = None if goes_on else time.process_time() - begin
    save_weights(net, folder / "model.safetensors", {"recipe": study.recipe, "seed": config.seed})
    tested = evaluate(net, task, dataset.test, seed=config.seed)
    some = dataset.test.take(torch.arange(min(_PROFILED, len(dataset.test))))
    seen = profile(net, task.encode(some.inputs, torch.Generator().manual_seed(config.seed)), batch_size=128)
    cost = step_cost(net, task, train.take(torch.arange(min(options.batch_size, len(train)))), options, config.seed)
    return {
        "val_accuracy": fitted.val_accuracy,
        "test_accuracy": tested.accuracy,
        "best_epoch": fitted.best_epoch,
        "epochs": fitted.epochs_run,
        "samples": len(train),
        "parameters": seen.parameters,
        "learning_parameters": sum(p.numel() for p in net.parameters() if p.requires_grad),
        "step_ms": cost.milliseconds,
        "peak_bytes": cost.peak_bytes,
        "firing_rate": 1 - seen.activation_sparsity,
        "zero_gradient": cost.zero_gradient,
        "train_seconds": fitted.seconds,
        "cpu_seconds": spent,
        "history": [row["val_accuracy"] for row in fitted.history],
    } | dict(trial.tell(net) if trial.tell is not None else {})


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
