"""The adding problem: of a long sequence of numbers, add the two that are marked.

    x[t] = (u[t], m[t]);    u[t] uniform in [0, 1);    m[t] = 1 at one step of either half, else 0
    sum = sum_t u[t] m[t];  wanted at the end: which of `levels` equal parts of [0, 2) it lies in

Paper: [hochreiter1997lstm], section 5.4, in the form of [le2015irnn].
Differs from the papers: the answer is a class, so that the task is trained and judged like the others; the sum itself
is `split.inputs.prod(-1).sum(1)`.
"""

from __future__ import annotations

import torch
from torch import Generator

from snn4.core.errors import OptionError
from snn4.data.dataset import Split

__all__ = ["adding"]


def adding(samples: int, steps: int, generator: Generator, *, levels: int = 10) -> Split:
    """Fresh samples of the adding problem.

    The sum of two uniform numbers lies near 1 more often than not: always answering a level in the middle is right for
    about (2 levels - 2) / levels^2 of the samples where `levels` is even, 0.18 for 10.

    Args:
        samples: how many.
        steps: length of a sequence.
        generator: of the random numbers.
        levels: classes that the sum is told apart by.

    Returns:
        Inputs (samples, steps, 2), float32: the numbers and the marks. Targets (samples,).

    Raises:
        OptionError: no sample, fewer than two steps, or a single level.

    Example:
        >>> split = adding(100, 50, torch.Generator().manual_seed(0))
        >>> split.inputs[..., 1].sum(1).unique().tolist()
        [2.0]
    """
    if samples < 1 or steps < 2 or levels < 2:
        raise OptionError(
            f"adding got samples={samples}, steps={steps}, levels={levels}",
            "at least one sample, two steps and two levels",
        )
    device, half = generator.device, steps // 2
    numbers = torch.rand(samples, steps, generator=generator, device=device)
    marks = torch.zeros_like(numbers)
    for low, high in ((0, half), (half, steps)):
        place = torch.randint(low, high, (samples, 1), generator=generator, device=device)
        marks.scatter_(1, place, 1.0)
    total = (numbers * marks).sum(1)
    # a sum of float32 numbers below 1 may round up to 2
    targets = (total * (levels / 2)).long().clamp(max=levels - 1)
    return Split(torch.stack([numbers, marks], -1), targets)
