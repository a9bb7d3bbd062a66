"""LIF: integrate and fire, with a leak.

    v[t] = beta v[t-1] + x[t];    s[t] = H(v[t] - v_threshold)
    soft reset   v[t] <- v[t] - s[t] v_threshold
    hard reset   v[t] <- v_reset where s[t] = 1          (the membrane then decays towards v_reset)

    beta = 1 - dt / tau   (decay=euler, the default)   or   exp(-dt / tau)   (decay=exponential)

Paper: [lapicque1907, gerstner2014neuronal]
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from snn4.core.quantity import Learned, Value
from snn4.core.states import state
from snn4.neurons.decay import Decay, check_dt, euler
from snn4.neurons.spiking import SpikingNeuron
from snn4.neurons.unit_rate import unit_rate
from snn4.surrogates import Surrogate
from snn4.through_time import Representation

__all__ = ["LIF", "plif"]


class LIF(SpikingNeuron):
    """Leaky integrate-and-fire.

    Args:
        tau: membrane time constant, in units of `dt`'s unit (steps, when dt is 1); a float, a tensor, or learned.
        v_threshold: fires at v >= v_threshold; a float, a tensor, or learned.
        v_reset: `None` for a soft reset, a number for a hard one.
        surrogate: default `ATan()`.
        detach_reset: whether the reset is a constant for the gradient.
        decay: `euler` (beta = 1 - dt / tau) or `exponential` (beta = exp(-dt / tau)).
        decay_input: whether the input is multiplied by 1 - beta, so that a constant input x drives v to x.
        dt: length of a step.

    Shape: (T, B, *features), kept. A tensor quantity has shape (), or the features' axes with 1 where it is shared.

    Example:
        >>> import torch
        >>> LIF(tau=2.0)(torch.full((4, 1, 1), 0.75)).flatten().tolist()
        [0.0, 1.0, 0.0, 1.0]
    """

    State = state("v")
    tau: float | Tensor

    def __init__(
        self,
        tau: Value = 2.0,
        v_threshold: Value = 1.0,
        v_reset: float | None = None,
        surrogate: Surrogate | None = None,
        *,
        detach_reset: bool = False,
        decay: Decay = euler,
        decay_input: bool = False,
        dt: float = 1.0,
    ) -> None:
        super().__init__(v_threshold, v_reset, surrogate, detach_reset=detach_reset)
        self.dt = check_dt("LIF", dt)
        self.decay, self.decay_input = decay, decay_input
        self.quantity("tau", tau, decay.domain(self.dt))

    @property
    def beta(self) -> float | Tensor:
        """What is left of the membrane after one step."""
        return self.decay.beta(self.tau, self.dt)

    @property
    def decay_of_v(self) -> float | Tensor:
        """beta."""
        return self.beta

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """v = beta v + x, then fire."""
        beta = self.beta
        if self.decay_input:
            x = (1 - beta) * x
        if self.v_reset:
            x = x + (1 - beta) * self.v_reset
        s, v = self.fire(beta * state.v + x)
        return s, self.State(v)

    def representation(self, xs: Float[Tensor, "T B *features"]) -> Representation:
        """Soft reset: the rate that weighs late steps more, by powers of beta, between 0 and 1."""
        return unit_rate(self, self.beta, (1 - self.beta) if self.decay_input else 1.0, xs)

    def extra_repr(self) -> str:
        """The quantities, the reset and the decay."""
        return f"{super().extra_repr()}, decay={self.decay}{', decay_input' * self.decay_input}"


def plif(
    tau: float = 2.0,
    v_threshold: Value = 1.0,
    v_reset: float | None = 0.0,
    surrogate: Surrogate | None = None,
    *,
    detach_reset: bool = True,
    decay_input: bool = True,
    shape: tuple[int, ...] = (),
) -> LIF:
    """PLIF: a LIF whose time constant is learned, 1 / tau = sigmoid(w), one w a layer.

    Paper: [fang2021plif]

    Args:
        tau: where the time constant starts, > 1.
        v_threshold: fires at v >= v_threshold.
        v_reset: the paper's reset is hard, to 0.
        surrogate: default `ATan()`, the paper's.
        detach_reset: as in the paper's experiments.
        decay_input: as in the paper, v = v + (x - v) / tau.
        shape: `()` as in the paper, or a shape for one time constant per channel or neuron.

    Example:
        >>> plif(2.0)
        LIF(
          v_threshold=1, tau=2 learned, v_reset=0, detach_reset, decay=euler, decay_input
          (surrogate): ATan(alpha=2)
          (learned_tau): _Raw()
        )
    """
    return LIF(Learned(tau, shape), v_threshold, v_reset, surrogate, detach_reset=detach_reset, decay_input=decay_input)
