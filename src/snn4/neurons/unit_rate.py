"""What the spikes of an integrate-and-fire neuron stand for: a clamp of its mean input, with or without a leak."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from snn4.neurons.spiking import SpikingNeuron
from snn4.through_time import Representation

if TYPE_CHECKING:
    from snn4.neurons.dsr import DSRIF, DSRLIF

__all__ = ["fixed_surrogate", "late", "unit_rate"]


def fixed_surrogate(neuron: SpikingNeuron | DSRIF | DSRLIF) -> None:
    """Refuse a surrogate that is to learn from a gradient that does not pass it.

    Raises:
        NotImplementedError: it learns.
    """
    if neuron.surrogate.learns:
        raise NotImplementedError(f"{type(neuron).__name__} learns its surrogate, of which a representation has none")


def late(beta: float | Tensor, xs: Tensor) -> Tensor:
    """beta^(T-n), scaled to add up to 1 over time; a tensor beta spreads over the features. Shape (T, 1, ...)."""
    ages = torch.arange(len(xs) - 1, -1, -1, dtype=xs.dtype, device=xs.device).view(-1, *(1,) * (xs.ndim - 1))
    decays = torch.as_tensor(beta, dtype=xs.dtype, device=xs.device) ** ages
    return decays / decays.sum(0)


def unit_rate(neuron: SpikingNeuron, beta: float | Tensor, gain: float | Tensor, xs: Tensor) -> Representation:
    """Spikes of height 1 with a soft reset, v = beta v + gain x - v_threshold s.

    The weighted rate is then gain m / v_threshold, but for v[T] over v_threshold and the sum of beta^(T-n).

    Raises:
        NotImplementedError: a hard reset, or a time constant that learns, for which the representation is fixed.
    """
    name = type(neuron).__name__
    if neuron.v_reset is not None:
        raise NotImplementedError(f"{name} with a hard reset has no closed-form rate")
    if any(neuron.is_learned(quantity) for quantity in neuron.quantities if quantity != "v_threshold"):
        raise NotImplementedError(f"{name} learns its time constant, which the representation holds fixed")
    fixed_surrogate(neuron)
    weights = late(beta, xs)
    return Representation(weights, gain / neuron.v_threshold, 1.0, True, 1.0, weights[-1])
