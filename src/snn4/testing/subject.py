"""What the laws of a neuron look at: a neuron, and inputs that make it fire."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from snn4.through_time import Neuron, run

__all__ = ["Subject"]


@dataclass(frozen=True)
class Subject:
    """A neuron under judgement.

    Args:
        original: the neuron as the user gave it; it is never called.
        features: the shape of one sample at one step.
        steps: T.
        batch: B.
        scale: standard deviation of the inputs.
        device: where it is judged.
        seed: of the inputs.
    """

    original: Neuron
    features: tuple[int, ...]
    steps: int
    batch: int
    scale: float
    device: torch.device
    seed: int

    def neuron(self, dtype: torch.dtype = torch.float32) -> Neuron:
        """A fresh copy in evaluation mode, so that what one law finds does not touch the next."""
        return copy.deepcopy(self.original).to(self.device, dtype).eval()

    def inputs(self, dtype: torch.dtype = torch.float32, *, salt: int = 0, steps: int | None = None) -> Tensor:
        """Inputs that are normal around half a standard deviation. Shape (T, B, *features)."""
        draw = torch.Generator().manual_seed(self.seed + 7919 * salt)
        shape = (steps or self.steps, self.batch, *self.features)
        xs = (torch.randn(shape, generator=draw, dtype=torch.float64) + 0.5) * self.scale
        return xs.to(self.device, dtype)

    def weights(self, ys: Tensor) -> Tensor:
        """Numbers to weigh outputs with, so that a loss sees each of them."""
        draw = torch.Generator().manual_seed(self.seed + 1)
        return torch.randn(ys.shape, generator=draw, dtype=torch.float64).to(ys)

    @staticmethod
    def ran(neuron: Neuron, xs: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Outputs and last state, as named tuple, of one `run`."""
        ys, states = run(neuron, xs, state)
        return ys, states[""]
