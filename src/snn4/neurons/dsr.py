r"""The neurons of DSR: the threshold is also the height of a spike, which may come early. For `use_route(net, DSR())`.

    DSRIF     u[t] = v[t-1] + x[t]
    DSRLIF    u[t] = beta v[t-1] + (1 - beta) x[t],   beta = exp(-dt / tau)
    fire      s[t] = v_threshold H(u[t] - alpha v_threshold);    v[t] = u[t] - s[t]
    output    s[t]   (DSRIF)    or    s[t] / dt   (DSRLIF)

With alpha = 1/2 the mean output of the first is the mean input, rounded to the nearest number of spikes in place of the
lowest. The heights of spikes are numbers, one a layer, which a deployment folds into the weights of the next layer.

Exactly, mean(output) = mean(x) - v[T] / T for the first; for the second the slope of the representation is
(1 - beta) / dt, for which the method takes 1 / tau.

Paper: [meng2022dsr]
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.core.quantity import Learned, Value, between
from snn4.core.states import state
from snn4.neurons.decay import check_dt, exponential
from snn4.neurons.firing import FiringNeuron
from snn4.neurons.unit_rate import fixed_surrogate, late
from snn4.surrogates import Surrogate
from snn4.through_time import Representation

__all__ = ["DSRIF", "DSRLIF"]


class DSRIF(FiringNeuron):
    """Integrate-and-fire with spikes as high as its threshold.

    Args:
        v_threshold: threshold and height of a spike; default learned from 6, the paper's.
        alpha: fires at u >= alpha v_threshold.
        lowest: the threshold does not sink below it.
        surrogate: default `ATan()`; for routes other than DSR.

    Shape: (T, B, *features), kept.

    Raises:
        OptionError: alpha outside of (0, 1], or a floor that is not above 0 and below the threshold.

    Example:
        >>> DSRIF(6.0)(torch.full((5, 1, 1), 1.0)).flatten().tolist()
        [0.0, 0.0, 6.0, 0.0, 0.0]
    """

    State = state("v")
    alphabet = None
    v_threshold: float | Tensor

    def __init__(
        self,
        v_threshold: Value = Learned(6.0),  # noqa: B008  (it is never changed)
        alpha: float = 0.5,
        lowest: float = 0.01,
        surrogate: Surrogate | None = None,
    ) -> None:
        super().__init__(surrogate)
        _learned_height(self, v_threshold, alpha, lowest)
        self.alpha = alpha

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """Sum, then fire."""
        u = state.v + x
        s = self.v_threshold * self.surrogate(u - self.alpha * self.v_threshold)
        return s, self.State(u - s)

    def transfer(self, mean_x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """x, between 0 and the threshold. Shape: any, kept."""
        top = torch.as_tensor(self.v_threshold, dtype=mean_x.dtype, device=mean_x.device)
        return torch.minimum(mean_x.clamp(min=0), top)

    def representation(self, xs: Float[Tensor, "T B *features"]) -> Representation:
        """The mean, between 0 and the threshold, ends included."""
        fixed_surrogate(self)
        steps = len(xs)
        worst = max(self.alpha, 1 - self.alpha)
        weights = xs.new_full((steps, *(1,) * (xs.ndim - 1)), 1 / steps)
        return Representation(weights, 1.0, self.v_threshold, True, 1.0, worst * self.v_threshold / steps)

    def extra_repr(self) -> str:
        """The threshold and alpha."""
        return f"{super().extra_repr()}, alpha={self.alpha:g}"


class DSRLIF(FiringNeuron):
    """Leaky integrate-and-fire with spikes as high as its threshold over `dt`.

    Args:
        tau: membrane time constant, in units of `dt`'s unit.
        v_threshold: threshold and, over dt, height of a spike; default learned from 0.3, the paper's for 20 steps.
        alpha: fires at u >= alpha v_threshold.
        dt: length of a step; short against tau.
        lowest: the threshold does not sink below it.
        surrogate: default `ATan()`; for routes other than DSR.

    Shape: (T, B, *features), kept.

    Raises:
        OptionError: alpha outside of (0, 1], or a floor that is not above 0 and below the threshold.

    Example:
        >>> x = torch.arange(1.0, 6.0).view(5, 1, 1)
        >>> DSRLIF(v_threshold=0.6, alpha=0.5, dt=0.1)(x).flatten().tolist()
        [0.0, 0.0, 6.0, 6.0, 0.0]
    """

    State = state("v")
    alphabet = None
    v_threshold: float | Tensor

    def __init__(
        self,
        tau: float = 1.0,
        v_threshold: Value = Learned(0.3),  # noqa: B008  (it is never changed)
        alpha: float = 0.3,
        dt: float = 0.05,
        lowest: float = 0.0005,
        surrogate: Surrogate | None = None,
    ) -> None:
        super().__init__(surrogate)
        self.dt = check_dt("DSRLIF", dt)
        if not (isinstance(tau, (int, float)) and dt <= tau < float("inf")):
            raise OptionError(f"DSRLIF got tau={tau!r}", f"a number of at least dt={dt:g}", "It is held fixed.")
        _learned_height(self, v_threshold, alpha, lowest)
        self.tau, self.alpha = float(tau), alpha

    @property
    def beta(self) -> float | Tensor:
        """What is left of the membrane after one step."""
        return exponential.beta(self.tau, self.dt)

    @property
    def decay_of_v(self) -> float | Tensor:
        """beta."""
        return self.beta

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """Leak and charge, then fire."""
        u = self.beta * state.v + (1 - self.beta) * x
        s = self.v_threshold * self.surrogate(u - self.alpha * self.v_threshold)
        return s / self.dt, self.State(u - s)

    def representation(self, xs: Float[Tensor, "T B *features"]) -> Representation:
        """The mean that weighs late steps more, over tau, between 0 and the height of a spike, ends left out."""
        fixed_surrogate(self)
        weights = late(self.beta, xs)
        # over the sum of beta^(T-n), which is 1 over the last and largest weight
        top = self.v_threshold / self.dt
        # what is left over, and how much the true slope, (1 - beta) / dt, is below 1 / tau
        residual = top * (max(self.alpha, 1 - self.alpha) * weights[-1] + (1 - (1 - self.beta) * self.tau / self.dt))
        return Representation(weights, 1 / self.tau, top, False, self.dt**2, residual)

    def extra_repr(self) -> str:
        """The quantities."""
        return f"tau={self.tau:g}, {super().extra_repr()}, alpha={self.alpha:g}, dt={self.dt:g}"


def _learned_height(neuron: DSRIF | DSRLIF, v_threshold: Value, alpha: float, lowest: float) -> None:
    """Check and own what both neurons share."""
    owner = type(neuron).__name__
    if not 0 < alpha <= 1:
        raise OptionError(f"{owner} got alpha={alpha!r}", "a number above 0 and up to 1", "1/2 rounds to nearest.")
    if not 0 < lowest < 1e4:
        raise OptionError(f"{owner} got lowest={lowest!r}", "a floor of the threshold above 0")
    neuron.quantity("v_threshold", v_threshold, between(lowest, 1e4, curve="clamp"))
