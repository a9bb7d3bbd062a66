"""What studies of many runs share: every run is kept on its own, one table and one picture stand for all of them.

A study that was stopped goes on with the run that it stopped in, because a finished one has left its row in
`runs/NAME/row.json`, and an unfinished one its checkpoint beside it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from snn4.core.errors import OptionError
from snn4.core.files import read_json, write_json
from snn4.data import DataSet, Split
from snn4.kernels import keep_memory
from snn4.recipes.comparison import SCHEMA, RunConfig, splits
from snn4.recipes.options import command_line
from snn4.training import FitConfig, Task, environment, evaluate, fit, save_weights

__all__ = ["Study", "Three", "markdown", "percent", "seeded", "three", "warm_memory"]

Row = dict[str, Any]
Three = tuple[Split, Split, Split]
"""Training, validation and test split."""


@dataclasses.dataclass(frozen=True)
class Study:
    """The folder of one study.

    Args:
        recipe: its name.
        title: one line.
        config: its options.
        out: the run folder.
        progress: show progress bars.
    """

    recipe: str
    title: str
    config: Any
    out: Path
    progress: bool

    def begin(self, *, resume: bool) -> None:
        """Write the options and where the study runs, unless it goes on."""
        if not resume:
            options = dataclasses.asdict(self.config)
            write_json(self.out / "config.json", {"schema": SCHEMA, "recipe": self.recipe, "config": options})
            write_json(self.out / "environment.json", environment())

    def row(self, name: str, make: Callable[[Path], Row]) -> Row:
        """What one run found: from its folder, or by making it."""
        folder = self.out / "runs" / name
        if (folder / "row.json").is_file():
            return read_json(folder / "row.json")
        folder.mkdir(parents=True, exist_ok=True)
        row = make(folder)
        write_json(folder / "row.json", row)
        return row

    def learn(self, folder: Path, net: torch.nn.Module, task: Task, parts: Three, how: FitConfig, *, seed: int) -> Row:
        """Train a network, test it once, and keep its weights.

        Args:
            folder: of the run.
            net: the network, which has the weights of the best epoch afterwards.
            task: what is learned.
            parts: training, validation and test split.
            how: the training.
            seed: of everything random.

        Returns:
            Accuracies, the epoch that validation chose, seconds, parameters.
        """
        train, val, test = parts
        identity = {"recipe": self.recipe, "options": dataclasses.asdict(self.config), "run": folder.name}
        fitted = fit(
            net, task, train, val, how, seed=seed, folder=folder, name="snn", identity=identity, progress=self.progress
        )
        save_weights(net, folder / "model.safetensors", {"recipe": self.recipe, "seed": seed})
        tested = evaluate(net, task, test, seed=seed, over_time=False)
        return {
            "seed": seed,
            "test_accuracy": tested.accuracy,
            "val_accuracy": fitted.val_accuracy,
            "best_epoch": fitted.best_epoch,
            "epochs": fitted.epochs_run,
            "train_seconds": fitted.seconds,
            "step_ms": 1000 * fitted.seconds / fitted.steps,
            "val_curve": [row["val_accuracy"] for row in fitted.history],
            "parameters": sum(p.numel() for p in net.parameters()),
        }

    def close(self, rows: list[Row], table: str, draw: Callable[[], Any], **more: Any) -> Row:
        """Write the table, the picture and result.json.

        Args:
            rows: of all runs.
            table: Markdown.
            draw: makes the figure.
            more: other entries of the result.

        Returns:
            What result.json holds.
        """
        result: Row = {
            "schema": SCHEMA,
            "recipe": self.recipe,
            "title": self.title,
            "seed": self.config.seed,
            "command": command_line(self.recipe, self.config),
            "study": rows,
            "table": table,
            **more,
            "environment": environment(),
        }
        write_json(self.out / "result.json", result)
        (self.out / f"{self.recipe}.md").write_text(table, encoding="utf-8")
        drawing = draw()
        for kind in ("svg", "png"):
            # without the date, the same study draws the same file
            metadata = {"Date": None} if kind == "svg" else None
            drawing.savefig(self.out / f"{self.recipe}.{kind}", dpi=160, metadata=metadata)
        return result


def three(dataset: DataSet, share: float, config: RunConfig) -> Three:
    """Training, validation and test split of a data set, the first limited as the options say."""
    return (*splits(dataset, share, config), dataset.test)


def seeded(make: Callable[[], torch.nn.Module], seed: int) -> torch.nn.Module:
    """A network whose weights follow from the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        return make()


@contextmanager
def warm_memory() -> Iterator[None]:
    """Keep freed memory in the process for a while: for long sequences worth a fifth of the time and more."""
    keep_memory()
    try:
        yield
    finally:
        keep_memory(False)


def percent(share: float, digits: int = 2) -> str:
    """A share, in percent without the sign."""
    return f"{100 * share:.{digits}f}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table.

    Raises:
        OptionError: a row of another length.

    Example:
        >>> print(markdown(["T", "accuracy, %"], [["4", "90.00"]]), end="")
        | T | accuracy, % |
        |---|---|
        | 4 | 90.00 |
    """
    if any(len(row) != len(header) for row in rows):
        raise OptionError(f"a table of {len(header)} columns got rows of {sorted({len(r) for r in rows})}", "as many")
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"
