"""LI: a leaky integrator that never fires; the usual readout.

    v[t] = beta v[t-1] + x[t];    y[t] = v[t]

Paper: [gerstner2014neuronal]
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from snn4.core.quantity import Value
from snn4.core.states import state
from snn4.neurons.decay import Decay, check_dt, euler
from snn4.through_time import Neuron

__all__ = ["LI"]


class LI(Neuron):
    """Leaky integrator: its output is its membrane.

    Args:
        tau: membrane time constant; a float, a tensor, or learned.
        decay: `euler` (beta = 1 - dt / tau) or `exponential` (beta = exp(-dt / tau)).
        decay_input: whether the input is multiplied by 1 - beta.
        dt: length of a step.

    Shape: (T, B, *features), kept.

    Example:
        >>> import torch
        >>> LI(tau=2.0)(torch.ones(3, 1, 1)).flatten().tolist()
        [1.0, 1.5, 1.75]
    """

    State = state("v")
    alphabet = None
    linear = True
    tau: float | Tensor

    def __init__(self, tau: Value = 2.0, *, decay: Decay = euler, decay_input: bool = False, dt: float = 1.0) -> None:
        super().__init__()
        self.dt = check_dt("LI", dt)
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
        """v = beta v + x."""
        beta = self.beta
        v = beta * state.v + ((1 - beta) * x if self.decay_input else x)
        return v, self.State(v)

    def extra_repr(self) -> str:
        """The quantities and the decay."""
        return f"{super().extra_repr()}, decay={self.decay}{', decay_input' * self.decay_input}"
