"""What an encoder is, and the checks that all of them share."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Generator, Tensor

from snn4.core.errors import NotFiniteError, OptionError, ShapeError

__all__ = ["Encoder", "check_input", "check_steps", "check_unit", "copies", "spikes_at"]


class Encoder(Protocol):
    """Turns values into a sequence: (B, *features) into (steps, B, *features').

    A whole number of steps, and no state: the same input and the same generator give the same sequence.
    """

    @property
    def steps(self) -> int:
        """Length of the sequence."""
        ...

    def __call__(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """The sequence of a batch. What draws nothing ignores `generator`; what draws hands `None` on to torch."""
        ...


def check_steps(name: str, steps: int) -> None:
    """Refuse a sequence without a step."""
    if steps < 1:
        raise OptionError(f"{name} got steps = {steps}", "at least one step")


def check_input(name: str, x: Tensor) -> None:
    """Refuse what is not a batch of finite floating-point numbers."""
    if not x.is_floating_point():
        raise ShapeError(
            f"{name} got x of type {str(x.dtype).removeprefix('torch.')}",
            "floating point",
            "snn4.data.unit(x) scales bytes to 0..1.",
        )
    if x.dim() < 1:
        raise ShapeError(f"{name} got a single number", "a batch, (B, *features)", "x.reshape(1, 1) makes it one.")
    if not bool(x.isfinite().all()):
        raise NotFiniteError(f"{name} got NaN or infinity in x", "finite numbers", "Look at where x comes from.")


def check_unit(name: str, x: Tensor, low: float = 0.0, high: float = 1.0) -> None:
    """Refuse what is not a batch of floating-point numbers between `low` and `high`."""
    if x.is_floating_point() and x.dim() and bool(((x >= low) & (x <= high)).all()):
        return
    check_input(name, x)
    raise OptionError(
        f"{name} got x between {x.min().item():g} and {x.max().item():g}",
        f"values between {low:g} and {high:g}",
        "Scale them first; snn4.data.unit(x) does it for bytes." if (low, high) == (0, 1) else "Clamp or scale them.",
    )


def copies(x: Tensor, steps: int) -> Tensor:
    """`x` seen `steps` times along a new first axis; a view, no memory."""
    return x.unsqueeze(0).expand(steps, *x.shape)


def spikes_at(times: Tensor, steps: int, dtype: torch.dtype) -> Tensor:
    """One spike at each whole-numbered time; none where the time is `steps` or later, as infinity is."""
    clock = torch.arange(steps, device=times.device, dtype=times.dtype)
    return (clock.reshape(-1, *[1] * times.dim()) == times).to(dtype)
