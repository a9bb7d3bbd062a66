"""What a data set is once it has been read: tensors, and what must be known to use and to cite them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from snn4.core.errors import OptionError, ShapeError

__all__ = ["DataSet", "Split"]


@dataclass(frozen=True, eq=False)
class Split:
    """Samples and their classes.

    Args:
        inputs: one row a sample, as stored: `uint8` (images 0..255), or floating point.
        targets: the class of every sample; or, where each step has one, of every step, -1 where it is not known.

    Shape:
        inputs: (N, *features), uint8 or floating point.
        targets: (N,) or (N, T), int64.

    Raises:
        ShapeError: the two do not belong together.

    Example:
        >>> split = Split(torch.zeros(3, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 1]))
        >>> split
        Split(3 samples of (1, 8, 8) uint8)
        >>> len(split.take(torch.tensor([2, 0])))
        2
    """

    inputs: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        inputs, targets = self.inputs, self.targets
        if targets.dim() not in (1, 2) or targets.dtype != torch.int64:
            raise ShapeError(
                f"Split got targets of shape {tuple(targets.shape)} and type {_short(targets)}",
                "one int64 class a sample, shape (N,), or a step, shape (N, T)",
                "targets.reshape(-1).to(torch.int64) makes them so.",
            )
        if inputs.dim() < 2 or len(inputs) != len(targets):
            raise ShapeError(
                f"Split got inputs of shape {tuple(inputs.shape)} and {len(targets)} targets",
                f"inputs of shape ({len(targets)}, *features)",
                "The first axis of both is the sample.",
            )
        if inputs.dtype != torch.uint8 and not inputs.is_floating_point():
            raise ShapeError(
                f"Split got inputs of type {_short(inputs)}",
                "uint8 (0..255) or floating point",
                "Convert them with inputs.float().",
            )

    def __len__(self) -> int:
        return len(self.targets)

    def __repr__(self) -> str:
        return f"Split({len(self)} samples of {tuple(self.inputs.shape[1:])} {_short(self.inputs)})"

    def take(self, indices: Tensor | Sequence[int] | Sequence[bool]) -> Split:
        """The samples at `indices`, in that order, copied; a mask, True or False for each sample, takes those of True.

        Raises:
            OptionError: numbers that are no places, or a mask of another length.
        """
        chosen = places(indices, len(self)).to(self.targets.device)
        return Split(self.inputs[chosen.to(self.inputs.device)], self.targets[chosen])


def places(indices: Tensor | Sequence[int] | Sequence[bool] | NDArray[Any], count: int) -> Tensor:
    """The places that indices, or a mask, name among `count`. Shape (places,), int64.

    Raises:
        OptionError: numbers that are no places, or a mask of another length.
    """
    given = torch.as_tensor(indices).flatten()
    if given.dtype == torch.bool and len(given) == count:
        return given.nonzero().flatten()
    whole = not given.is_floating_point() and not given.is_complex() and given.dtype != torch.bool
    if whole:
        given = given.to(torch.int64)
    if len(given) and (not whole or int(given.min()) < -count or int(given.max()) >= count):
        came = f"{len(given)} of {_short(given)}" + f" from {given.min()} to {given.max()}" * whole
        raise OptionError(f"take got {came}", f"places from 0 to {count - 1}, or a mask of {count}")
    return given.to(torch.int64)


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set with the split it is published with.

    Args:
        name: the name `snn4.data.load` knows it by.
        train: what may be learned from, and held out for validation with `snn4.data.hold_out`.
        test: what is read once, at the end.
        classes: the name of every class; the target is the position.
        mean: mean of the training inputs scaled to 0..1, one a channel.
        std: their standard deviation, one a channel.
        about: one paragraph: what it shows, how it was split.
        licence: under which terms it may be used.
        citation: what to cite, as text.
        key: the same as a key of snn4's `references.bib`; empty where there is none.
        validation: what chooses, where the data set is published with such a part; else hold some of `train` out.

    Example:
        >>> import snn4.data
        >>> snn4.data.load("digits")
        DataSet(digits: 1442 train, 355 test, (1, 8, 8) uint8, 10 classes)
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    about: str = ""
    licence: str = ""
    citation: str = ""
    key: str = ""
    validation: Split | None = None

    def __repr__(self) -> str:
        shape, kind = tuple(self.train.inputs.shape[1:]), _short(self.train.inputs)
        sizes = f"{len(self.train)} train, {len(self.test)} test"
        return f"DataSet({self.name}: {sizes}, {shape} {kind}, {len(self.classes)} classes)"


def _short(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
