"""What is learned: from a stored batch to a number to make small; and how long and with what: the options of `fit`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn import Module

from snn4.core.checks import is_whole
from snn4.core.errors import OptionError

__all__ = ["FitConfig", "Task"]


@dataclasses.dataclass(frozen=True)
class Task:
    """The way from a stored batch through a network to a loss.

        xs = encode(augment(batch));   ys = net(xs);   loss(readout(ys), targets)

    Args:
        encode: a stored batch to the network's input, with the random numbers that it may use.
            Shape (B, *features) -> (T, B, *features').
        readout: the outputs of all steps to one answer a sample. Shape (T, B, C) -> (B, C). It is also asked for the
            answer after the first t steps. Where the targets hold a class a step, it keeps the time: `lambda ys: ys`.
        loss: the answers and the classes to a number, averaged over the batch. Shape (B, C), (B,) -> (). Where the
            targets hold a class a step, the labelled steps of all samples are the batch.
        augment: changes to the stored batch, in training only. Shape (B, *features) -> (B, *features).
        objective: what training makes small in place of `loss(readout(ys), targets)`, for losses that look at each
            step, like `snn4.objectives.tet`. Shape (T, B, C), (B,) -> (); a class a step comes as it is stored,
            (B, T) with -1 for none. Validation still reports `loss`.
        penalty: is added in training; it sees the spikes of each spiking layer, by the layer's path in the network,
            like `snn4.objectives.FiringRate`. Shape of each (T, B, *features).
        regulariser: is added in training, for terms that need more than spikes: weights, or what a layer was given. It
            gets the network and is entered around each forward pass, so that it can set hooks; what it yields is called
            afterwards for the term. `snn4.timing.DeadNeurons` is one.
        after_step: is called with the network after each step of the optimiser, and may change weights: projections,
            masks, weight bumping. What it has to remember belongs into a buffer of the network, or a run that is
            stopped and goes on would forget it.

    Example:
        >>> import torch
        >>> task = Task(
        ...     encode=lambda batch, generator: batch.float().expand(4, *batch.shape),
        ...     readout=lambda ys: ys.mean(0),
        ...     loss=torch.nn.functional.cross_entropy,
        ... )
        >>> task.encode(torch.zeros(8, 3), torch.Generator()).shape
        torch.Size([4, 8, 3])
    """

    encode: Callable[[Tensor, Generator], Tensor]
    readout: Callable[[Tensor], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]
    augment: Callable[[Tensor, Generator], Tensor] | None = None
    objective: Callable[[Tensor, Tensor], Tensor] | None = None
    penalty: Callable[[Mapping[str, Tensor]], Tensor] | None = None
    regulariser: Callable[[Module], AbstractContextManager[Callable[[], Tensor]]] | None = None
    after_step: Callable[[Module], None] | None = None


@dataclasses.dataclass(frozen=True)
class FitConfig:
    """How to train.

    Args:
        epochs: how often the training split is seen.
        batch_size: samples a step. The last batch of an epoch holds what is left.
        optimiser: AdamW, or SGD with momentum.
        learning_rate: the highest one, reached after the warm-up.
        neuron_rate: what neurons learn (time constants, thresholds, the width of a surrogate) learns so many times as
            fast as the weights.
        weight_decay: for weights; biases, norms and what neurons learn are not decayed.
        momentum: of SGD.
        schedule: the learning rate falls to zero as half a cosine, or stays.
        warmup_epochs: for how long the learning rate rises in a straight line first.
        clip_norm: the gradient is scaled down to this norm; None leaves it.
        autocast: compute the forward pass in bfloat16 where torch holds that safe. Validation does not.
        patience: stop after so many epochs in which the validation accuracy did not rise; None never does.
        ema: decay of a moving average of the weights, which is validated and kept in their place; None for none.
        checkpoint_seconds: save a checkpoint after so long, besides the one after each epoch; None never does.
        checkpoint_steps: save a checkpoint after so many steps, besides; None never does.
        online: with time outermost and a loss at every step, for routes that can: one step of the optimiser a
            `"batch"`, or one at every `"step"` of time. Memory then does not grow with T. The loss of a step is the
            task's, of its outputs alone, over T; penalty and regulariser see one step at a time. "no" hands the whole
            sequence to the network.
        adapt: at the beginning of each epoch, sharpen `Annealed` surrogates and search the temperature of `Dspike`;
            without it they stay as they are, for those who call `anneal` and `search_temperature` themselves.
        device: where to train, as "cuda" or "cpu": the network moves there and stays, the splits move if they take no
            more than a quarter of what is free. None trains where the network is.
        alarms: watch for layers that never fire or always fire, in the first batch of each epoch. `torch.compile`
            compiles a network again for it.

    Raises:
        OptionError: with all options that are out of range.

    Example:
        >>> FitConfig(epochs=0)
        Traceback (most recent call last):
        snn4.core.errors.OptionError: FitConfig got epochs=0: expected epochs a whole number >= 1. Correct it.
    """

    epochs: int = 10
    batch_size: int = 128
    optimiser: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 1e-3
    neuron_rate: float = 1.0
    weight_decay: float = 1e-2
    momentum: float = 0.9
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_epochs: float = 0.0
    clip_norm: float | None = 1.0
    autocast: bool = False
    patience: int | None = None
    ema: float | None = None
    checkpoint_seconds: float | None = 60.0
    checkpoint_steps: int | None = None
    adapt: bool = True
    alarms: bool = True
    online: Literal["no", "batch", "step"] = "no"
    device: str | None = None

    def __post_init__(self) -> None:
        def at_least(value: float | None, low: float) -> bool:
            return value is None or low <= value < math.inf

        def above_zero(value: float | None) -> bool:
            return value is None or 0 < value < math.inf

        rules = {
            "epochs": (is_whole(self.epochs), "epochs a whole number >= 1"),
            "batch_size": (is_whole(self.batch_size), "batch_size a whole number >= 1"),
            "optimiser": (self.optimiser in ("adamw", "sgd"), "optimiser 'adamw' or 'sgd'"),
            "learning_rate": (above_zero(self.learning_rate), "learning_rate > 0"),
            "neuron_rate": (above_zero(self.neuron_rate), "neuron_rate > 0"),
            "weight_decay": (at_least(self.weight_decay, 0), "weight_decay >= 0"),
            "momentum": (0 <= self.momentum < 1, "0 <= momentum < 1"),
            "schedule": (self.schedule in ("cosine", "constant"), "schedule 'cosine' or 'constant'"),
            "warmup_epochs": (0 <= self.warmup_epochs <= self.epochs, "0 <= warmup_epochs <= epochs"),
            "clip_norm": (above_zero(self.clip_norm), "clip_norm > 0 or None"),
            "patience": (self.patience is None or is_whole(self.patience), "patience a whole number >= 1 or None"),
            "ema": (self.ema is None or 0 < self.ema < 1, "0 < ema < 1 or None"),
            "device": (_is_device(self.device), "device 'cpu', 'cuda', 'cuda:1' and so on, or None"),
            "online": (self.online in ("no", "batch", "step"), "online 'no', 'batch' or 'step'"),
            "checkpoint_seconds": (at_least(self.checkpoint_seconds, 0), "checkpoint_seconds >= 0 or None"),
            "checkpoint_steps": (
                self.checkpoint_steps is None or is_whole(self.checkpoint_steps),
                "checkpoint_steps a whole number >= 1 or None",
            ),
        }
        wrong = {name: expected for name, (right, expected) in rules.items() if not right}
        if wrong:
            came = ", ".join(f"{name}={getattr(self, name)!r}" for name in wrong)
            advice = "Correct it." if len(wrong) == 1 else "Correct them."
            raise OptionError(f"FitConfig got {came}", ", ".join(wrong.values()), advice)


def _is_device(name: str | None) -> bool:
    """Whether torch knows a device of this name, here or elsewhere."""
    try:
        return name is None or torch.device(name).type != "meta"
    except (RuntimeError, TypeError):
        return False
