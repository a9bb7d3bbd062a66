"""What one training step along a route costs: memory at its peak, counted, and time."""

from __future__ import annotations

import copy
import statistics
import time
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from snn4.data import Split
from snn4.profiling import peak_bytes
from snn4.through_time import Route, use_route
from snn4.training import Task
from snn4.training.answers import answered, loss_of
from snn4.training.outermost import online, step_loss

__all__ = ["Cost", "cost"]


class Cost(NamedTuple):
    """Of the forward and backward pass of one batch.

    Args:
        peak_bytes: the most that was allocated at once, gradients included, without weights, input and optimiser.
        ms: the median time, in milliseconds; with one thread that of the process alone.
    """

    peak_bytes: int
    ms: float


def cost(
    net: torch.nn.Module, route: Route | None, task: Task, batch: Split, *, outermost: bool, repeats: int = 3
) -> Cost:
    """Measure a route on a copy of a network.

    Args:
        net: the network.
        route: how it is differentiated; None for an ANN.
        task: what is learned.
        batch: samples; all of them are one batch.
        outermost: with time outermost, the loss of each step sent back at once.
        repeats: timed passes.
    """
    mine = copy.deepcopy(net).train()
    if route is not None:
        use_route(mine, route)
    draw = Generator().manual_seed(0)
    xs = task.encode(batch.inputs, draw)

    def run() -> None:
        _one_pass(mine, task, xs, batch.targets, draw, outermost)

    found = peak_bytes(run)
    # other programs on the machine do not count, where there is one thread to count
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times: list[float] = []
    for _ in range(repeats):
        start = clock()
        run()
        times.append(1000 * (clock() - start))
    return Cost(found, statistics.median(times))


def _one_pass(net: torch.nn.Module, task: Task, xs: Tensor, targets: Tensor, draw: Generator, outermost: bool) -> None:
    """The gradient of one batch; it is dropped at the end, so that the next pass starts from the same memory."""
    if outermost:
        by_step = targets.T if targets.ndim == 2 else None
        online(net, xs, step_loss(task, targets), targets=by_step, generator=draw)
    else:
        ys = net(xs)
        loss_of(task, ys, targets, *answered(task.readout(ys), targets)).backward()
    net.zero_grad(set_to_none=True)
