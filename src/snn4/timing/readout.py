"""Readouts: from spike times to one number for each class.

    Readout        V(T) of a neuron that does not fire      sum_j w_j sum_f psp(T - t_j^f)
    MaxOverTime    max over t <= T of that V(t)
    FirstSpike     T - t_1, and 0 for never
    SpikeCount     how many spikes

Paper: [yamamoto2024, wunderlich2021eventprop, bacho2022]
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from snn4.core.errors import OptionError
from snn4.core.quantity import Value
from snn4.timing.functional import fire
from snn4.timing.layer import TimingLayer, first_weights
from snn4.timing.psp import psp
from snn4.timing.times import check_times, check_window, events
from snn4.timing.types import Constants

__all__ = ["FirstSpike", "MaxOverTime", "Readout", "SpikeCount"]


class _Silent(TimingLayer):
    """Abstract: neurons that do not fire, leaky integrators with weights."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        tau_v: Value = 1.0,
        tau_i: Value = 0.2,
        window: float = 1.0,
        *,
        init_mean: float = 0.0,
        init_std: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(tau_v, tau_i, math.inf, window)
        if min(in_features, out_features) < 1:
            raise OptionError(
                f"{type(self).__name__} got {in_features} inputs and {out_features} outputs", "at least one of each"
            )
        self.in_features, self.out_features = in_features, out_features
        self.init_mean, self.init_std = init_mean, init_std
        self.weight = torch.nn.Parameter(torch.empty(out_features, in_features))
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw new weights."""
        first_weights(self.weight, self.in_features, self, self.init_mean, self.init_std, generator)

    def extra_repr(self) -> str:
        """Sizes and constants."""
        return f"{self.in_features}, {self.out_features}, {super().extra_repr()}, window={self.window:g}"


class Readout(_Silent):
    """The potential, at the end of the window, of neurons that do not fire.

    A hidden spike that comes or goes at the window's end changes it little: psp(0) = 0. So the loss stays continuous
    where spike times alone would jump.

    Args:
        in_features: input neurons.
        out_features: classes.
        tau_v: membrane time constant; `inf` for no leak, `Learned(1.0)` to learn it.
        tau_i: synaptic time constant, likewise.
        window: when the potential is read.
        init_mean: see `snn4.timing.layer.first_weights`; the unit of the potential is 1.
        init_std: likewise.
        generator: for the first weights.

    Shape: (B, in_features, K_in) -> (B, out_features).

    Example:
        >>> layer = Readout(1, 1, tau_v=1.0, tau_i=1.0)
        >>> layer.weight.data.fill_(1.0)
        tensor([[1.]])
        >>> layer(torch.zeros(1, 1, 1))
        tensor([[0.3679]], grad_fn=<MmBackward0>)
    """

    def forward(self, times: Float[Tensor, "B N_in K_in"]) -> Float[Tensor, "B N_out"]:
        """The potential at the end. Shape: (B, in_features, K_in) -> (B, out_features)."""
        check_times("Readout", times, (self.in_features,))
        return F.linear(psp(self.window - times, 1.0 / self.tau_v, 1.0 / self.tau_i).sum(-1), self.weight)


class MaxOverTime(_Silent):
    """The largest potential within the window of neurons that do not fire; 0, with no gradient, if it never rises.

    Paper: [wunderlich2021eventprop]

    Args:
        in_features: input neurons.
        out_features: classes.
        tau_v: membrane time constant; `inf` for no leak, `Learned(1.0)` to learn it.
        tau_i: synaptic time constant, likewise.
        window: until when to look.
        init_mean: see `snn4.timing.layer.first_weights`; the unit of the potential is 1.
        init_std: likewise.
        generator: for the first weights.

    Shape: (B, in_features, K_in) -> (B, out_features).

    Example:
        >>> layer = MaxOverTime(1, 1, tau_v=1.0, tau_i=1.0, window=3.0)
        >>> layer.weight.data.fill_(1.0)
        tensor([[1.]])
        >>> layer(torch.zeros(1, 1, 1)).item()
        0.367879...
    """

    def forward(self, times: Float[Tensor, "B N_in K_in"]) -> Float[Tensor, "B N_out"]:
        """The largest potential. Shape: (B, in_features, K_in) -> (B, out_features)."""
        check_times("MaxOverTime", times, (self.in_features,))
        constants = Constants(self.tau_v, self.tau_i, math.inf)
        found = fire(
            events(times, self.window), self.weight, constants, max_spikes=1, window=self.window, want_max=True
        )
        return found.v_max


class FirstSpike(torch.nn.Module):
    """How early each neuron fires: window - t_1, and 0 for a neuron that does not.

    Args:
        window: the end of time.

    Shape: (B, N, K) -> (B, N).

    Example:
        >>> FirstSpike(window=1.0)(torch.tensor([[[0.25, 0.5], [torch.inf, torch.inf]]]))
        tensor([[0.7500, 0.0000]])
    """

    def __init__(self, window: float = 1.0) -> None:
        super().__init__()
        self.window = check_window("FirstSpike", window)

    def forward(self, times: Float[Tensor, "B N K"]) -> Float[Tensor, "B N"]:
        """The earliness. Shape: (B, N, K) -> (B, N)."""
        check_times("FirstSpike", times)
        first = times[..., 0]
        return self.window - torch.where(first < self.window, first, self.window)

    def extra_repr(self) -> str:
        """The window."""
        return f"window={self.window:g}"


class SpikeCount(torch.nn.Module):
    """How many spikes each neuron fires. The count is a whole number; its gradient is an assumption.

    A count does not change with small changes of its spikes' times, so its true gradient is 0. As in BATS, an earlier
    spike is taken for more spikes: dcount / dt_k = -1 / window for every spike.

    Paper: [bacho2022]

    Args:
        window: the end of time; later spikes do not count.

    Shape: (B, N, K) -> (B, N).

    Example:
        >>> SpikeCount(window=1.0)(torch.tensor([[[0.25, 0.5], [0.5, torch.inf]]]))
        tensor([[2., 1.]])
    """

    def __init__(self, window: float = 1.0) -> None:
        super().__init__()
        self.window = check_window("SpikeCount", window)

    def forward(self, times: Float[Tensor, "B N K"]) -> Float[Tensor, "B N"]:
        """The counts. Shape: (B, N, K) -> (B, N)."""
        check_times("SpikeCount", times)
        inside = times <= self.window
        earlier = -torch.where(inside, times, 0.0).sum(-1) / self.window
        return inside.sum(-1).to(times.dtype) + (earlier - earlier.detach())

    def extra_repr(self) -> str:
        """The window."""
        return f"window={self.window:g}"
