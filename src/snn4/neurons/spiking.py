"""What all threshold neurons share: the threshold, the surrogate, the reset."""

from __future__ import annotations

import abc
import copy
import math
from typing import Any

from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.core.quantity import POSITIVE, Domain, Learned, Value, above
from snn4.surrogates import ATan, Surrogate
from snn4.surrogates.surrogate import Membrane
from snn4.through_time import Neuron

__all__ = ["SpikingNeuron"]


def _lowest(values: object) -> float:
    """The smallest of them; infinite where they are not known yet, or no numbers."""
    if isinstance(values, Tensor):
        return float(values.detach().min()) if values.numel() and not values.is_meta else math.inf
    return float(values) if isinstance(values, (int, float)) else math.inf


class SpikingNeuron(Neuron):
    """Abstract: fires when the membrane reaches a threshold, then resets.

    Args:
        v_threshold: fires at v >= v_threshold; a float, a tensor, or learned.
        v_reset: `None` for a soft reset (the threshold is subtracted); a number for a hard one (the membrane is put
            there), which is also the resting potential.
        surrogate: stands for the derivative of the spike; the neuron keeps a copy of its own. Default `ATan()`.
        detach_reset: whether the reset is a constant for the gradient.
        domain: the thresholds that make sense; above 0 where the membrane rests there.
    """

    v_threshold: float | Tensor

    def __init__(
        self,
        v_threshold: Value,
        v_reset: float | None,
        surrogate: Surrogate | None,
        *,
        detach_reset: bool,
        domain: Domain = POSITIVE,
    ) -> None:
        super().__init__()
        if v_reset is not None and not (isinstance(v_reset, (int, float)) and abs(v_reset) < float("inf")):
            raise OptionError(f"{type(self).__name__} got v_reset={v_reset!r}", "a number, or None for a soft reset")
        if isinstance(v_threshold, Learned) and v_reset is not None:
            # a threshold that sank to the reset would make it fire for ever
            lower = domain.low < v_reset < _lowest(v_threshold.value)
            domain = above(v_reset) if lower else domain
        self.quantity("v_threshold", v_threshold, domain)
        if surrogate is not None and not isinstance(surrogate, Surrogate):
            raise OptionError(
                f"{type(self).__name__} got surrogate={surrogate!r}",
                "a Surrogate",
                "Write surrogate=snn4.surrogates.ATan(alpha=2.0).",
            )
        lowest = _lowest(self.v_threshold)
        if v_reset is not None and v_reset >= lowest:
            raise OptionError(
                f"{type(self).__name__} got v_reset={v_reset} and v_threshold={lowest:g}",
                "v_reset < v_threshold",
                "Otherwise it fires for ever after the first spike.",
            )
        self.v_reset = None if v_reset is None else float(v_reset)
        if surrogate is not None and surrogate.follows and type(self).decay_of_v is Neuron.decay_of_v:
            raise OptionError(
                f"{type(self).__name__} got surrogate={surrogate}, whose width follows the decay of the membrane",
                "a surrogate with a width of its own, because its membrane has no single decay",
                "Take surrogate=Rectangle(1.0), or a neuron such as LIF.",
            )
        self.surrogate: Surrogate = ATan() if surrogate is None else copy.deepcopy(surrogate)
        self.detach_reset = detach_reset

    @abc.abstractmethod
    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """Charge the membrane with `x`, then `fire`."""

    def fire(self, v: Float[Tensor, "*any"]) -> tuple[Float[Tensor, "*any"], Float[Tensor, "*any"]]:
        """Spikes, and the membrane after its reset. Shape: any, kept."""
        s = self.spike(v - self.v_threshold)
        return s, self.reset(v, s)

    def spike(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Spikes where `x`, the membrane minus its threshold, is not negative. Shape: any, kept."""
        if self.surrogate.follows:
            return self.surrogate(x, Membrane(self.decay_of_v, self.v_threshold))
        return self.surrogate(x)

    def reset(self, v: Float[Tensor, "*any"], s: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """The membrane after spikes. Shape: any, kept."""
        r = s.detach() if self.detach_reset else s
        if self.v_reset is None:
            return v - r * self.v_threshold
        # as a choice, not v - r (v - v_reset): the membrane is then exactly v_reset after a spike
        return v * (1 - r) + r * self.v_reset

    def rest(self) -> Any:
        """The membrane at its resting potential, everything else at zero."""
        zeros = super().rest()
        return zeros._replace(v=self.v_reset) if self.v_reset else zeros

    def check_quantities(self, features: Any) -> None:
        """Also the surrogate's."""
        super().check_quantities(features)
        self.surrogate.check_quantities(features)

    def extra_repr(self) -> str:
        """The quantities and the reset."""
        reset = "soft" if self.v_reset is None else f"{self.v_reset:g}"
        return f"{super().extra_repr()}, v_reset={reset}{', detach_reset' * self.detach_reset}"
