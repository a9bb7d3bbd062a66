"""LIF: a layer of leaky integrate-and-fire neurons whose spike times are solved, not stepped.

    dV/dt = -V / tau_v + I,    dI/dt = -I / tau_i + sum_j w_j sum_f delta(t - t_j^f),    V(0) = I(0) = 0
    at V = v_threshold: a spike, V <- 0, and I is kept

The current that the reset leaves lets a neuron fire again. With max_spikes=1 this is the classic time-to-first-spike
network, in which a spike ends a neuron's part.

Paper: [yamamoto2024, mostafa2017, comsa2020, sakemi2021]
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import OptionError, ShapeError
from snn4.core.quantity import Value
from snn4.timing.functional import check_options, spike_times
from snn4.timing.layer import TimingLayer, first_weights
from snn4.timing.types import Fired

__all__ = ["LIF"]


class LIF(TimingLayer):
    """Leaky integrate-and-fire neurons, each connected to all inputs; exact spike times, exact gradients.

    Args:
        in_features: input neurons.
        out_features: neurons of this layer.
        tau_v: membrane time constant, in the unit of `window`; `inf` for no leak, `Learned(1.0)` to learn it.
        tau_i: synaptic time constant, likewise; `inf` for a step current.
        v_threshold: > 0, likewise.
        max_spikes: room for a neuron's spikes; 1 is time to first spike.
        window: the end of time: spikes after it do not exist.
        method: `analytic`, `eventprop` or `two_stage`: three ways to the same gradient.
        min_slope: where a potential reaches the threshold with a smaller slope, in thresholds per time constant, the
            gradient is clipped; 0 for the exact gradient everywhere.
        init_mean: see `reset_parameters`.
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
        method: str = "analytic",
        min_slope: float = 1e-2,
        init_mean: float = 3.0,
        init_std: float = 3.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(tau_v, tau_i, v_threshold, window)
        check_options("LIF", max_spikes, method, min_slope)
        if min(in_features, out_features) < 1:
            raise OptionError(f"LIF got {in_features} inputs and {out_features} neurons", "at least one of each")
        self.in_features, self.out_features = in_features, out_features
        self.max_spikes, self.method, self.min_slope = max_spikes, method, min_slope
        self.init_mean, self.init_std = init_mean, init_std
        self.weight = torch.nn.Parameter(torch.empty(out_features, in_features))
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw new weights: see `snn4.timing.layer.first_weights` for the unit of init_mean and init_std."""
        first_weights(self.weight, self.in_features, self, self.init_mean, self.init_std, generator)

    def fired(self, times: Float[Tensor, "B N_in K_in"], *, want_max: bool = False) -> Fired:
        """The spikes with all that penalties and statistics ask for; `forward` is its `times`."""
        if times.dtype != self.weight.dtype:
            raise ShapeError(f"LIF got times of {times.dtype} and holds weights of {self.weight.dtype}", "one dtype")
        return spike_times(
            times,
            self.weight,
            tau_v=self.tau_v,
            tau_i=self.tau_i,
            v_threshold=self.v_threshold,
            max_spikes=self.max_spikes,
            window=self.window,
            method=self.method,
            min_slope=self.min_slope,
            want_max=want_max,
        )

    def forward(self, times: Float[Tensor, "B N_in K_in"]) -> Float[Tensor, "B N_out K"]:
        """The spike times. Shape: (B, in_features, K_in) -> (B, out_features, max_spikes)."""
        fired = self.fired(times, want_max=self.wanted_max())
        self.report(times, fired)
        return fired.times

    def extra_repr(self) -> str:
        """Sizes, constants and method."""
        sizes = f"{self.in_features}, {self.out_features}, {super().extra_repr()}"
        return f"{sizes}, max_spikes={self.max_spikes}, window={self.window:g}, method={self.method}"
