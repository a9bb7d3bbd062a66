"""Transmission delays: a spike arrives later than it was sent, by a time that can be learned.

    arrival of input j at neuron i = t_j + d_ij,      dL/dd_ij = sum over its spikes of dL/d arrival

`delay` spreads over the weights (N_out, N_in), so its shape says of which kind it is:

    ()              one for the layer
    (1, N_in)       axonal: all targets of a neuron see its spike at the same time
    (N_out, 1)      dendritic: a neuron sees all of its inputs later
    (N_out, N_in)   synaptic: every connection has its own

With the last two every neuron has its own order of events. Each is then a sample of its own, with one output neuron
and N_out N_in inputs of which it sees N_in: the engines need to know nothing of delays.

Paper: [goltz2024delgrad]
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import NotFiniteError, OptionError, ShapeError
from snn4.timing.times import events
from snn4.timing.types import Events, Fired

__all__ = ["arrivals", "check_delay", "rejoin"]


def check_delay(owner: str, delay: Tensor, weight: Tensor) -> None:
    """Refuse delays that do not spread over the weights, or that would let a spike arrive before it was sent.

    Raises:
        ShapeError: the shape.
        NotFiniteError: NaN or infinity.
        OptionError: a negative delay.
    """
    shape = tuple(delay.shape)
    out, inputs = weight.shape
    if shape and (len(shape) != 2 or shape[0] not in (1, out) or shape[1] not in (1, inputs)):
        raise ShapeError(
            f"{owner} got delay of shape {shape} for {inputs} inputs and {out} neurons",
            f"(), (1, {inputs}) axonal, ({out}, 1) dendritic or ({out}, {inputs}) synaptic",
        )
    if not bool(delay.isfinite().all()):
        raise NotFiniteError(f"{owner} got a delay that is NaN or infinite", "finite delays >= 0")
    if bool((delay < 0).any()):
        raise OptionError(f"{owner} got a negative delay", "delays >= 0", "Learned(0.1, shape) keeps them positive.")


def arrivals(
    times: Float[Tensor, "B N_in K"], weight: Float[Tensor, "N_out N_in"], delay: Tensor | None, window: float
) -> tuple[Events, Float[Tensor, "M L"]]:
    """The events that an engine is to see, and the weights that belong to them.

    Shape: (B, N_in, K) -> (B, E) and (N_out, N_in); with a delay for each output neuron -> (B N_out, E) and
    (1, N_out N_in).
    """
    if delay is None:
        return events(times, window), weight
    if not delay.ndim or delay.shape[0] == 1:
        return events(times + (delay.view(-1, 1) if delay.ndim else delay), window), weight
    batch, inputs, _ = times.shape
    out = len(weight)
    arrival = times.unsqueeze(1) + delay.expand(out, inputs if delay.shape[1] > 1 else 1).unsqueeze(-1)
    found = events(arrival.flatten(0, 1), window)
    own = torch.arange(out, device=times.device).repeat(batch) * inputs
    return found._replace(source=found.source + own.unsqueeze(1)), weight.reshape(1, -1)


def rejoin(fired: Fired, batch: int, out: int) -> Fired:
    """What was fired by (B N_out, 1) or (B, N_out) neurons, as (B, N_out)."""
    if fired.times.shape[:2] == (batch, out):
        return fired
    return Fired(*(one.reshape(batch, out if one.numel() else 0, *one.shape[2:]) for one in fired))
