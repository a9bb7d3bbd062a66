"""Studies of many runs: each is kept on its own in `runs/NAME`; tables, pictures and a page stand for all of them.

A study that was stopped goes on with the run that it stopped in: a finished one has left its `row.json`, an unfinished
one its checkpoint beside it. Nothing is tried again: remove the folder of a run to do so.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from snn4.core.errors import CheckpointError, DataFileError, MissingLibraryError, OptionError, Snn4Error, StorageError
from snn4.core.files import read_json, write_json, write_text
from snn4.data import DataSet, Split, load
from snn4.kernels import keep_memory
from snn4.recipes.comparison import SCHEMA, RunConfig, splits, threads
from snn4.recipes.options import command_line
from snn4.recipes.recipe import Main
from snn4.recipes.tables import Cells, Row, markdown
from snn4.training import FitConfig, Task, environment, evaluate, fit, save_weights
from snn4.view import write_study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Study", "Three", "seeded", "study_runner", "three"]

Three = tuple[Split, Split, Split]
"""Training, validation and test split."""

# in the names of checkpoints, so that runs of a study that was stopped go on
_NET = "snn"
# what says something about the machine or the data, and nothing about the run
_OUTSIDE = (CheckpointError, DataFileError, MissingLibraryError, StorageError)


@dataclasses.dataclass(frozen=True)
class Study:
    """The folder of one study.

    Args:
        recipe: its name.
        title: one line.
        config: its options.
        out: the run folder.
        progress: show progress bars.
        data: folder of the data sets, or None for the usual places.
        download: fetch what is missing.
        resume: go on with what the folder holds; without it the folder is new.
    """

    recipe: str
    title: str
    config: Any
    out: Path
    progress: bool = False
    data: Path | None = None
    download: bool = False
    resume: bool = False
    _loaded: dict[str, DataSet] = dataclasses.field(default_factory=dict[str, DataSet], repr=False, compare=False)

    def load(self, name: str) -> DataSet:
        """A data set, read once."""
        if name not in self._loaded:
            self._loaded[name] = load(name, self.data, download=self.download)
        return self._loaded[name]

    def begin(self) -> None:
        """Write the options and where the study runs, unless it goes on; once they are known to go together."""
        if not self.resume:
            options = dataclasses.asdict(self.config)
            write_json(self.out / "config.json", {"schema": SCHEMA, "recipe": self.recipe, "config": options})
            write_json(self.out / "environment.json", environment())

    def row(
        self,
        name: str,
        make: Callable[[Path], Mapping[str, Any]],
        labels: Mapping[str, Any] | None = None,
        *,
        refusals: bool = False,
    ) -> Row:
        """What one run found: from its folder, or by making it.

        Args:
            name: of its folder.
            make: does the work, in that folder.
            labels: the first entries of the row.
            refusals: what this package refuses (a route that a neuron cannot serve, numbers that are not finite) is a
                row that says why. Else, and for every other error, the study stops and names the run, and `resume`
                begins with it.
        """
        folder = self.out / "runs" / name
        if (folder / "row.json").is_file():
            return read_json(folder / "row.json")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with threads(self.config.train.threads), _warm_memory():
                found = make(folder)
        except Snn4Error as cause:
            if not refusals or isinstance(cause, _OUTSIDE):
                cause.add_note(self._where(name))
                raise
            found = {"failed": str(cause), "error": type(cause).__name__}
        except Exception as cause:
            cause.add_note(self._where(name))
            raise
        row = {**(labels or {}), **found}
        write_json(folder / "row.json", row)
        for left_over in folder.glob("*.checkpoint*"):
            left_over.unlink()
        return row

    def _where(self, name: str) -> str:
        return f"This happened in the run {name!r} of {self.recipe}. `snn4 resume {self.out}` begins with it."

    def learn(
        self, folder: Path, net: torch.nn.Module, task: Task, parts: Three, how: FitConfig, *, seed: int
    ) -> dict[str, Any]:
        """Train a network, test it once, and keep its weights.

        Args:
            folder: of the run.
            net: the network, which has the weights of the best epoch afterwards.
            task: what is learned.
            parts: training, validation and test split.
            how: the training.
            seed: of everything random.

        Returns:
            Accuracies, the loss of the test split, the epoch that validation chose, seconds, parameters.
        """
        train, val, test = parts
        goes_on = any(folder.glob("*.checkpoint*"))
        begin = time.process_time()
        identity = {"recipe": self.recipe, "run": folder.name, "options": dataclasses.asdict(self.config)}
        told: dict[str, Any] = {"progress": self.progress, "log": _lines_of(folder.name, progress=self.progress)}
        fitted = fit(net, task, train, val, how, seed=seed, folder=folder, name=_NET, identity=identity, **told)
        # of a run that was stopped, the first part is not known
        spent = None if goes_on else time.process_time() - begin
        save_weights(net, folder / "model.safetensors", {"recipe": self.recipe, "seed": seed})
        tested = evaluate(net, task, test, seed=seed, over_time=False)
        # whatever is measured of it afterwards is measured there
        net.cpu()
        return {
            "seed": seed,
            "test_accuracy": tested.accuracy,
            "test_loss": tested.loss,
            "val_accuracy": fitted.val_accuracy,
            "best_epoch": fitted.best_epoch,
            "epochs": fitted.epochs_run,
            "samples": len(train),
            "train_seconds": fitted.seconds,
            "cpu_seconds": spent,
            "val_curve": [row["val_accuracy"] for row in fitted.history],
            "parameters": sum(p.numel() for p in net.parameters()),
        }

    def end(
        self, rows: Sequence[Row], tables: Mapping[str, Cells], pictures: Mapping[str, Figure], **more: Any
    ) -> dict[str, Any]:
        """Write result.json, the tables, the pictures and the page.

        Args:
            rows: of all runs.
            tables: heading to cells.
            pictures: heading to picture; one of a table's heading stands above it.
            more: other entries of the result.

        Returns:
            What result.json holds.

        Raises:
            OptionError: every run failed; the page, which says why, is written before.
        """
        text = "\n".join(f"### {name}\n\n{markdown(cells)}" for name, cells in tables.items())
        result: dict[str, Any] = {
            "schema": SCHEMA,
            "recipe": self.recipe,
            "title": self.title,
            "seed": self.config.seed,
            "command": command_line(self.recipe, self.config),
            "study": list(rows),
            "table": text,
            **more,
            "environment": environment(),
        }
        write_json(self.out / "result.json", result)
        write_text(self.out / f"{self.recipe}.md", text)
        for name, figure in pictures.items():
            words = "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())
            for kind in ("svg", "png"):
                # without the date, the same study draws the same file
                metadata = {"Date": None} if kind == "svg" else None
                figure.savefig(self.out / f"{self.recipe}-{words}.{kind}", dpi=160, metadata=metadata)
        write_study(self.out, self.title, result["command"], tables, pictures)
        if rows and all("failed" in row for row in rows):
            why = " ".join(str(rows[0]["failed"]).split()).rstrip(".")
            raise OptionError(
                f"all {len(rows)} runs of {self.recipe} failed, the first because {why}",
                "one that can be trained",
                f"The table in {self.out} says why for each.",
            )
        return result


def study_runner(recipe: str, title: str, carry_out: Callable[[Study, Any], dict[str, Any]]) -> Main:
    """The `main` of a recipe that is a study. It is written in English, whatever language is asked for.

    Args:
        recipe: its name.
        title: one line.
        carry_out: from the study and its options to what result.json holds.
    """

    def main(config: Any, *, lang: str, **how: Any) -> dict[str, Any]:  # noqa: ARG001  (the command line says so)
        return carry_out(Study(recipe, title, config, **how), config)

    return main


def three(dataset: DataSet, share: float, config: RunConfig) -> Three:
    """Training, validation and test split of a data set, the first limited as the options say."""
    return (*splits(dataset, share, config), dataset.test)


def seeded(make: Callable[[], torch.nn.Module], seed: int) -> torch.nn.Module:
    """A network whose weights follow from the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        return make()


def _lines_of(run: str, *, progress: bool) -> Callable[[str], None] | None:
    """Where the lines of a training go, so that they say which run of the study it is.

    Returns:
        What writes a line to standard error with the run's name in the place of the network's; None on a terminal,
        where a bar is drawn, below the name.
    """

    def line(text: str) -> None:
        sys.stderr.write(f"{run}  {text.removeprefix(f'{_NET}  ')}\n")
        sys.stderr.flush()

    if not sys.stderr.isatty():
        return line
    if progress:
        sys.stderr.write(f"{run}\n")
    return None


@contextmanager
def _warm_memory() -> Iterator[None]:
    """Keep freed memory in the process for a while: for long sequences worth a fifth of the time and more."""
    keep_memory()
    try:
        yield
    finally:
        keep_memory(False)
