"""LIF: a layer of leaky integrate-and-fire neurons whose spike times are solved, not stepped.

    dV/dt = -V / tau_v + I,    dI/dt = -I / tau_i + sum_j w_j sum_f delta(t - t_j^f),    V(0) = I(0) = 0
    at V = v_threshold: a spike, V <- 0, and I is kept

The current that the reset leaves lets a neuron fire again. With max_spikes=1 this is the classic time-to-first-spike
network, in which a spike ends a neuron's part.

Paper: [yamamoto2024, mostafa2017, comsa2020, sakemi2021, goltz2024delgrad]
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.quantity import NON_NEGATIVE, Value
from snn4.timing.delays import check_delay
from snn4.timing.layer import FiringLayer
from snn4.timing.times import check_times
from snn4.timing.types import Fired

__all__ = ["LIF"]


class LIF(FiringLayer):
    """Leaky integrate-and-fire neurons, each connected to all inputs; exact spike times, exact gradients.

    Args:
        in_features: input neurons.
        out_features: neurons of this layer.
        tau_v: membrane time constant, in the unit of `window`; `inf` for no leak, `Learned(1.0)` to learn it.
        tau_i: synaptic time constant, likewise; `inf` for a step current.
        v_threshold: > 0, likewise.
        max_spikes: room for a neuron's spikes; 1 is time to first spike.
        window: the end of time: spikes after it do not exist.
        delay: how much later spikes arrive: a number, a tensor or `Learned`, of shape (), (1, in_features) axonal,
            (out_features, 1) dendritic or (out_features, in_features) synaptic; the last two cost a sort a neuron.
        method: `analytic`, `eventprop` or `two_stage`: three ways to the same gradient.
        min_slope: where a potential reaches the threshold with a smaller slope, in thresholds per time constant, the
            gradient is clipped; 0 for the exact gradient everywhere.
        init_mean: see `snn4.timing.layer.first_weights`.
        init_std: likewise.
        generator: for the first weights.

    Shape: (B, in_features, K_in) -> (B, out_features, max_spikes); times ascend, `inf` is never.

    Raises:
        OptionError: an option out of range.
        ShapeError: times of another shape or dtype.

    Example:
        >>> layer = LIF(1, 1, tau_v=2.0, tau_i=1.0, max_spikes=3, window=4.0)
        >>> layer.weight.data.fill_(4.0)
        tensor([[4.]])
        >>> layer(torch.zeros(1, 1, 1))
        tensor([[[0.3167, 0.8135,    inf]]], grad_fn=<_FireBackward>)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        tau_v: Value = 1.0,
        tau_i: Value = 0.2,
        v_threshold: Value = 1.0,
        max_spikes: int = 8,
        window: float = 1.0,
        *,
        delay: Value | None = None,
        method: str = "analytic",
        min_slope: float = 1e-2,
        init_mean: float = 3.0,
        init_std: float = 3.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            (out_features, in_features),
            tau_v,
            tau_i,
            v_threshold,
            max_spikes,
            window,
            method,
            min_slope,
            (init_mean, init_std),
        )
        self.in_features, self.out_features = in_features, out_features
        self.delay: float | Tensor | None = None
        if delay is not None:
            del self.delay
            self.quantity("delay", delay, NON_NEGATIVE)
            check_delay("LIF", torch.as_tensor(self.delay).detach(), self.weight)
        self.reset_parameters(generator)

    def fired(self, times: Float[Tensor, "B N_in K_in"], *, want_max: bool = False) -> Fired:
        """The spikes with all that penalties and statistics ask for; `forward` is its `times`."""
        check_times("LIF", times, (self.in_features,))
        delay = self.delay if self.delay is None or isinstance(self.delay, Tensor) else times.new_tensor(self.delay)
        return self.solve(times, delay, want_max=want_max)

    def extra_repr(self) -> str:
        """Sizes, constants and method."""
        return f"{self.in_features}, {self.out_features}, {super().extra_repr()}"
