"""Izhikevich's neuron: two equations that fire in all the ways of the cortex, in millivolts and milliseconds.

    dv/dt = .04 v^2 + 5 v + 140 - u + x;     du/dt = a (b v - u)
    s[t] = H(v - v_threshold);     v <- c,  u <- u + d    where it fired

A step is one millisecond: two half steps for v, as the author takes them, then one for u.

Paper: [izhikevich2003]
Differs from the paper: the right-hand side sees the membrane held between `v_floor` and 1000 mV. The parabola else
throws a strongly inhibited neuron up over its peak, and a wild input to infinity.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.core.quantity import REAL, Value, between
from snn4.core.states import state
from snn4.neurons.spiking import SpikingNeuron
from snn4.surrogates import Surrogate

__all__ = ["Izhikevich"]

_CEILING = 1000.0


class Izhikevich(SpikingNeuron):
    """Quadratic integrate-and-fire with recovery; the defaults are a regular spiking cell.

    Fast spiking: (.1, .2, -65, 2); chattering: (.02, .2, -50, 2); intrinsically bursting: (.02, .2, -55, 4); low
    threshold: (.02, .25, -65, 2). The surrogate sees (v - v_threshold) / (v_threshold - v_rest), from rest to peak 1.

    Args:
        a: rate of the recovery, 0 to 1 per ms; a float, a tensor, or learned.
        b: how the recovery follows the membrane, -1 to 1; a float, a tensor, or learned.
        c: where a spike puts the membrane, mV.
        d: what a spike adds to the recovery, -100 to 100; a float, a tensor, or learned.
        v_threshold: fires at v >= v_threshold, the peak of a spike, mV.
        v_rest: where the membrane starts, mV.
        v_floor: how far down the parabola follows the membrane, mV.
        surrogate: default `ATan()`.
        detach_reset: whether the reset is a constant for the gradient.

    Shape: (T, B, *features), kept.

    Example:
        >>> import torch
        >>> spikes = Izhikevich()(torch.full((1000, 1, 1), 10.0))
        >>> int(spikes.sum()), spikes.flatten().nonzero().flatten()[:4].tolist()
        (20, [3, 30, 78, 140])
    """

    State = state("v", "u")
    a: float | Tensor
    b: float | Tensor
    d: float | Tensor

    def __init__(
        self,
        a: Value = 0.02,
        b: Value = 0.2,
        c: float = -65.0,
        d: Value = 8.0,
        v_threshold: Value = 30.0,
        v_rest: float = -65.0,
        v_floor: float = -120.0,
        surrogate: Surrogate | None = None,
        *,
        detach_reset: bool = False,
    ) -> None:
        super().__init__(v_threshold, c, surrogate, detach_reset=detach_reset, domain=REAL)
        if not -_CEILING <= v_floor < min(c, v_rest) or not v_rest < _CEILING:
            raise OptionError(
                f"Izhikevich got v_floor={v_floor}, c={c}, v_rest={v_rest}",
                f"v_floor below c and v_rest, all between -{_CEILING:g} and {_CEILING:g}",
            )
        self.v_rest, self.v_floor = float(v_rest), float(v_floor)
        self.quantity("a", a, between(0, 1, curve="clamp"))
        self.quantity("b", b, between(-1, 1, curve="clamp"))
        self.quantity("d", d, between(-100, 100, curve="clamp"))

    def rest(self) -> Any:
        """The membrane at rest, the recovery where the membrane holds it."""
        return self.State(self.v_rest, self.b * self.v_rest)

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """Two half steps of the membrane, one of the recovery, then fire."""
        v, u = state.v, state.u
        for _ in range(2):
            held = v.clamp(self.v_floor, _CEILING)
            v = v + 0.5 * (0.04 * held * held + 5 * held + 140 - u + x)
        u = u + self.a * (self.b * v - u)
        s = self.spike((v - self.v_threshold) * (1 / (self.v_threshold - self.v_rest)))
        return s, self.State(self.reset(v, s), u + self.d * s)
