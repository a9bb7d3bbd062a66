"""What a step of training costs: time, memory, and how much of the gradient is zero.

On a CPU the time is that of the process, not of the clock on the wall, where torch computes with one thread: another
program on the same core does not change it by much. The peak of memory counts what torch allocates during the step,
beyond what was there before: graph, gradients and temporary tensors, not weights, optimiser or the stored batch.
"""

from __future__ import annotations

import copy
import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import Generator, Tensor

from snn4.data import Split
from snn4.through_time import Neuron
from snn4.training import FitConfig, Task, make_optimiser, online
from snn4.training.outermost import step_loss

__all__ = ["StepCost", "sent_back", "step_cost"]

_WARM, _TIMED = 2, 5


@dataclasses.dataclass(frozen=True)
class StepCost:
    """One step of training.

    Args:
        milliseconds: median of a few steps, optimiser included.
        peak_bytes: the most memory that the step needed at one time.
        zero_gradient: the share of exact zeros in the gradients that arrive at the neurons' inputs; None where none
            arrives.
    """

    milliseconds: float
    peak_bytes: int
    zero_gradient: float | None


def sent_back(net: torch.nn.Module, task: Task, split: Split, config: FitConfig, seed: int) -> None:
    """One forward and backward pass of training over a whole split, online where the options say so.

    Args:
        net: in training mode.
        task: what is learned.
        split: the batch, where the network is.
        config: tells the order of time.
        seed: of the encoder's random numbers.
    """
    numbers = Generator().manual_seed(seed)
    xs = task.encode(split.inputs, numbers)
    if config.online != "no":
        online(net, xs, step_loss(task, split.targets), generator=numbers, autocast=config.autocast)
        return
    with torch.autocast(xs.device.type, torch.bfloat16, enabled=config.autocast):
        ys = net(xs)
    ys = ys.float()
    loss = task.objective(ys, split.targets) if task.objective else task.loss(task.readout(ys), split.targets)
    loss.backward()


def step_cost(net: torch.nn.Module, task: Task, split: Split, config: FitConfig, seed: int) -> StepCost:
    """Measure training steps of a copy of the network; the network itself and the random numbers are left alone.

    Args:
        net: the network.
        task: what it learns.
        split: one batch.
        config: how it is trained.
        seed: of the encoder's random numbers.
    """
    twin = copy.deepcopy(net).train()
    optimiser = make_optimiser(twin, config)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        sent_back(twin, task, split, config, seed)
        optimiser.step()

    with torch.random.fork_rng():
        zeros = _zeros(twin, step)
        for _ in range(_WARM):
            step()
        times = [_timed(step) for _ in range(_TIMED)]
        return StepCost(1e3 * statistics.median(times), _peak(step), zeros)


def _timed(step: Callable[[], None]) -> float:
    gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    clock = time.process_time if torch.get_num_threads() == 1 and not gpu else time.perf_counter
    begin = clock()
    step()
    if gpu:
        torch.cuda.synchronize()
    return clock() - begin


def _peak(step: Callable[[], None]) -> int:
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        return torch.cuda.max_memory_allocated() - before
    with torch.autograd.profiler.profile(profile_memory=True) as seen:
        step()
    # torch's annotations leave out what these events hold
    events: list[Any] = cast("Any", seen).kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    now = peak = 0
    for _, change in changes:
        now += change
        peak = max(peak, now)
    return peak


def _zeros(net: torch.nn.Module, step: Callable[[], None]) -> float | None:
    """The share of zeros in what arrives at the inputs of neurons, all steps and samples."""
    counts: list[tuple[int, int]] = []

    def arrives(gradient: Tensor) -> None:
        counts.append((int((gradient == 0).sum()), gradient.numel()))

    def given(_neuron: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].requires_grad:
            inputs[0].register_hook(arrives)

    handles = [module.register_forward_pre_hook(given) for module in _neurons(net)]
    try:
        step()
    finally:
        for handle in handles:
            handle.remove()
    total = sum(size for _, size in counts)
    return sum(zero for zero, _ in counts) / total if total else None


def _neurons(net: torch.nn.Module) -> Iterator[Neuron]:
    return (module for module in net.modules() if isinstance(module, Neuron) and not module.linear)
