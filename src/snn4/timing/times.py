"""Spike times (B, N, K): what they must be, the order of events, and the grid (T, B, N) that the rest of snn4 uses."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import NotFiniteError, OptionError, ShapeError
from snn4.timing.types import Events

__all__ = ["check_times", "check_window", "events", "from_grid", "render"]


def check_window(owner: str, window: float) -> float:
    """The end of the window as a number.

    Raises:
        OptionError: it is not a finite number > 0.
    """
    if isinstance(window, bool) or not isinstance(window, (int, float)) or not 0 < window < math.inf:
        raise OptionError(f"{owner} got window={window!r}", "a finite number > 0", "Write window=1.0.")
    return float(window)


def check_times(owner: str, times: Float[Tensor, "B *features K"], features: tuple[int | None, ...] = (None,)) -> None:
    """Refuse what are not spike times.

    Simultaneous spikes are allowed, of one neuron as well: they add up. So is silence, and a time after the window,
    which is never reached.

    Args:
        owner: who asks, for the message.
        times: shape (B, *features, K), ascending along K, `inf` for never.
        features: the axes between B and K, `None` where any length will do.

    Raises:
        ShapeError: wrong shape or not floating point.
        NotFiniteError: a time is NaN.
        OptionError: a time is negative, or a neuron's times do not ascend.

    Example:
        >>> check_times("LIF", torch.tensor([[[0.2, 0.1]]]))
        Traceback (most recent call last):
        snn4.core.errors.OptionError: LIF got times that do not ascend along K, first at sample 0, neuron (0,): ...
    """
    shape = tuple(times.shape)
    fits = len(shape) == len(features) + 2 and all(
        want in (None, have) for want, have in zip(features, shape[1:-1], strict=True)
    )
    if not fits:
        names = ("N",) if len(features) == 1 else ("C", "H", "W")[: len(features)]
        axes = ", ".join(name if want is None else str(want) for name, want in zip(names, features, strict=True))
        raise ShapeError(
            f"{owner} got spike times of shape {shape}",
            f"(B, {axes}, K)",
            "K is the number of spikes a neuron has room for; times.unsqueeze(-1) adds it for one spike a neuron.",
        )
    if 0 in shape[1:]:
        raise ShapeError(f"{owner} got spike times of shape {shape}", "at least 1 neuron and room for 1 spike")
    if not times.is_floating_point():
        raise ShapeError(f"{owner} got spike times of dtype {times.dtype}", "a floating-point dtype", "inf is never.")
    if bool(times.isnan().any()):
        where = tuple(times.isnan().nonzero()[0].tolist())
        raise NotFiniteError(f"{owner} got a spike time that is NaN, first at {where}", "a time, or inf for never")
    if bool((times < 0).any()):
        where = tuple((times < 0).nonzero()[0].tolist())
        raise OptionError(
            f"{owner} got a negative spike time, first at {where}",
            "times >= 0, or inf for never",
            "The window begins at 0: shift all times by the earliest.",
        )
    falls = times[..., 1:] < times[..., :-1]
    if bool(falls.any()):
        sample, *neuron, _ = falls.nonzero()[0].tolist()
        raise OptionError(
            f"{owner} got times that do not ascend along K, first at sample {sample}, neuron {tuple(neuron)}",
            "ascending times, inf at the end",
            "Sort them: times.sort(-1).values.",
        )


def events(times: Float[Tensor, "B N K"], window: float = math.inf) -> Events:
    """All spikes of a sample in one row, in the order of time. Differentiable with respect to the times.

    Args:
        times: `inf` for never.
        window: columns in which no sample has a spike before the end of the window are left out.

    Shape: (B, N, K) -> three of (B, E), E at least 1.

    Example:
        >>> t, source, _ = events(torch.tensor([[[0.3, torch.inf], [0.1, 0.2]]]))
        >>> t, source
        (tensor([[0.1000, 0.2000, 0.3000]]), tensor([[1, 1, 0]]))
    """
    flat = times.flatten(1)
    order = flat.detach().argsort(dim=1, stable=True)
    inside = (flat.detach() < min(window, math.inf)).sum(1)
    order = order[:, : max(1, int(inside.max()) if inside.numel() else 0)]
    return Events(flat.gather(1, order), order.div(times.shape[-1], rounding_mode="floor"), order)


def render(times: Float[Tensor, "B N K"], steps: int, window: float) -> Float[Tensor, "T B N"]:
    """Spike times as a grid of counts: step n holds what lies in [n, n + 1) window / steps.

    Spikes of one neuron that share a step add up; a spike at or after the window's end is not seen.

    Raises:
        OptionError: `steps` < 1 or a window that is not positive.

    Example:
        >>> render(torch.tensor([[[0.1, 0.9, torch.inf]]]), steps=4, window=1.0).flatten()
        tensor([1., 0., 0., 1.])
    """
    check_times("render", times)
    window = check_window("render", window)
    if steps < 1:
        raise OptionError(f"render got steps={steps}", "steps >= 1")
    times = times.detach()
    inside = times < window
    step = (torch.where(inside, times, 0.0) * (steps / window)).long().clamp(max=steps - 1)
    batch, neurons, _ = times.shape
    grid = times.new_zeros(batch, neurons, steps)
    return grid.scatter_add(2, step, inside.to(times.dtype)).permute(2, 0, 1)


def from_grid(grid: Float[Tensor, "T B N"], window: float) -> Float[Tensor, "B N K"]:
    """Spike times of a grid of counts: a spike in step n happened in the middle of that step.

    A count of 2 gives two spikes at that time. K is the largest number of spikes of any neuron, at least 1.

    Raises:
        ShapeError: the grid is not (T, B, N).
        OptionError: a count is negative or no whole number.

    Example:
        >>> from_grid(torch.tensor([1.0, 0.0, 0.0, 1.0]).reshape(4, 1, 1), window=1.0)
        tensor([[[0.1250, 0.8750]]])
    """
    window = check_window("from_grid", window)
    if grid.ndim != 3 or grid.shape[0] == 0:
        raise ShapeError(f"from_grid got a grid of shape {tuple(grid.shape)}", "(T, B, N), T >= 1")
    if bool((grid < 0).any()) or not bool((grid == grid.round()).all()):
        raise OptionError("from_grid got counts that are negative or fractions", "whole numbers >= 0")
    counts = grid.permute(1, 2, 0).long()
    room = max(1, int(counts.sum(-1).max()) if counts.numel() else 0)
    centres = (torch.arange(len(grid), device=grid.device, dtype=grid.dtype) + 0.5) * (window / len(grid))
    # the k-th spike lies in the first step by which more than k spikes have happened
    wanted = torch.arange(room, device=grid.device).expand(*counts.shape[:2], room).contiguous()
    step = torch.searchsorted(counts.cumsum(-1), wanted, right=True)
    return torch.where(step < len(grid), centres[step.clamp(max=len(grid) - 1)], math.inf)
