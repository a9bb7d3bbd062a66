"""Time folded into the batch: (T, B, *features) -> (T * B, *features) -> module -> (T, B, *features')."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.checks import check_sequence
from snn4.core.errors import OptionError, ShapeError
from snn4.layers.memory import Keeps
from snn4.through_time import Stateful
from snn4.through_time.folding import FoldsTime

__all__ = ["Fold", "Folded", "fold", "unfold"]


def fold(xs: Tensor) -> Tensor:
    """(T, B, *features) -> (T * B, *features), without a copy where the layout allows it."""
    return xs.flatten(0, 1)


def unfold(ys: Tensor, steps: int, batch: int) -> Tensor:
    """(T * B, *features) -> (T, B, *features)."""
    return ys.unflatten(0, (steps, batch))


class Folded(Keeps):
    """Mixin, first among the bases of a torch layer: checks the rank, folds time, calls the layer, unfolds.

    `features` lists how many feature axes the layer accepts; None stands for any number.
    """

    features: ClassVar[tuple[int, ...] | None] = None

    def check(self, x: Tensor) -> None:
        """Refuse an input of another rank.

        Raises:
            ShapeError: it has not the axes that this layer accepts, or no time step.
        """
        if self.features is None:
            check_sequence(type(self).__name__, x)
            return
        accepted = [n for n in self.features if x.ndim == 2 + n]
        check_sequence(type(self).__name__, x, accepted[0] if accepted else self.features[0])

    def forward(self, x: Float[Tensor, "T B *features"], *args: Any, **kwargs: Any) -> Float[Tensor, "T B *out"]:
        """The layer at every step. Shape: (T, B, *features) -> (T, B, *features')."""
        self.check(x)
        with self.saving():
            ys: Any = super().forward(fold(x), *args, **kwargs)
        if isinstance(ys, tuple):
            # a pooling layer with return_indices=True
            parts: Any = tuple(unfold(y, *x.shape[:2]) for y in cast("tuple[Tensor, ...]", ys))
            return parts
        return unfold(ys, *x.shape[:2])


class Fold(FoldsTime):
    """Any module that knows no time, applied to every step.

    Args:
        module: takes (N, *features) and returns a tensor with the same first axis. It must hold no stateful module:
            after folding there is no time left for it to see.

    Shape: (T, B, *features) -> (T, B, *features').

    Raises:
        OptionError: the module holds a stateful one.

    Example:
        >>> Fold(torch.nn.PixelShuffle(2))(torch.zeros(5, 1, 4, 3, 3)).shape
        torch.Size([5, 1, 1, 6, 6])
    """

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        inner = [name or type(m).__name__ for name, m in module.named_modules() if isinstance(m, Stateful)]
        if inner:
            raise OptionError(
                f"Fold got a module with stateful parts: {', '.join(inner)}",
                "a module without neurons or other state",
                "Put the neurons outside of Fold; snn4.nn has folded layers to build the rest from.",
            )
        self.module = module

    def forward(self, x: Float[Tensor, "T B *features"]) -> Float[Tensor, "T B *out"]:
        """The module at every step."""
        check_sequence("Fold", x, floating=False)
        y: Tensor = self.module(fold(x))
        if y.shape[0] != x.shape[0] * x.shape[1]:
            raise ShapeError(
                f"{type(self.module).__name__} inside Fold turned {x.shape[0] * x.shape[1]} items into {y.shape[0]}",
                "one output for each input item",
            )
        return unfold(y, *x.shape[:2])
