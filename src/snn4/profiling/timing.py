"""Latency on this machine: the time of one call with one sample."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.profiling.measure import check_input

__all__ = ["Latency", "latency"]


@dataclass(frozen=True)
class Latency:
    """Times of single-sample calls on one machine, all steps of the sequence included.

    Args:
        milliseconds: each timed call, in order.
        threads: how many threads torch was allowed.
        device: where it ran.
        warm_up: calls before the first timed one.
    """

    milliseconds: tuple[float, ...]
    threads: int
    device: str
    warm_up: int

    @property
    def median_ms(self) -> float:
        """The middle one."""
        return statistics.median(self.milliseconds)

    @property
    def p95_ms(self) -> float:
        """The smallest time that at least 95 of 100 calls stay within."""
        ordered = sorted(self.milliseconds)
        return ordered[-(-95 * len(ordered) // 100) - 1]

    def to_dict(self) -> dict[str, object]:
        """Ready for JSON."""
        return {
            "latency_ms": self.median_ms,
            "latency_ms_p95": self.p95_ms,
            "latency_calls": len(self.milliseconds),
            "latency_threads": self.threads,
            "latency_device": self.device,
        }

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        return (
            f"{self.median_ms:.3g} ms a sample (p95 {self.p95_ms:.3g} ms, {len(self.milliseconds)} calls after "
            f"{self.warm_up} to warm up, {self.device}, {threads})"
        )


def latency(net: torch.nn.Module, x: Tensor, *, calls: int = 30, warm_up: int = 5) -> Latency:
    """Time calls with one sample each, in evaluation mode and without gradients.

    The network runs as it is, compiled parts included, on the threads that torch is allowed; set them with
    `torch.set_num_threads`. The numbers hold for this machine only, and say nothing about a neuromorphic chip.

    Args:
        net: the network.
        x: encoded samples, taken in turn. Shape (T, B, *features).
        calls: how many calls are timed.
        warm_up: how many calls go before.

    Raises:
        ShapeError: `x` has no time axis, no step or no sample.
        NotFiniteError: NaN or infinity in `x`.
        OptionError: no call.

    Example:
        >>> t = latency(torch.nn.Linear(3, 2), torch.randn(1, 4, 3), calls=3)
        >>> t.median_ms <= t.p95_ms, len(t.milliseconds)
        (True, 3)
    """
    check_input("latency", x)
    if calls < 1 or warm_up < 0:
        raise OptionError(f"latency got calls={calls}, warm_up={warm_up}", "calls >= 1 and warm_up >= 0")
    # contiguous copies, so that cutting a sample out of the batch is not part of its time
    samples = [x[:, k : k + 1].contiguous() for k in range(min(x.shape[1], calls))]
    modes = [(m, m.training) for m in net.modules()]
    times: list[float] = []
    net.eval()
    try:
        with torch.no_grad():
            for call in range(-warm_up, calls):
                sample = samples[call % len(samples)]
                _wait(x.device)
                start = time.perf_counter_ns()
                net(sample)
                _wait(x.device)
                if call >= 0:
                    times.append((time.perf_counter_ns() - start) / 1e6)
    finally:
        for module, mode in modes:
            module.training = mode
    return Latency(tuple(times), torch.get_num_threads(), str(x.device), warm_up)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
