"""What a step of training costs: time, memory, and how much of the gradient is zero.

A step is the forward and backward pass of one batch, layer by layer or online as the options say. The optimiser's own
part is the same for all that a study compares, and left out. On a CPU the time is that of the process, not of the clock
on the wall, where torch computes with one thread: another program on the same core does not change it by much.
"""

from __future__ import annotations

import copy
import dataclasses
import statistics
import time
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from snn4.data import Split
from snn4.profiling import peak_bytes
from snn4.through_time import Neuron
from snn4.training import FitConfig, Task, answered, online
from snn4.training.answers import loss_of
from snn4.training.outermost import step_loss

__all__ = ["StepCost", "step_cost", "zero_gradient"]


@dataclasses.dataclass(frozen=True)
class StepCost:
    """Of the forward and backward pass of one batch.

    Args:
        milliseconds: the median time.
        peak_bytes: the most that was allocated at once, gradients included, without weights, input and optimiser.
    """

    milliseconds: float
    peak_bytes: int


def step_cost(
    net: torch.nn.Module, task: Task, batch: Split, config: FitConfig, seed: int = 0, *, repeats: int = 5
) -> StepCost:
    """Measure training steps of a copy of the network; the network itself and the random numbers are left alone.

    Args:
        net: the network.
        task: what it learns.
        batch: samples; all of them are one batch.
        config: how it is trained.
        seed: of the encoder's random numbers.
        repeats: timed passes.
    """
    _, run = _passes(net, task, batch, config, seed)
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times: list[float] = []
    with torch.random.fork_rng(devices=[]):
        peak = peak_bytes(run)
        for _ in range(repeats):
            start = clock()
            run()
            times.append(1000 * (clock() - start))
    return StepCost(statistics.median(times), peak)


def zero_gradient(net: torch.nn.Module, task: Task, batch: Split, config: FitConfig, seed: int = 0) -> float | None:
    """The share of exact zeros in the gradients that arrive at the neurons' inputs, all steps and samples.

    Args:
        net: the network; a copy of it is looked at.
        task: what it learns.
        batch: samples; all of them are one batch.
        config: how it is trained.
        seed: of the encoder's random numbers.

    Returns:
        The share; None where no gradient arrives.
    """
    twin, run = _passes(net, task, batch, config, seed)
    counts: list[tuple[int, int]] = []

    def arrives(gradient: Tensor) -> None:
        counts.append((int((gradient == 0).sum()), gradient.numel()))

    def given(_neuron: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].requires_grad:
            inputs[0].register_hook(arrives)

    for module in twin.modules():
        if isinstance(module, Neuron) and not module.linear:
            module.register_forward_pre_hook(given)
    with torch.random.fork_rng(devices=[]):
        run()
    total = sum(size for _, size in counts)
    return sum(zero for zero, _ in counts) / total if total else None


def _passes(
    net: torch.nn.Module, task: Task, batch: Split, config: FitConfig, seed: int
) -> tuple[torch.nn.Module, Callable[[], None]]:
    """A copy of the network, and what sends one batch through it and back."""
    twin = copy.deepcopy(net).train()
    numbers = Generator().manual_seed(seed)
    xs, targets = task.encode(batch.inputs, numbers), batch.targets

    def run() -> None:
        if config.online == "no":
            with torch.autocast(xs.device.type, torch.bfloat16, enabled=config.autocast):
                ys = twin(xs)
            ys = ys.float() if config.autocast else ys
            loss_of(task, ys, targets, *answered(task.readout(ys), targets)).backward()
        else:
            by_step = targets.T if targets.ndim == 2 else None
            loss = step_loss(task, targets)
            online(twin, xs, loss, targets=by_step, generator=numbers, autocast=config.autocast)
        # every pass starts from the same memory
        twin.zero_grad(set_to_none=True)

    return twin, run
