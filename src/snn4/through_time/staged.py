"""Neurons whose step is two elementwise ones with a sum between: each runs as a kernel over the whole sequence.

    d = first(x) over all steps;   z = between(d);   y = then(z) over all steps

Nothing goes back from the second to the first, so that the order of steps and stages makes no difference, neither for
the outputs nor for their gradient. A neuron says that it is such a one with `Neuron.stages`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from snn4.through_time.loop import reference_loop

if TYPE_CHECKING:
    from snn4.through_time.neuron import Neuron
    from snn4.through_time.registry import Kernel

__all__ = ["Staged", "Stages", "staged"]

Choose = Callable[..., tuple["Kernel | None", Any]]


class Stages(NamedTuple):
    """What a step consists of. The fields of the neuron's state are those of `first`, then those of `then`.

    Args:
        first: an elementwise neuron on the input.
        between: what the second one sees of its outputs. Shape (N, *features) -> (N, *out), sample by sample.
        then: an elementwise neuron on that.
    """

    first: Neuron
    between: Callable[[Tensor], Tensor]
    then: Neuron


class Staged:
    """A kernel for each stage; where the second has none, its loop.

    Args:
        stages: of the neuron.
        kernel: of the first.
        choose: finds the second's.
    """

    def __init__(self, stages: Stages, kernel: Kernel, choose: Choose) -> None:
        self._stages, self._kernel, self._choose = stages, kernel, choose

    @property
    def name(self) -> str:
        """That of the first stage."""
        return f"{self._kernel.name}, in two stages"

    def refuses(self, neuron: Neuron, xs: Tensor, state: Any) -> str | None:
        """Nothing."""
        return None

    def __call__(self, neuron: Neuron, xs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Outputs and last state."""
        first, between, then = self._stages
        fields = len(first.State._fields)
        ds, before = self._kernel(first, xs, first.State(*state[:fields]))
        zs = between(ds.flatten(0, 1)).unflatten(0, ds.shape[:2])
        second = then.State(*state[fields:])
        kernel, _ = self._choose(then, zs, second)
        ys, after = reference_loop(then, zs, second) if kernel is None else kernel(then, zs, second)
        return ys, neuron.State(*before, *after)


def staged(neuron: Neuron, xs: Tensor, state: Any, choose: Choose) -> Staged | None:
    """The kernels of a neuron's stages, where it has stages and a kernel takes the first."""
    # what a stage hands on would be rounded under autocast, and nothing is in the loop
    if torch.compiler.is_compiling() or xs.dtype not in (torch.float32, torch.float64):
        return None
    stages = neuron.stages()
    if stages is None:
        return None
    first = stages.first
    kernel, _ = choose(first, xs, first.State(*state[: len(first.State._fields)]))
    return None if kernel is None else Staged(stages, kernel, choose)
