"""Pixel by pixel: an image as a sequence with one pixel a step, in reading order or in an order fixed by a seed.

    y[t] = x[order[t]]

Sequential MNIST has 784 steps of one value; permuted MNIST asks for longer memories, since neighbours lie far apart.

Paper: [le2015irnn]
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from snn4.core.errors import OptionError, ShapeError
from snn4.data.encoders.encoder import check_input, check_steps
from snn4.data.split import order

__all__ = ["Pixels"]


@dataclass(frozen=True)
class Pixels:
    """One pixel a step, all channels at once.

    Args:
        steps: pixels of an image, 784 for MNIST.
        permutation: a seed, for an order that is the same for all images, at every call; `None` for reading order.

    Shape:
        x (B, C, H, W), any finite numbers, H W = steps; (steps, B, C).

    Raises:
        OptionError: no step, or a negative seed.
        ShapeError: x is not floating point, or has another number of pixels.
        NotFiniteError: x has NaN or infinity.

    Example:
        >>> import torch
        >>> Pixels(steps=4)(torch.tensor([[[[0.1, 0.2], [0.3, 0.4]]]])).flatten()
        tensor([0.1000, 0.2000, 0.3000, 0.4000])
    """

    steps: int
    permutation: int | None = None

    def __post_init__(self) -> None:
        check_steps("Pixels", self.steps)
        if self.permutation is not None and self.permutation < 0:
            raise OptionError(f"Pixels got permutation = {self.permutation}", "a seed that is not negative, or None")

    def __call__(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """The sequence of a batch."""
        check_input("Pixels", x)
        if x.dim() != 4 or x.shape[2] * x.shape[3] != self.steps:
            raise ShapeError(f"Pixels got x of shape {tuple(x.shape)}", f"(B, C, H, W) with H W = {self.steps}")
        sequence = x.flatten(2).permute(2, 0, 1)
        return sequence if self.permutation is None else sequence[self.places().to(x.device)]

    def places(self) -> Tensor:
        """Which pixel each step shows, numbered in reading order. Shape: (steps,), int64."""
        if self.permutation is None:
            return torch.arange(self.steps)
        return order(self.steps, self.permutation, 0)

    def decode(self, sequence: Tensor) -> Tensor:
        """The pixels again, in reading order: (steps, B, C) to (B, C, steps)."""
        return sequence[self.places().argsort().to(sequence.device)].permute(1, 2, 0)
