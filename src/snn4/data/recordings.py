"""Recordings of events: what an event camera, a cochlea or a radar sends, before any clock cuts it into steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn4.core.errors import OptionError, ShapeError
from snn4.data.dataset import Split, places

__all__ = ["EVENT", "Recordings"]

EVENT = np.dtype([("t", np.int64), ("x", np.uint16), ("y", np.uint16), ("p", np.uint8)])
# events that are counted at once: bounds the memory of binning
_BLOCK = 1 << 24


@dataclass(frozen=True, eq=False)
class Recordings:
    """Events of many recordings, one recording behind the other, sorted by time within each.

    Args:
        t: microseconds since the recording began.
        address: which of the `prod(shape)` places sent it, counted as in a contiguous array of that shape.
        offsets: recording k is `offsets[k]:offsets[k + 1]`.
        targets: the class of each recording.
        shape: of the sensor: (channels,), or (polarities, height, width).
        group: who or what was recorded, where a split must not mix it; a number a recording, or None.

    Shape:
        t, address: (E,), integers. offsets: (N + 1,). targets, group: (N,).

    Raises:
        ShapeError: the arrays do not belong together, an address lies outside the sensor, or time runs backwards.

    Example:
        >>> two = Recordings(
        ...     t=np.array([0, 900, 2100, 50]), address=np.array([1, 1, 0, 2]), offsets=np.array([0, 3, 4]),
        ...     targets=np.array([7, 8]), shape=(3,),
        ... )
        >>> two
        Recordings(2 recordings, 4 events, sensor (3,), up to 2.1 ms)
        >>> two.binned(steps=2, dt=1000).inputs[0].tolist()
        [[0, 2, 0], [0, 0, 0]]
    """

    t: NDArray[np.integer]
    address: NDArray[np.integer]
    offsets: NDArray[np.integer]
    targets: NDArray[np.integer]
    shape: tuple[int, ...]
    group: NDArray[np.integer] | None = None

    def __post_init__(self) -> None:
        count = len(self.offsets) - 1
        if count < 0 or len(self.targets) != count or (self.group is not None and len(self.group) != count):
            raise ShapeError(
                f"Recordings got {len(self.offsets)} offsets and {len(self.targets)} targets",
                "one target (and group) a recording, and one offset more",
            )
        ends = (int(self.offsets[0]), int(self.offsets[-1]))
        if len(self.t) != len(self.address) or ends != (0, len(self.t)) or bool((np.diff(self.offsets) < 0).any()):
            raise ShapeError(
                f"Recordings got {len(self.t)} times, {len(self.address)} addresses and offsets from {ends[0]} to "
                f"{ends[1]}",
                "one address a time, and offsets that rise from 0 to their number",
            )
        if len(self.t):
            low, high = int(self.address.min()), int(self.address.max())
            if low < 0 or high >= math.prod(self.shape):
                raise ShapeError(
                    f"Recordings got addresses from {low} to {high}",
                    f"0 to {math.prod(self.shape) - 1}, the places of a sensor of shape {self.shape}",
                )
            falls = self.t[1:] < self.t[:-1]
            # between two recordings time may fall
            starts = np.asarray(self.offsets[1:-1], dtype=np.int64)
            falls[starts[(starts > 0) & (starts < len(self.t))] - 1] = False
            if int(self.t.min()) < 0 or bool(falls.any()):
                raise ShapeError(
                    "Recordings got times that are negative or fall within a recording",
                    "microseconds since the recording began, sorted",
                    "Sort the events of each recording by time.",
                )

    def __len__(self) -> int:
        return len(self.targets)

    def __repr__(self) -> str:
        longest = int(self.t.max()) / 1000 if len(self.t) else 0.0
        return f"Recordings({len(self)} recordings, {len(self.t):,} events, sensor {self.shape}, up to {longest:g} ms)"

    def __getitem__(self, k: int) -> NDArray[np.void]:
        """The events of recording `k` as a structured array: t in microseconds, x, y, p. Shape (events,).

        A sensor with one axis has its channel in x, y = 0 and p = 1.
        """
        if not -len(self) <= k < len(self):
            raise IndexError(f"recording {k} of {len(self)}")
        k %= len(self)
        part = slice(int(self.offsets[k]), int(self.offsets[k + 1]))
        events = np.zeros(part.stop - part.start, EVENT)
        events["t"] = self.t[part]
        if len(self.shape) == 3:
            events["p"], events["y"], events["x"] = np.unravel_index(self.address[part], self.shape)
        else:
            events["x"], events["p"] = self.address[part], 1
        return events

    def take(self, indices: Tensor | Sequence[int] | Sequence[bool] | NDArray[Any]) -> Recordings:
        """The recordings at `indices`, in that order, copied; a mask, True or False for each, takes those of True.

        Raises:
            OptionError: numbers that are no places, or a mask of another length.
        """
        chosen = places(indices, len(self)).numpy()
        lengths = np.diff(self.offsets)[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        where = np.repeat(np.asarray(self.offsets)[chosen] - offsets[:-1], lengths) + np.arange(offsets[-1])
        group = None if self.group is None else self.group[chosen]
        return Recordings(self.t[where], self.address[where], offsets, self.targets[chosen], self.shape, group)

    def binned(self, steps: int, *, dt: float, pool: int = 1, values: Literal["counts", "binary"] = "counts") -> Split:
        """Cut time into steps and count events, a frame a step.

        Args:
            steps: frames a recording. What comes after the last one is left out: `late` tells how much.
            dt: length of a step in microseconds.
            pool: so many neighbouring channels become one (of an image: pool x pool pixels). A remainder at the edge
                becomes a smaller place of its own.
            values: `"counts"`, at most 255, or `"binary"`: whether there was any event.

        Returns:
            inputs of shape (N, steps, *shape'), uint8.

        Raises:
            OptionError: a number out of range.
        """
        wrong = steps < 1 or not dt > 0 or pool < 1 or values not in ("counts", "binary")
        if wrong:
            raise OptionError(
                f"binned got steps={steps}, dt={dt}, pool={pool}, values={values!r}",
                "steps >= 1, dt > 0 microseconds, pool >= 1 and values 'counts' or 'binary'",
            )
        pooled, where = self._pooled(pool)
        size = math.prod(pooled)
        frames = np.zeros((len(self), steps * size), np.uint8)
        # blocks of whole recordings, bounded by their events and by the counts that they need
        first = 0
        while first < len(self):
            last = first + 1
            most = max(1, _BLOCK // (steps * size))
            while last < len(self) and last - first < most and self.offsets[last + 1] - self.offsets[first] < _BLOCK:
                last += 1
            part = slice(int(self.offsets[first]), int(self.offsets[last]))
            step = (self.t[part] / dt).astype(np.int64)
            record = np.repeat(np.arange(last - first), np.diff(self.offsets[first : last + 1]))
            kept = step < steps
            place = (record[kept] * steps + step[kept]) * size + where[self.address[part][kept]]
            counts = np.bincount(place, minlength=(last - first) * steps * size)
            limit = 1 if values == "binary" else 255
            frames[first:last] = np.minimum(counts, limit).reshape(last - first, -1)
            first = last
        inputs = torch.from_numpy(frames).reshape(len(self), steps, *pooled)
        return Split(inputs, torch.from_numpy(np.asarray(self.targets, dtype=np.int64)))

    def late(self, steps: int, *, dt: float) -> float:
        """The share of events after the last of so many steps of `dt` microseconds."""
        return float((self.t >= steps * dt).mean()) if len(self.t) else 0.0

    def _pooled(self, pool: int) -> tuple[tuple[int, ...], NDArray[np.int64]]:
        """The shape after pooling, and the new address of each old one."""
        spatial = self.shape[-2:] if len(self.shape) == 3 else self.shape
        kept = self.shape[: len(self.shape) - len(spatial)]
        shape = (*kept, *(-(-n // pool) for n in spatial))
        places = np.indices(self.shape).reshape(len(self.shape), -1)
        places[len(kept) :] //= pool
        return shape, np.ravel_multi_index(tuple(places), shape).astype(np.int64)
