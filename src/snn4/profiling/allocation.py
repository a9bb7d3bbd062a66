"""How much memory a call needs at its peak, counted and not sampled."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch

from snn4.core.errors import OptionError
from snn4.kernels import pool

__all__ = ["peak_bytes"]

# MiB that the kernels' list of free outputs may hold, their usual amount
_POOL = 1024


def peak_bytes(call: Callable[[], Any], warm_up: int = 1) -> int:
    """The most that was allocated at once on the CPU during a call, beyond what was allocated before it.

    Every block that torch's allocator hands out or takes back is added up in the order of time, so that the same call
    gives the same number on a busy machine as on an idle one. What was there before counts for nothing: make the input
    first, and it is left out. Memory that a library takes for itself, behind torch's back, is not seen.

    Args:
        call: what is measured; what it returns is let go of within the count.
        warm_up: calls before the one that is measured: the first one compiles kernels and fills caches.

    Raises:
        OptionError: a negative number of calls.

    Example:
        >>> peak_bytes(lambda: torch.zeros(1000).sum())
        4004
    """
    if warm_up < 0:
        raise OptionError(f"peak_bytes got warm_up={warm_up}", "a number >= 0")
    for _ in range(warm_up):
        call()
    # a block of before that is freed during the call would be taken from the count
    gc.collect()
    # blocks of the kernels' own list would not pass through torch's allocator
    pool(0)
    try:
        with (
            _silent(),
            torch.profiler.profile(
                activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True, acc_events=True
            ) as found,
        ):
            call()
    finally:
        pool(_POOL)
    results = cast("Any", found.profiler).kineto_results
    blocks = [(e.start_ns(), e.nbytes()) for e in results.events() if e.name() == "[memory]"]
    now = peak = 0
    for _, size in sorted(blocks, key=lambda block: block[0]):
        now += size
        peak = max(peak, now)
    return peak


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep torch's profiler from telling stderr that it starts and stops; it reads the variable when it first runs."""
    if "KINETO_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["KINETO_LOG_LEVEL"] = "99"
    try:
        yield
    finally:
        del os.environ["KINETO_LOG_LEVEL"]
