"""Dropout with one mask for all time steps of a sequence.

A mask drawn anew at each step would average out over time and regularise little; a unit that is dropped stays dropped
until the sequence ends, also when it is run in chunks.

Paper: [srivastava2014dropout, lee2020enabling]
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.core.states import state
from snn4.through_time import Stateful
from snn4.through_time.session import current

__all__ = ["Dropout", "Dropout2d"]


class Dropout(Stateful):
    """Zeroes each unit with probability p for the whole sequence, and scales the others by 1 / (1 - p).

    Does nothing in eval mode. The mask is drawn from torch's generator, as torch.nn.Dropout does.

    Args:
        p: probability of a unit to be dropped.

    Shape: (T, B, *features), kept.

    Example:
        >>> y = Dropout(0.5)(torch.ones(10, 1, 100))
        >>> bool((y == y[0]).all()), sorted(set(y.flatten().tolist()))
        (True, [0.0, 2.0])
    """

    State = state("mask")

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise OptionError(f"{type(self).__name__} got p={p!r}", "a probability in [0, 1)")
        self.p = p

    def mask_shape(self, x: Tensor) -> tuple[int, ...]:
        """The shape of a mask for one step `x`."""
        return tuple(x.shape)

    def initial(self, x: Float[Tensor, "B *features"]) -> Any:
        """A fresh mask. Shape of x: (B, *features)."""
        return self.State(torch.nn.functional.dropout(x.new_ones(self.mask_shape(x)), self.p))

    def template(self, x: Float[Tensor, "B *features"]) -> Any:
        """A mask of the same shape, without drawing."""
        return self.State(x.new_ones(self.mask_shape(x)))

    def sequence(self, xs: Float[Tensor, "T B *features"], state: Any) -> tuple[Float[Tensor, "T B *features"], Any]:
        """The same mask at every step."""
        return xs * state.mask, state

    def forward(self, xs: Float[Tensor, "T B *features"]) -> Float[Tensor, "T B *features"]:
        """Masked in training, unchanged in eval mode."""
        if self.training and self.p:
            return super().forward(xs)
        self.check(xs)
        session = current()
        if session is not None:
            session.enter(self)  # it was called, although it has no state to keep
        return xs

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p:g}"


class Dropout2d(Dropout):
    """Drops whole channels for the whole sequence.

    Args:
        p: probability of a channel to be dropped.

    Shape: (T, B, C, *), kept.
    """

    def mask_shape(self, x: Tensor) -> tuple[int, ...]:
        """One value a sample and channel."""
        return (*x.shape[:2], *(1 for _ in x.shape[2:]))
