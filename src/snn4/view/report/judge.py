"""What the numbers allow to say: who is ahead, by how much, and whether the data can tell.

    p~ = (x + 1) / (n + 2)                                      x of n samples right
    95 % interval of p1 - p2:   p~1 - p~2 +- 1.96 sqrt(p~1 (1 - p~1) / (n + 2) + p~2 (1 - p~2) / (n + 2))

This is the interval of Agresti and Caffo (2000). It treats the two networks as tested on different samples; tested on
the same ones, as here, the true interval is mostly narrower, so that a difference called clear is clear.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from snn4.view.report.run_folder import Model, Range, Run

__all__ = [
    "Accuracy",
    "Energy",
    "Verdict",
    "accuracy",
    "energy",
    "half_width",
    "like_for_like",
    "needed_samples",
    "opponent",
    "position",
    "slowdown",
]

Verdict = Literal["lower", "higher", "overlap"]


@dataclass(frozen=True)
class Accuracy:
    """The SNN against one opponent.

    Args:
        difference: SNN minus opponent, as a share.
        low: lower end of its 95 % interval; `None` without a number of test samples.
        high: upper end.
    """

    difference: float
    low: float | None
    high: float | None

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Energy:
    """The SNN's ranges against one opponent's: with and without memory, and both together.

    Args:
        compute: arithmetic alone; `None` where a range is missing.
        with_memory: with memory traffic.
    """

    compute: Verdict | None
    with_memory: Verdict | None

    @property
    def verdict(self) -> Verdict | Literal["contradict"] | None:
        """One word for all: `overlap` as soon as one pair of ranges overlaps."""
        found: list[Verdict] = [v for v in (self.compute, self.with_memory) if v is not None]
        if not found:
            return None
        if "overlap" in found:
            return "overlap"
        if found[0] != found[-1]:
            return "contradict"
        return found[0]


def opponent(run: Run) -> Model | None:
    """Whom the SNN is judged against: the quantised ANN, else the float one."""
    return run.models.get("ann_quantised") or run.models.get("ann")


def accuracy(run: Run, other: Model) -> Accuracy | None:
    """Compare test accuracies.

    Example:
        >>> half_width(0.9, 100) > half_width(0.9, 10_000)
        True
    """
    mine, theirs = run.models["snn"].test_accuracy, other.test_accuracy
    if mine is None or theirs is None:
        return None
    if not run.test:
        return Accuracy(mine - theirs, None, None)
    n = run.test + 2
    p, q = ((share * run.test + 1) / n for share in (mine, theirs))
    half = 1.96 * math.sqrt(p * (1 - p) / n + q * (1 - q) / n)
    return Accuracy(mine - theirs, p - q - half, p - q + half)


def half_width(share: float, samples: int) -> float:
    """Half the 95 % interval of one accuracy (Agresti and Coull, with two successes and two failures added).

    Example:
        >>> round(half_width(0.95, 1000), 4)
        0.0137
    """
    p = (share * samples + 2) / (samples + 4)
    return 1.96 * math.sqrt(p * (1 - p) / (samples + 4))


def needed_samples(share: float, other: float) -> int:
    """How many test samples make a difference like this one larger than its 95 % interval.

        n = (1.96 / (p - q))^2 (p (1 - p) + q (1 - q))

    Example:
        >>> needed_samples(0.97, 0.96)
        2594
    """
    return math.ceil((1.96 / (share - other)) ** 2 * (share * (1 - share) + other * (1 - other)))


def position(mine: Range | None, theirs: Range | None) -> Verdict | None:
    """Where one range lies against another; ranges that touch overlap.

    Example:
        >>> position(Range(1, 2), Range(3, 4)), position(Range(1, 3), Range(2, 4)), position(Range(5, 6), Range(3, 4))
        ('lower', 'overlap', 'higher')
    """
    if mine is None or theirs is None:
        return None
    if mine.high < theirs.low:
        return "lower"
    return "higher" if mine.low > theirs.high else "overlap"


def energy(run: Run, other: Model) -> Energy:
    """Compare modelled energies."""
    snn = run.models["snn"]
    return Energy(position(snn.compute, other.compute), position(snn.with_memory, other.with_memory))


def like_for_like(run: Run, other: Model) -> tuple[int, int]:
    """How many of the energy models that were applied to both put the SNN below, and how many there are.

    Models are named after the number format too, so that this compares spikes and not formats.
    """
    theirs = {model.name: model.pj for model in other.energy_models}
    pairs = [(model.pj, theirs.get(model.name)) for model in run.models["snn"].energy_models]
    verdicts = [v for v in (position(a, b) for a, b in pairs) if v is not None]
    return verdicts.count("lower"), len(verdicts)


def slowdown(run: Run, other: Model) -> float | None:
    """How many times as long as its opponent the SNN takes for one sample."""
    mine, theirs = run.models["snn"].latency_ms, other.latency_ms
    return mine / theirs if mine and theirs and mine > 0 and theirs > 0 else None
