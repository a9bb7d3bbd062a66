"""How a sequence lies in memory. A kernel walks along memory, whatever the order of the axes."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from snn4.kernels import blocks

__all__ = ["Layout", "layout_of"]


@dataclass(frozen=True)
class Layout:
    """A dense step.

    Args:
        shape: of one step, (B, *features).
        strides: of one step.
        order: the feature axes, 0 the first, from the slowest to the fastest in memory.
        batch_first: whether each sample of the batch is one piece of memory.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    order: tuple[int, ...]
    batch_first: bool

    @functools.cached_property
    def count(self) -> int:
        """Elements of one step."""
        return math.prod(self.shape)

    @functools.cached_property
    def in_order(self) -> bool:
        """Whether the feature axes lie in memory as they are counted."""
        return self.order == tuple(range(len(self.order)))

    def empty(self, like: Tensor, steps: int | None = None, dtype: torch.dtype | None = None) -> Tensor:
        """Memory for one step, or a sequence of them; of the dtype of `like` where none is given."""
        dtype = like.dtype if dtype is None else dtype
        shape, strides = (
            (self.shape, self.strides) if steps is None else ((steps, *self.shape), (self.count, *self.strides))
        )
        if like.device.type == "cpu":
            return blocks.empty(shape, strides, dtype)
        return torch.empty_strided(shape, strides, dtype=dtype, device=like.device)

    def fits(self, step: Tensor) -> bool:
        """Whether one step lies in memory just so."""
        return all(
            n == 1 or mine == theirs for n, mine, theirs in zip(self.shape, self.strides, step.stride(), strict=True)
        )

    def arranged(self, step: Tensor) -> Tensor:
        """One step in this layout: itself, or a copy."""
        return step if self.fits(step) else self.empty(step).copy_(step)

    def arranged_sequence(self, steps: Tensor) -> Tensor:
        """A sequence in this layout, its steps one behind the other: itself, or a copy."""
        strides = steps.stride()
        dense = len(steps) == 1 or strides[0] == self.count
        if dense and (strides[1:] == self.strides or self.fits(steps[0])):
            return steps
        return self.empty(steps, len(steps)).copy_(steps)


def layout_of(xs: Tensor) -> Layout | None:
    """The layout of each step of `xs` (T, B, *features), or None where a step has holes or overlaps."""
    return _layout(tuple(xs.shape[1:]), xs.stride()[1:])


@functools.lru_cache(maxsize=1024)
def _layout(shape: tuple[int, ...], strides: tuple[int, ...]) -> Layout | None:
    axes = sorted((d for d in range(len(shape)) if shape[d] > 1), key=lambda d: -strides[d])
    size = 1
    for d in reversed(axes):
        if strides[d] != size:
            return None
        size *= shape[d]
    order = [d - 1 for d in axes if d]
    order += [d for d in range(len(shape) - 1) if d not in order]
    return Layout(shape, strides, tuple(order), not axes or axes[0] == 0 or shape[0] == 1)
