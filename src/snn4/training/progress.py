"""What a person sees while a network learns, and what a program reads afterwards."""

from __future__ import annotations

import abc
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from snn4.core.errors import StorageError
from snn4.core.files import atomic

__all__ = ["Metrics", "Report", "report"]


class Report(abc.ABC):
    """Abstract: tells a person how far the training is."""

    @abc.abstractmethod
    def say(self, text: str) -> None:
        """One line of text."""

    @abc.abstractmethod
    def step(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """A step is done: the running numbers of the epoch (counted from 1), and the steps in all."""

    @abc.abstractmethod
    def row(self, row: Mapping[str, Any], seconds_left: float) -> None:
        """An epoch is done, with its row of metrics.jsonl."""


class Lines(Report):
    """One plain line an epoch, or none.

    Args:
        say: where lines go.
        epochs: how many there will be.
        quiet: leave out the lines of epochs.
    """

    def __init__(self, say: Callable[[str], None], epochs: int, *, quiet: bool = False) -> None:
        self._say, self._epochs, self._quiet = say, epochs, quiet

    def say(self, text: str) -> None:
        """One line of text."""
        self._say(text)

    def step(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """Nothing: an epoch is enough."""

    def row(self, row: Mapping[str, Any], seconds_left: float) -> None:
        """One line."""
        if not self._quiet:
            self._say(f"{line(row, self._epochs)}  {_time(seconds_left)} to go")


class Bar(Report):
    """A bar with the time left, drawn by rich; a line stays for each epoch.

    Args:
        bar: rich's progress display.
        name: of the model.
        epochs: how many there will be.
        total: steps in all.
    """

    def __init__(self, bar: Any, name: str, epochs: int, total: int) -> None:
        self._bar, self._name, self._epochs = bar, name, epochs
        self._task = bar.add_task(name, total=total)

    def say(self, text: str) -> None:
        """One line above the bar."""
        # markup would read the brackets of a layer's or folder's name
        self._bar.console.print(text, markup=False, highlight=False)

    def step(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """Move the bar."""
        text = f"{self._name}  epoch {epoch}/{self._epochs}  loss {loss:.4f}  accuracy {accuracy:.1%}"
        self._bar.update(self._task, completed=step, description=text)

    def row(self, row: Mapping[str, Any], seconds_left: float) -> None:
        """A line above the bar; the time left stands in the bar."""
        self.say(line(row, self._epochs))


def line(row: Mapping[str, Any], epochs: int) -> str:
    """A row of metrics.jsonl for a person.

    Example:
        >>> row = {"model": "snn", "epoch": 3, "train_loss": 0.5, "train_accuracy": 0.75, "val_accuracy": 0.5}
        >>> line(row | {"val_loss": 1.0, "seconds": 61.0}, 10)
        'snn  epoch  3/10  loss 0.5000  accuracy  75.0%  validation  50.0%  1:01'
    """
    width = len(str(epochs))
    return (
        f"{row['model']}  epoch {row['epoch']:{width}}/{epochs}  loss {row['train_loss']:.4f}  "
        f"accuracy {row['train_accuracy']:6.1%}  validation {row['val_accuracy']:6.1%}  {_time(row['seconds'])}"
    )


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def report(
    name: str, epochs: int, total: int, *, progress: bool = True, log: Callable[[str], None] | None = None
) -> Iterator[Report]:
    """The report that fits the place: a bar on a terminal that has rich, else lines.

    Args:
        name: of the model.
        epochs: how many there will be.
        total: steps in all.
        progress: False keeps everything but warnings back.
        log: takes each line; None writes to standard error.
    """
    bar = _bar() if progress and log is None and sys.stderr.isatty() else None
    if bar is None:
        yield Lines(log or _to_stderr, epochs, quiet=not progress)
        return
    with bar:
        yield Bar(bar, name, epochs, total)


def _bar() -> Any:
    """Rich's display, or None without rich."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
    except ImportError:
        return None
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


class Metrics:
    """metrics.jsonl: a row of JSON an epoch, for all models of a run.

    Args:
        folder: the run's folder.
        name: of the model whose rows these are.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._path, self._name = folder / "metrics.jsonl", name

    def restart(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Let this model's rows be exactly these; those of other models stay.

        What a kill left behind, a half line or a row of an epoch that is not in the checkpoint, goes.
        """
        for left_over in self._path.parent.glob(f".{self._path.name}.*.partial"):
            left_over.unlink(missing_ok=True)
        others: list[str] = []
        if self._path.exists():
            for text in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError, AttributeError):
                    if json.loads(text).get("model") != self._name:
                        others.append(text)
        with atomic(self._path) as file:
            file.write("".join(f"{text}\n" for text in [*others, *map(_text, rows)]).encode())

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row, on the disk when this returns.

        Raises:
            StorageError: the disk is full.
        """
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{_text(row)}\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as cause:
            raise StorageError(
                f"adding to {self._path} failed ({cause.strerror or cause})",
                "a folder that can be written and has free space",
                "Free some space, then go on from the last checkpoint.",
            ) from cause


def _text(row: Mapping[str, Any]) -> str:
    return json.dumps(dict(row), allow_nan=False)
