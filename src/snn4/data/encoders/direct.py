"""Direct encoding: the values themselves, at every step; the first layer of the network makes the spikes.

    y[t] = x

Paper: [rathi2023dietsnn].
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor

from snn4.data.encoders.encoder import check_input, check_steps, copies

__all__ = ["Direct", "repeat"]


@dataclass(frozen=True)
class Direct:
    """The same values at every step.

    The first weighted layer then multiplies, instead of adding where a spike came: it counts as a layer of
    multiplications in an energy estimate.

    Args:
        steps: length of the sequence.

    Shape:
        x (B, *F), any finite numbers; (steps, B, *F), a view of `x`.

    Raises:
        OptionError: no step.
        ShapeError: x is not floating point.
        NotFiniteError: x has NaN or infinity.

    Example:
        >>> import torch
        >>> Direct(steps=3)(torch.tensor([[0.5]])).flatten()
        tensor([0.5000, 0.5000, 0.5000])
    """

    steps: int

    def __post_init__(self) -> None:
        check_steps("Direct", self.steps)

    def __call__(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """The sequence of a batch."""
        check_input("Direct", x)
        return copies(x, self.steps)

    def decode(self, sequence: Tensor) -> Tensor:
        """The values again: the mean over time."""
        return sequence.mean(0)


def repeat(x: Tensor, steps: int) -> Tensor:
    """Give a batch a time axis: the same values at every step, (B, *F) to (steps, B, *F).

    Example:
        >>> import torch
        >>> repeat(torch.zeros(32, 10), steps=8).shape
        torch.Size([8, 32, 10])
    """
    return Direct(steps)(x)
