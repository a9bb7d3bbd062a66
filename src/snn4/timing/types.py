"""What passes between a layer of exact spike times and the engine that solves it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

__all__ = ["Constants", "Events", "Fired", "Rates", "rates"]


class Events(NamedTuple):
    """The input spikes of a layer, every sample's in the order of time.

    Fields: the times, `inf` at the end; which input neuron each came from; where it stood among the flattened
    (B, N * K) times. Simultaneous spikes keep the order of their neurons, and simply add up.
    """

    t: Float[Tensor, "B E"]
    source: Int64[Tensor, "B E"]
    order: Int64[Tensor, "B E"]


class Constants(NamedTuple):
    """What all neurons of a layer share: numbers, or 0-dimensional tensors where they are learned.

    `tau_v` and `tau_i` may be infinite: no leak of the potential, a current that does not decay. An infinite
    `v_threshold` is a neuron that never fires.
    """

    tau_v: float | Tensor
    tau_i: float | Tensor
    v_threshold: float | Tensor


class Fired(NamedTuple):
    """The output spikes of a layer, and what their gradient needs.

    Fields:
        times: ascending along K, `inf` for never.
        current: the synaptic current at the spike, which the reset keeps; 0 where there is none.
        slope: dV/dt just before the spike; 1 where there is none.
        truncated: whether the neuron would have fired more than K times.
        v_max: the largest potential within the window: the threshold, for a neuron that fires. Empty unless asked for.
        t_max: where the potential is largest: at the first spike, for a neuron that fires. Empty unless asked for.
    """

    times: Float[Tensor, "B N K"]
    current: Float[Tensor, "B N K"]
    slope: Float[Tensor, "B N K"]
    truncated: Bool[Tensor, "B N"]
    v_max: Float[Tensor, "B M"]
    t_max: Float[Tensor, "B M"]

    @property
    def exists(self) -> Bool[Tensor, "B N K"]:
        """Which spikes there are."""
        return self.times < math.inf

    @property
    def counts(self) -> Int64[Tensor, "B N"]:
        """How many spikes each neuron fires."""
        return self.exists.sum(-1)


class Rates(NamedTuple):
    """The constants as numbers: a = 1 / tau_v, b = 1 / tau_i, the threshold."""

    a: float
    b: float
    threshold: float


def rates(constants: Constants) -> Rates:
    """The constants as numbers, 0 for what does not decay."""
    tau_v, tau_i, threshold = (
        float(one.detach()) if isinstance(one, torch.Tensor) else float(one) for one in constants
    )
    return Rates(1.0 / tau_v, 1.0 / tau_i, threshold)
