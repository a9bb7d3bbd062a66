"""What a training says of itself when it is over."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

__all__ = ["Fitted"]


@dataclasses.dataclass(frozen=True)
class Fitted:
    """How a training went.

    Args:
        epochs_run: epochs done.
        best_epoch: the epoch, counted from 1, whose weights the network now has.
        val_accuracy: the validation accuracy of that epoch.
        val_loss: its validation loss.
        seconds: time spent, over all starts.
        steps: batches learned from; as many optimiser steps, or T of them each with `online="step"`.
        stopped_early: whether patience ran out.
        history: the rows of metrics.jsonl.
    """

    epochs_run: int
    best_epoch: int
    val_accuracy: float
    val_loss: float
    seconds: float
    steps: int
    stopped_early: bool
    history: tuple[Mapping[str, Any], ...]

    def __str__(self) -> str:
        early = ", stopped early" if self.stopped_early else ""
        return (
            f"validation accuracy {self.val_accuracy:.2%} in epoch {self.best_epoch} of {self.epochs_run}{early}, "
            f"{self.seconds:.1f} s"
        )
