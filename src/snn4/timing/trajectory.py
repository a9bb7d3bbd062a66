"""What happens between the spikes: potentials and currents at chosen times, and the integral of the potential.

    V(t) = sum_j w_j psp(t - t_j) - threshold sum_(t_m < t) e^(-(t - t_m) / tau_v)
    I(t) = sum_j w_j e^(-(t - t_j) / tau_i)

Every spike t_m of the neuron itself takes the threshold away from it. Both are made from spike times and weights with
ordinary differentiable operations, so a loss on a potential needs nothing else.

Paper: [yamamoto2024]
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.timing.psp import phi, psp, psp_integral
from snn4.timing.types import Constants

__all__ = ["Trajectory", "integrated_potential", "trajectory"]


class Trajectory(NamedTuple):
    """Potential and current of every neuron at every asked time."""

    v: Float[Tensor, "B N_out S"]
    i: Float[Tensor, "B N_out S"]


def _decay(s: Tensor, rate: float | Tensor) -> Tensor:
    """e^(-rate s) after the spike, 0 before it."""
    come = s > 0
    return torch.where(come, torch.exp(-rate * torch.where(come, s, 0.0)), 0.0)


def trajectory(
    times: Float[Tensor, "B N_in K_in"],
    weight: Float[Tensor, "N_out N_in"],
    constants: Constants,
    at: Float[Tensor, "S"],
    own: Float[Tensor, "B N_out K"] | None = None,
) -> Trajectory:
    """Potential and current at chosen times, to draw them or to lay a loss on them.

    At the very time of a spike it is the value just before it.

    Args:
        times: input spikes.
        weight: of the layer.
        constants: of the layer.
        at: when to look; any order.
        own: the layer's own spikes; `None` for neurons that do not fire.

    Shape: two of (B, N_out, S).

    Example:
        >>> zero, one = torch.zeros(1, 1, 1), torch.ones(1, 1)
        >>> trajectory(zero, one, Constants(1.0, 1.0, 1.0), torch.tensor([0.0, 1.0])).v
        tensor([[[0.0000, 0.3679]]])
    """
    a, b = 1.0 / constants.tau_v, 1.0 / constants.tau_i
    since = at - times.unsqueeze(-1)
    v, i = (torch.einsum("oj,bjs->bos", weight, one.sum(2)) for one in (psp(since, a, b), _decay(since, b)))
    if own is not None:
        v = v - constants.v_threshold * _decay(at - own.unsqueeze(-1), a).sum(2)
    return Trajectory(v, i)


def integrated_potential(
    times: Float[Tensor, "B N_in K_in"],
    weight: Float[Tensor, "N_out N_in"],
    constants: Constants,
    window: float,
    own: Float[Tensor, "B N_out K"] | None = None,
) -> Float[Tensor, "B N_out"]:
    """The integral of the potential over the window.

    Without `own` it is the potential that a neuron would have if it did not fire: its gradient is not 0 as long as any
    input fires, which makes it a way back for a neuron that is silent.

    Args:
        times: input spikes.
        weight: of the layer.
        constants: of the layer.
        window: the end of time.
        own: the layer's own spikes; `None` for neurons that do not fire.

    Shape: (B, N_out).

    Example:
        >>> zero, one = torch.zeros(1, 1, 1), torch.ones(1, 1)
        >>> integrated_potential(zero, one, Constants(float("inf"), float("inf"), 1.0), window=2.0)
        tensor([[2.]])
    """
    a, b = 1.0 / constants.tau_v, 1.0 / constants.tau_i
    whole = torch.nn.functional.linear(psp_integral(window - times, a, b).sum(-1), weight)
    if own is None:
        return whole
    since = window - own
    since = torch.where(since > 0, since, 0.0)
    return whole - constants.v_threshold * (since * phi(1, a * since)).sum(-1)
