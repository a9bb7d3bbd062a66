r"""Values and event streams as exact spike times.

    t = t_in (1 - x)                         x in [0, 1];   x <= threshold never fires

Bright is early, and what is not there says nothing: a black pixel costs no event. `t_in` is the time of the faintest
value; what is left of the window after it belongs to the layers behind.

Paper: [thorpe2001spike]
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import NotFiniteError, OptionError, ShapeError

__all__ = ["DropSpikes", "Framed", "Latency", "from_events"]


class Latency(torch.nn.Module):
    """One spike a value, the earlier the larger it is; a value at or below `threshold` stays silent.

    Args:
        t_in: the time of the faintest value.
        threshold: the largest value that is silent. A negative one lets zeros fire, at `t_in`.
        invert: large values late, `t = t_in x`, as the Yin-Yang task is usually given.
        bias: the time of one more spike that every sample gets; `None` for none.
        flatten: `False` keeps the axes of images, for convolutions; there is no bias then.

    Shape: (B, *features) -> (B, N, 1), with N the number of features, and one more for the bias; not flattened,
        (B, *features, 1).

    Raises:
        OptionError: `t_in` is not above 0, or the bias is negative.
        ShapeError: no features, or no floating point.
        NotFiniteError: NaN or infinity.

    Example:
        >>> Latency(t_in=0.8)(torch.tensor([[1.0, 0.5, 0.0]])).flatten()
        tensor([0.0000, 0.4000,    inf])
    """

    def __init__(
        self,
        t_in: float = 1.0,
        threshold: float = 0.0,
        *,
        invert: bool = False,
        bias: float | None = None,
        flatten: bool = True,
    ) -> None:
        super().__init__()
        if not 0 < t_in < math.inf:
            raise OptionError(f"Latency got t_in={t_in!r}", "t_in > 0", "0.8 of the window is a good start.")
        if bias is not None and not 0 <= bias < math.inf:
            raise OptionError(f"Latency got bias={bias!r}", "a time >= 0, or None")
        if bias is not None and not flatten:
            raise OptionError("Latency got a bias and flatten=False", "one of them", "An image has no place for it.")
        self.t_in, self.threshold, self.invert, self.bias, self.flatten = t_in, threshold, invert, bias, flatten

    def forward(self, x: Float[Tensor, "B *features"]) -> Float[Tensor, "B *N 1"]:
        """The spike times of a batch."""
        if x.ndim < 2 or not x.is_floating_point():
            raise ShapeError(
                f"Latency got x of shape {tuple(x.shape)} and dtype {x.dtype}",
                "(B, *features) of floating point, values from 0 to 1",
                "snn4.data.unit(images) makes them so.",
            )
        flat = x.flatten(1) if self.flatten else x
        if not bool(((flat >= 0) & (flat <= 1)).all()):
            if not bool(torch.isfinite(flat).all()):
                raise NotFiniteError("Latency got NaN or infinity", "values from 0 to 1", "Look at the data.")
            low, high = flat.min().item(), flat.max().item()
            raise ShapeError(
                f"Latency got values from {low:g} to {high:g}", "values from 0 to 1", "Scale them: snn4.data.unit(x)."
            )
        times = self.t_in * (flat if self.invert else 1 - flat)
        times = times.masked_fill(flat <= self.threshold, torch.inf)
        if self.bias is not None:
            times = torch.cat([times, times.new_full((len(times), 1), self.bias)], 1)
        return times[..., None]

    def extra_repr(self) -> str:
        """Its settings."""
        more = f", bias={self.bias:g}" if self.bias is not None else ""
        return f"t_in={self.t_in:g}, threshold={self.threshold:g}{', invert=True' * self.invert}{more}"


def from_events(
    events: npt.NDArray[Any],
    shape: tuple[int, ...],
    *,
    duration: float,
    window: float = 1.0,
    max_spikes: int = 8,
    start: int | None = None,
) -> tuple[Float[Tensor, "N K"], int]:
    """The spike times of one event-camera recording, one input neuron a pixel and polarity.

    Times in microseconds become times in the window: `(t - start) / duration * window`. A pixel keeps its first
    `max_spikes` events; how many were dropped by that is returned, and never silent.

    Args:
        events: structured array with the fields t (microseconds), x, y and p (0 or 1).
        shape: (polarities, height, width).
        duration: microseconds that the window stands for; what comes later is left out, and not counted as dropped.
        window: length of the window.
        max_spikes: K.
        start: the time 0, in microseconds; that of the first event where `None`.

    Returns:
        times (N, K), ascending and padded with infinity, with N = polarities x height x width; and the events dropped.

    Raises:
        OptionError: an argument out of range.
        ShapeError: a field is missing, or an event lies outside of the sensor.

    Example:
        >>> kind = [("t", "i8"), ("x", "i2"), ("y", "i2"), ("p", "i1")]
        >>> recording = np.array([(0, 1, 0, 0), (500, 1, 0, 0), (250, 0, 0, 0)], dtype=kind)
        >>> times, dropped = from_events(recording, (1, 1, 2), duration=1000, max_spikes=2)
        >>> times.tolist(), dropped
        ([[0.25, inf], [0.0, 0.5]], 0)
    """
    if not (duration > 0 and window > 0 and max_spikes >= 1):
        raise OptionError(
            f"from_events got duration={duration}, window={window}, max_spikes={max_spikes}",
            "duration > 0, window > 0 and max_spikes >= 1",
        )
    missing = {"t", "x", "y", "p"} - set(events.dtype.names or ())
    if missing or len(shape) != 3:
        raise ShapeError(
            f"from_events got events with the fields {events.dtype.names} and shape={shape}",
            "the fields t, x, y and p, and (polarities, height, width)",
            "Read the recording with a reader of snn4.data.",
        )
    polarities, height, width = shape
    inside = (events["p"] >= 0) & (events["p"] < polarities) & (events["x"] >= 0) & (events["x"] < width)
    inside &= (events["y"] >= 0) & (events["y"] < height)
    if not bool(inside.all()):
        raise ShapeError(
            f"from_events got {int((~inside).sum())} events outside of the sensor", f"events within {shape}"
        )
    t = events["t"].astype(np.int64)
    if start is None:
        start = int(t.min()) if len(t) else 0
    within = (t >= start) & (t <= start + duration)
    t = t[within] - start
    source = (events["p"].astype(np.int64) * height + events["y"]) * width + events["x"]
    source = source[within]
    order = np.lexsort((t, source))
    t, source = t[order], source[order]
    # the number of an event among those of its own pixel
    first = np.searchsorted(source, source, side="left")
    rank = np.arange(len(source)) - first
    kept = rank < max_spikes
    times = np.full((polarities * height * width, max_spikes), np.inf, dtype=np.float32)
    times[source[kept], rank[kept]] = t[kept] / duration * window
    return torch.from_numpy(times), int((~kept).sum())


class DropSpikes(torch.nn.Module):
    """In training, each spike is lost with probability p; the others stay where they are.

    Nothing is scaled up: a time has no size. What comes later moves up, so that the order along K is kept.

    Args:
        p: probability of a spike to be lost.

    Shape: (B, *N, K), kept.

    Raises:
        OptionError: p outside of [0, 1).

    Example:
        >>> DropSpikes(0.5).eval()(torch.tensor([[[0.1, 0.2]]]))
        tensor([[[0.1000, 0.2000]]])
    """

    def __init__(self, p: float = 0.2) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise OptionError(f"DropSpikes got p={p!r}", "a probability in [0, 1)")
        self.p = p

    def forward(self, times: Float[Tensor, "B *N K"]) -> Float[Tensor, "B *N K"]:
        """Fewer spikes in training, all of them in eval mode."""
        if not self.training or not self.p:
            return times
        lost = torch.rand(times.shape, device=times.device) < self.p
        left = times.masked_fill(lost, torch.inf)
        return left if times.shape[-1] == 1 else left.sort(-1).values

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p:g}"


class Framed(torch.nn.Module):
    """Lets a network of spike times stand where one over time steps is expected: one frame in, one answer out.

    Training, evaluation and profiling give (T, B, *features) and take (T, B, C). Spike times have no steps: T is 1
    here, and time runs inside the one call.

    Args:
        body: from (B, *features) to (B, C).

    Shape: (1, B, *features) -> (1, B, C).

    Raises:
        ShapeError: more than one frame.

    Example:
        >>> Framed(torch.nn.Flatten())(torch.zeros(1, 3, 2, 2)).shape
        torch.Size([1, 3, 4])
    """

    def __init__(self, body: torch.nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Float[Tensor, "1 B *features"]) -> Float[Tensor, "1 B C"]:
        """The answer to one frame."""
        if x.ndim < 3 or x.shape[0] != 1:
            raise ShapeError(
                f"Framed got x of shape {tuple(x.shape)}",
                "(1, B, *features): spike times have no time steps",
                "Give the values once: x[None].",
            )
        return self.body(x[0])[None]
