"""Everything that a run needs to go on as if it had never stopped, in one file.

What is kept: weights, buffers, the optimiser's state, the moving average, the best weights so far, every random state,
and the course of the run (epoch, batch in the epoch, running sums, the rows of metrics.jsonl). The learning rate, the
order of the samples and the generators of each batch are functions of the seed and the step, and need no keeping.

One file, replaced by one rename: a kill at any moment leaves the old checkpoint or the new one.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snn4.core.errors import CheckpointError, OptionError
from snn4.core.files import make_folder
from snn4.training import randomness, tensorfile
from snn4.training.identity import differences
from snn4.training.optimiser import Average
from snn4.training.weights import load_state, state_of

__all__ = ["Course", "Keeper", "Training"]

KIND = "checkpoint"


@dataclasses.dataclass
class Course:
    """How far a run has come.

    Args:
        epoch: whole epochs done, validation included.
        batch: batches done in the epoch that runs.
        step: batches done in all.
        loss_sum: sum of the losses of the samples seen in the epoch that runs.
        right: how many of these samples were answered rightly.
        seen: how many there were.
        seconds: time spent, over all starts.
        best_accuracy: the highest validation accuracy.
        best_loss: the validation loss that belongs to it.
        best_epoch: the epoch of both, counted from 1; 0 before the first validation.
        risen_epoch: the epoch in which the accuracy rose last.
        rows: one row of metrics.jsonl an epoch.
        warned: the alarms that were given, so that none is given twice.
        temperature: of Dspike surrogates, as the last search has found it; None where none is searched.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    right: int = 0
    seen: int = 0
    seconds: float = 0.0
    best_accuracy: float = -1.0
    best_loss: float = 0.0
    best_epoch: int = 0
    risen_epoch: int = 0
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list[dict[str, Any]])
    warned: list[str] = dataclasses.field(default_factory=list[str])
    temperature: float | None = None


class Training:
    """All that changes while a network is trained.

    Args:
        net: the network.
        optimiser: its optimiser.
        average: the moving average of its weights, or None.
    """

    def __init__(self, net: torch.nn.Module, optimiser: torch.optim.Optimizer, average: Average | None) -> None:
        self.net, self.optimiser, self.average = net, optimiser, average
        self.best: dict[str, Tensor] = {}
        self.course = Course()

    def rollback(self) -> Rollback:
        """What a forward pass changes besides the weights, to undo a step that failed before the optimiser's turn."""
        return Rollback(self.net)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor, by a name that says what it belongs to."""
        weights, _ = state_of(self.net)
        groups = {"net": weights, "best": self.best, "random": randomness.capture(self.net)}
        saved = self.net.state_dict()
        groups["cache"] = {name: buffer for name, buffer in self.net.named_buffers() if name not in saved}
        groups["average"] = self.average.tensors if self.average is not None else {}
        groups["optimiser"] = {
            f"{index}/{name}": value
            for index, entries in self.optimiser.state_dict()["state"].items()
            for name, value in entries.items()
            if isinstance(value, Tensor)
        }
        return {f"{group}/{name}": tensor for group, entries in groups.items() for name, tensor in entries.items()}

    def numbers(self) -> dict[str, Any]:
        """Everything else, as JSON."""
        _, extra = state_of(self.net)
        optimiser = {
            str(index): {name: value for name, value in entries.items() if not isinstance(value, Tensor)}
            for index, entries in self.optimiser.state_dict()["state"].items()
        }
        return {"course": dataclasses.asdict(self.course), "extra": extra, "optimiser": optimiser}

    def restore(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any], origin: str) -> None:
        """Set everything to what `tensors` and `numbers` have returned."""

        def group(name: str) -> dict[str, Tensor]:
            return {key.removeprefix(f"{name}/"): t for key, t in tensors.items() if key.startswith(f"{name}/")}

        load_state(self.net, group("net"), numbers["extra"], origin)
        buffers = dict(self.net.named_buffers())
        with torch.no_grad():
            for name, tensor in group("cache").items():
                buffers[name].copy_(tensor)
            if self.average is not None:
                for name, tensor in group("average").items():
                    self.average.tensors[name].copy_(tensor)
        self.best = group("best")
        state: dict[int, dict[str, Any]] = {
            int(index): dict(entries) for index, entries in numbers["optimiser"].items()
        }
        for key, tensor in group("optimiser").items():
            index, _, name = key.partition("/")
            state.setdefault(int(index), {})[name] = tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
        self.course = Course(**numbers["course"])
        # last, because nothing above may draw from what it restores
        randomness.restore(self.net, group("random"))


class Rollback:
    """The buffers and random states of a network at one moment; the weights change only in the optimiser's step."""

    def __init__(self, net: torch.nn.Module) -> None:
        self._net = net
        self._buffers = [buffer.clone() for buffer in net.buffers()]
        self._random = randomness.capture(net)

    def undo(self) -> None:
        """Go back to that moment."""
        with torch.no_grad():
            for buffer, before in zip(self._net.buffers(), self._buffers, strict=True):
                buffer.copy_(before)
        randomness.restore(self._net, self._random)


class Keeper:
    """Saves a `Training` to a folder, and finds it there again.

    Args:
        folder: the run's folder; it is made.
        name: of the model; a folder can hold several.
        identity: what the run is: a checkpoint of another identity is refused.
        every_seconds: when a checkpoint is due; None for never.
        every_steps: the same, in steps.

    Raises:
        StorageError: the folder cannot be made or written.
        OptionError: a name that cannot stand in a file name.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        identity: Mapping[str, Any],
        every_seconds: float | None = None,
        every_steps: int | None = None,
    ) -> None:
        if not re.fullmatch(r"[\w-]+", name):
            raise OptionError(
                f"fit got the name {name!r}", "letters, digits, _ and -", "It becomes part of a file name."
            )
        self.path = make_folder(folder) / f"{name}.checkpoint.safetensors"
        self._identity, self._every_seconds, self._every_steps = identity, every_seconds, every_steps
        self._last = time.monotonic()
        for left_over in self.path.parent.glob(f".{name}.checkpoint.*.partial"):
            left_over.unlink(missing_ok=True)

    def due(self, step: int) -> bool:
        """Whether it is time to save, after `step` steps."""
        by_step = self._every_steps is not None and step % self._every_steps == 0
        return by_step or (self._every_seconds is not None and time.monotonic() - self._last >= self._every_seconds)

    def save(self, training: Training) -> None:
        """Write a checkpoint; the one before stays as the previous one.

        Raises:
            StorageError: the disk is full or the folder cannot be written; both older checkpoints are as they were.
        """
        about = {"identity": self._identity, "torch": torch.__version__, **training.numbers()}
        tensorfile.write(self.path, KIND, training.tensors(), about, keep=True)
        self._last = time.monotonic()

    def load(self, training: Training) -> bool:
        """Go on from the checkpoint in the folder; False if there is none.

        Raises:
            CheckpointError: it is damaged, or belongs to another run.
        """
        found = next((path for path in (self.path, tensorfile.previous(self.path)) if path.exists()), None)
        if found is None:
            return False
        tensors, about = tensorfile.read(found, KIND)
        if others := differences(about["identity"], self._identity):
            more = f"; and {len(others) - 6} more" if len(others) > 6 else ""
            raise CheckpointError(
                f"{found} belongs to another run ({'; '.join(others[:6])}{more})",
                "a checkpoint of the same recipe, options, seed, data and network",
                "Go on with the options that it was made with, or start in another folder.",
            )
        training.restore(tensors, about, str(found))
        return True
