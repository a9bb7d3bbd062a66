"""What the recipes with exact spike times share: their options, and how their networks are built and trained."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import torch
from torch import Generator, Tensor

from snn4.core.errors import OptionError
from snn4.data import DataSet, unit
from snn4.models import Delays, Firing, mlp, timing_mlp
from snn4.recipes.comparison import Experiment, RunConfig, Timed
from snn4.recipes.options import TrainingOptions
from snn4.recipes.tasks import make_task
from snn4.timing import DeadNeurons, FiringLayer, Latency, WeightBumping
from snn4.training import Task

__all__ = ["TimedConfig", "TimingOptions", "image_mlp", "task", "timed"]

# what 8-bit hardware computes with; a spike time has no number of steps to derive them from
ACTIVATION_BITS = 8


@dataclasses.dataclass(frozen=True)
class TimingOptions:
    """The neurons of the network and the code of its input. The window is the unit of time."""

    max_spikes: int = 8
    """How often a neuron may fire; 1 is time to first spike."""
    tau_v: float | None = 1.0
    """Membrane time constant; None for no leak."""
    tau_i: float | None = 10.0
    """Synaptic time constant; None for a current that never decays."""
    t_in: float = 0.8
    """When the faintest input fires; the largest fires at 0."""
    silent: float = 0.0
    """Inputs up to this value do not fire."""
    drop: float = 0.0
    """Share of the input spikes that is lost in training."""
    init_mean: float = 3.0
    """Mean of the first weights: potential at the window's end, in thresholds, if all inputs fired evenly in it."""
    init_std: float = 1.5
    """Its standard deviation from neuron to neuron."""
    readout_std: float = 1.0
    """That of the readout."""
    penalty: float = 0.01
    """Strength of the penalty on dead neurons; 0 for none."""
    penalty_form: Literal["potential", "peak", "weights", "bumping"] = "potential"
    """What is asked of dead neurons: a higher mean potential, a higher peak, larger weights; bumping adds to their
    weights after each step instead, and has no strength."""
    min_slope: float = 1.0
    """Below this slope at the threshold, in thresholds per time constant, gradients are clipped."""
    method: Literal["analytic", "eventprop", "two_stage"] = "analytic"
    """How the exact gradient is computed; all three give the same."""
    delays: Delays | None = None
    """Transmission delays to learn: one an input (axonal), one a neuron (dendritic) or one a connection (synaptic)."""

    def firing(self) -> Firing:
        """As the models take it.

        Raises:
            OptionError: a time constant that is not above 0.
        """
        for name, tau in (("tau_v", self.tau_v), ("tau_i", self.tau_i)):
            if tau is not None and not tau > 0:
                raise OptionError(f"--timing.{name.replace('_', '-')} got {tau}", "a number > 0, or None for no decay")
        return Firing(
            tau_v=math.inf if self.tau_v is None else self.tau_v,
            tau_i=math.inf if self.tau_i is None else self.tau_i,
            max_spikes=self.max_spikes,
            method=self.method,
            min_slope=self.min_slope,
            init_mean=self.init_mean,
            init_std=self.init_std,
            readout_std=self.readout_std,
            delays=self.delays,
        )

    def latency(self, *, flatten: bool = True) -> Latency:
        """The code of images."""
        return Latency(self.t_in, self.silent, flatten=flatten)


class TimedConfig(RunConfig, Protocol):
    """What the options of these recipes have in common."""

    @property
    def hidden(self) -> tuple[int, ...]:
        """Widths of the layers that fire."""
        ...

    @property
    def ann_learning_rate(self) -> float:
        """Of the ANN and its quantised twin."""
        ...

    @property
    def timing(self) -> TimingOptions:
        """The neurons of the SNN and the code of its input."""
        ...


def timed(
    network: Callable[[], torch.nn.Module], timing: TimingOptions, train: TrainingOptions, ann_learning_rate: float
) -> Timed:
    """How a network of spike times is trained, and with which options its opponents are: the same,
    but for their learning rate.

    Args:
        network: makes it.
        timing: its neurons, its code, its penalty.
        train: how it is trained.
        ann_learning_rate: of the ANN and its quantised twin.
    """
    usual = dataclasses.replace(train, learning_rate=ann_learning_rate)

    def built() -> torch.nn.Module:
        net = network()
        if timing.penalty_form == "bumping":
            layers = sum(isinstance(module, FiringLayer) for module in net.modules())
            net.add_module("bumping", WeightBumping(layers))
        return net

    return Timed(built, lambda data: task(data, timing, train), usual, ACTIVATION_BITS)


def task(data: DataSet, timing: TimingOptions, train: TrainingOptions) -> Task:
    """From stored values to the loss: values from 0 to 1, potentials at the end of the window, dead neurons woken."""

    def encode(batch: Tensor, _generator: Generator) -> Tensor:
        return unit(batch)[None]

    def readout(ys: Tensor) -> Tensor:
        return ys[-1]

    usual = make_task(data, train)
    if timing.penalty_form == "bumping":
        return Task(
            encode,
            readout,
            usual.loss,
            usual.augment,
            regulariser=lambda net: _bumping(net).watched(net),
            after_step=lambda net: _bumping(net).after_step(net),
        )
    regulariser = DeadNeurons(timing.penalty_form, timing.penalty) if timing.penalty else None
    return Task(encode, readout, usual.loss, usual.augment, regulariser=regulariser)


def _bumping(net: torch.nn.Module) -> WeightBumping:
    """The part of a network that `timed` added."""
    found = net.get_submodule("bumping")
    assert isinstance(found, WeightBumping)
    return found


def image_mlp(recipe: str, title: str, data: str, config: TimedConfig, expected: Mapping[str, Any]) -> Experiment:
    """An MLP on images of 28 x 28 pixels, each pixel one input neuron.

    Args:
        recipe: its name.
        title: one line.
        data: the data set.
        config: the recipe's options.
        expected: what its results must reach.
    """
    timing, inputs, classes = config.timing, 28 * 28, 10

    def snn() -> torch.nn.Module:
        return timing_mlp(inputs, config.hidden, classes, timing.firing(), encoder=timing.latency, drop=timing.drop)

    def ann(neuron: Callable[[], torch.nn.Module], steps: int) -> torch.nn.Module:
        return mlp(inputs, config.hidden, classes, neuron, steps=steps)

    widths = "-".join(map(str, (inputs, *config.hidden, classes)))
    several = "several spikes" if timing.max_spikes > 1 else "one spike"
    return Experiment(
        recipe,
        title,
        data,
        1 / 12,
        f"MLP {widths}, exact spike times, {several} a neuron (the ANN with biases)",
        ann,
        expected,
        timed(snn, timing, config.train, config.ann_learning_rate),
    )
