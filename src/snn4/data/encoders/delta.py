"""Delta modulation: an event where a signal has moved by a threshold, as event cameras and level-crossing sensors do.

    n[t] = trunc((x[t] - r[t-1]) / threshold)         whole thresholds moved since the last event
    y[t] = (max(n[t], 0), max(-n[t], 0))              events up, events down
    r[t] = r[t-1] + threshold n[t],    r[-1] = x[0]   what a receiver has reconstructed

Paper: [petro2020selection], as "step-forward" encoding.
Differs from the paper: a step may send several events, so that the reconstruction follows any jump; `limit=1` gives the
paper's one event a step. A move of exactly one threshold already makes an event.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from snn4.core.errors import OptionError, ShapeError
from snn4.data.encoders.encoder import check_input, check_steps

__all__ = ["Delta"]


@dataclass(frozen=True)
class Delta:
    """Up and down events of a sequence; the channels double, all "up" channels before all "down" channels.

    The reconstruction is less than one threshold away from the signal at every step, if no step needs more than `limit`
    events. Where one does, the rest follows in the next steps. The first step is always silent: it sets the reference.

    Args:
        steps: length of the sequences that it takes and gives.
        threshold: size of a move that makes an event, above 0.
        limit: most events a channel sends in a step; 1 makes binary spikes. `None` for any number.

    Shape:
        x (steps, B, C, *F), any finite numbers; (steps, B, 2 C, *F), whole numbers from 0 to `limit`.

    Raises:
        OptionError: no step, a threshold that is not above 0, a limit below 1.
        ShapeError: x is not floating point, has no feature axis, or another number of steps.
        NotFiniteError: x has NaN or infinity.

    Example:
        >>> x = torch.tensor([0.0, 0.3, 0.9, 0.8, 0.2]).reshape(5, 1, 1)
        >>> Delta(steps=5, threshold=0.25)(x).squeeze(1).T
        tensor([[0., 1., 2., 0., 0.],
                [0., 0., 0., 0., 2.]])
    """

    steps: int
    threshold: float
    limit: int | None = None

    def __post_init__(self) -> None:
        check_steps("Delta", self.steps)
        if not self.threshold > 0:
            raise OptionError(f"Delta got threshold = {self.threshold}", "a number above 0")
        if self.limit is not None and self.limit < 1:
            raise OptionError(f"Delta got limit = {self.limit}", "at least one event a step, or None")

    def __call__(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """The events of a batch of sequences."""
        check_input("Delta", x)
        if x.dim() < 3 or len(x) != self.steps:
            raise ShapeError(
                f"Delta got x of shape {tuple(x.shape)}",
                f"a sequence ({self.steps}, B, C, *features)",
                "Delta encodes sequences that have a time axis already.",
            )
        # in units of the threshold, where the reference is a whole number and gathers no rounding error
        height = (x - x[0]) / self.threshold
        reference = torch.zeros_like(height[0])
        moves: list[Tensor] = []
        for level in height:
            move = (level - reference).trunc()
            if self.limit is not None:
                move = move.clamp(-self.limit, self.limit)
            reference = reference + move
            moves.append(move)
        moved = torch.stack(moves)
        return torch.cat((torch.where(moved > 0, moved, 0), torch.where(moved < 0, -moved, 0)), dim=2)

    def decode(self, events: Tensor, first: Tensor) -> Tensor:
        """The reconstructed signal, (steps, B, C, *F), from the events and the first values (B, C, *F)."""
        up, down = events.chunk(2, dim=2)
        return first + self.threshold * (up - down).cumsum(0)
