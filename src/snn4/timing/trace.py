r"""The course of potential and current, between the spikes as well, for looking at.

    V(t) = sum_j w_j sum_f psp(t - t_j^f) - v_threshold sum_(t_m < t) exp(-(t - t_m) / tau_v)
    I(t) = sum_j w_j sum_f exp(-(t - t_j^f) / tau_i)                          over t_j^f <= t

Both are exact at every time asked for; nothing is integrated step by step.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import ShapeError
from snn4.timing.psp import psp
from snn4.timing.types import Constants, rates

__all__ = ["trace"]


@torch.no_grad()
def trace(
    grid: Float[Tensor, "G"],
    times: Float[Tensor, "N_in K_in"],
    weight: Float[Tensor, "N N_in"],
    constants: Constants,
    fired: Float[Tensor, "N K"] | None = None,
) -> tuple[Float[Tensor, "G N"], Float[Tensor, "G N"]]:
    """Potential and current of some neurons for one sample.

    Args:
        grid: the times to look at.
        times: the input spikes of the sample.
        weight: of the neurons.
        constants: of their layer.
        fired: their own spikes; `None` for neurons that do not fire.

    Shape: (G,), (N_in, K_in), (N, N_in), (N, K) -> two of (G, N).

    Raises:
        ShapeError: sizes that do not belong together.

    Example:
        >>> ramp = Constants(torch.inf, torch.inf, 1.0)
        >>> grid, weight, fired = torch.tensor([0.0, 0.4, 0.6]), torch.tensor([[2.0]]), torch.tensor([[0.5]])
        >>> v, i = trace(grid, torch.zeros(1, 1), weight, ramp, fired)
        >>> [round(one, 4) for one in v.flatten().tolist()], i.flatten().tolist()
        ([0.0, 0.8, 0.2], [2.0, 2.0, 2.0])
    """
    if grid.ndim != 1 or times.ndim != 2 or weight.ndim != 2 or weight.shape[1] != times.shape[0]:
        raise ShapeError(
            f"trace got grid {tuple(grid.shape)}, times {tuple(times.shape)} and weight {tuple(weight.shape)}",
            "(G,), (N_in, K_in) and (N, N_in)",
            "Take one sample, and the rows of the neurons to look at.",
        )
    speed = rates(constants)
    since = grid[:, None, None] - times
    potential = psp(since, speed.a, speed.b).sum(2) @ weight.T
    come = since >= 0
    current = torch.where(come, torch.exp(-speed.b * torch.where(come, since, 0.0)), 0.0).sum(2) @ weight.T
    if fired is not None:
        since = grid[:, None, None] - fired
        gone = since > 0
        reset = torch.where(gone, torch.exp(-speed.a * torch.where(gone, since, 0.0)), 0.0).sum(2)
        potential = potential - speed.threshold * reset
    return potential, current
