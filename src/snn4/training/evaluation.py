"""How good a network is on a split, measured once and reported in full."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from snn4.core.errors import NotFiniteError, OptionError, ShapeError
from snn4.data import Split
from snn4.training import randomness
from snn4.training.task import Task

__all__ = ["Evaluation", "evaluate"]


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` found.

    Args:
        loss: mean of the task's loss over the samples.
        accuracy: share of samples whose class was found.
        confusion: how often class i (row) was taken for class j (column). Shape (C, C), int64.
        accuracy_by_step: accuracy of the answer after the first t steps, t = 1 ... T.
        predictions: the class found, in the order of the split. Shape (N,), int64.
    """

    loss: float
    accuracy: float
    confusion: Tensor
    accuracy_by_step: list[float]
    predictions: Tensor

    def __str__(self) -> str:
        steps = len(self.accuracy_by_step)
        return f"accuracy {self.accuracy:.2%}, loss {self.loss:.4f}, {len(self.predictions)} samples, T = {steps}"


def evaluate(
    net: torch.nn.Module,
    task: Task,
    split: Split,
    batch_size: int = 256,
    *,
    seed: int = 0,
    after_batch: Callable[[], None] | None = None,
) -> Evaluation:
    """Measure a network on a split, in eval mode and without gradients; nothing is changed by it.

    Args:
        net: maps (T, B, *features) to (T, B, C).
        task: its `encode`, `readout` and `loss` are used.
        split: what to measure on.
        batch_size: samples a forward pass; in eval mode it changes speed and memory only, but for an encoder that
            draws random numbers, which draws others.
        seed: of the random numbers that the encoder and the network may draw; torch's global ones are left alone.
        after_batch: is called after each batch, and may raise to stop.

    Raises:
        OptionError: an empty split, or a batch size below 1.
        ShapeError: outputs or answers of the wrong shape, or a class that the network does not have.
        NotFiniteError: the loss is NaN or infinite.

    Example:
        >>> task = Task(lambda x, _: x[None], lambda ys: ys.mean(0), torch.nn.functional.cross_entropy)
        >>> split = Split(torch.eye(2), torch.tensor([0, 1]))
        >>> print(evaluate(torch.nn.Identity(), task, split))
        accuracy 100.00%, loss 0.3133, 2 samples, T = 1
    """
    if len(split) == 0:
        raise OptionError("evaluate got an empty split", "at least one sample", "Look at how the data was divided.")
    if batch_size < 1:
        raise OptionError(f"evaluate got batch_size={batch_size}", "batch_size >= 1", "256 is a good start.")
    place = device_of(net)
    numbers = randomness.generator(place, seed)
    loss = 0.0
    by_step: Tensor | None = None
    found: list[Tensor] = []
    classes = 0
    with torch.no_grad(), _eval_mode(net), randomness.scope(net, seed):
        for chosen in torch.arange(len(split)).split(batch_size):
            inputs, targets = batch_of(split, chosen, place)
            ys = net(task.encode(inputs, numbers))
            logits = task.readout(ys)
            if not found:
                check_shapes(ys, logits, split)
                classes = logits.shape[1]
            loss += task.loss(logits, targets).item() * len(chosen)
            answers = torch.stack([task.readout(ys[:t]).argmax(1) for t in range(1, len(ys) + 1)])
            right = (answers == targets).sum(1).cpu()
            by_step = right if by_step is None else by_step + right
            found.append(answers[-1].cpu())
            if after_batch is not None:
                after_batch()
    assert by_step is not None
    loss /= len(split)
    if loss != loss or abs(loss) == float("inf"):
        raise NotFiniteError(
            f"the loss over {len(split)} samples is {loss}",
            "a finite number",
            "Is a weight or an input not finite? snn4.training.find_non_finite(net, xs, forward) names the layer.",
        )
    predictions = torch.cat(found)
    pairs = split.targets.cpu() * classes + predictions
    accuracies: list[float] = (by_step / len(split)).tolist()
    return Evaluation(
        loss=loss,
        accuracy=int(by_step[-1]) / len(split),
        confusion=torch.bincount(pairs, minlength=classes * classes).reshape(classes, classes),
        accuracy_by_step=accuracies,
        predictions=predictions,
    )


def device_of(net: torch.nn.Module) -> torch.device:
    """Where a network's first tensor lies; the CPU if it has none."""
    for tensor in (*net.parameters(), *net.buffers()):
        return tensor.device
    return torch.device("cpu")


def batch_of(split: Split, chosen: Tensor, place: torch.device) -> tuple[Tensor, Tensor]:
    """Some samples of a split, on a device."""
    inputs = split.inputs[chosen.to(split.inputs.device)]
    return inputs.to(place), split.targets[chosen.to(split.targets.device)].to(place)


def check_shapes(ys: Tensor, logits: Tensor, split: Split) -> None:
    """Refuse outputs that no loss can be had from, with the reason.

    Raises:
        ShapeError: see `evaluate`.
    """
    shape, answer = tuple(ys.shape), tuple(logits.shape)
    if ys.ndim < 2 or ys.shape[0] == 0:
        raise ShapeError(
            f"the network gave outputs of shape {shape}",
            "(T, B, classes) with T >= 1",
            "Does task.encode put time first? snn4.data.repeat(x, steps=8) does.",
        )
    if logits.ndim != 2 or logits.shape[0] != ys.shape[1]:
        raise ShapeError(
            f"task.readout made answers of shape {answer} from outputs of shape {shape}",
            f"({ys.shape[1]}, classes)",
            "It takes the time away and leaves the rest, as `lambda ys: ys.mean(0)` does.",
        )
    low, high = int(split.targets.min()), int(split.targets.max())
    if low < 0 or high >= answer[1]:
        raise ShapeError(
            f"the targets run from {low} to {high}",
            f"classes from 0 to {answer[1] - 1}, as the network has {answer[1]} outputs",
            "Give the last layer as many outputs as there are classes.",
        )


@contextlib.contextmanager
def _eval_mode(net: torch.nn.Module) -> Iterator[None]:
    """Inside, the network is in eval mode; outside, each module is in the mode that it was in."""
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
