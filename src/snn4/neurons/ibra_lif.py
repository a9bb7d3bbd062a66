"""IBRA-LIF: an integer LIF with 2^bits values, run as bits, whose values are aligned with the range of the membrane.

    levels = 2^bits - 1;     unit = v_max / levels
    h[t] = beta v[t-1] + x[t];     c[t] = round(clip(h[t] / unit, 0, levels))
    y[t] = unit c[t];              v[t] = h[t] - y[t]

For inference a count is `bits` binary spikes, spike k of which is added after a shift by k; `unit` goes into the next
weights. The range is learned: where it is too wide, high counts are never used, where too narrow, membranes are cut.

Paper: [ye2025ibra]
Differs from the paper: its formulas are not public; the range as a learned scale is our reading of "range alignment".
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from snn4.core.checks import is_whole
from snn4.core.errors import OptionError
from snn4.core.quantity import POSITIVE, Learned, Value
from snn4.core.states import state
from snn4.neurons.decay import euler
from snn4.neurons.integer_lif import Rounding, check_levels, straight_round
from snn4.through_time import Neuron

__all__ = ["IBRALIF"]

_RANGE = Learned(4.0)


class IBRALIF(Neuron):
    """Integer LIF with a learned range. Its outputs are counts times `unit`.

    Args:
        bits: virtual steps at inference; the counts go up to 2^bits - 1.
        v_max: the largest output, the range; a float, a tensor, or learned. It starts well near the largest membranes.
        tau: membrane time constant in steps; a float, a tensor, or learned.
        rounding: of halves, `"even"` as torch does, or `"up"` as integer hardware does.
        detach_reset: whether the reset is a constant for the gradient.

    Shape: (T, B, *features), kept.

    Example:
        >>> import torch
        >>> neuron = IBRALIF(bits=2, v_max=1.5)
        >>> neuron.unit, neuron(torch.tensor([0.4, 0.9, 3.0]).view(3, 1, 1)).flatten().tolist()
        (0.5, [0.5, 1.0, 1.5])
    """

    State = state("v")
    alphabet = None
    v_max: float | Tensor
    tau: float | Tensor

    def __init__(
        self,
        bits: int = 6,
        v_max: Value = _RANGE,
        tau: Value = 4 / 3,
        *,
        rounding: Rounding = "even",
        detach_reset: bool = True,
    ) -> None:
        super().__init__()
        if not is_whole(bits) or bits > 16:
            raise OptionError(f"IBRALIF got bits={bits!r}", "a whole number from 1 to 16")
        check_levels("IBRALIF", 1, rounding)
        self.bits, self.levels, self.detach_reset = bits, 2**bits - 1, detach_reset
        self.rounding: Rounding = rounding
        self.quantity("v_max", v_max, POSITIVE)
        self.quantity("tau", tau, euler.domain(1.0))

    @property
    def unit(self) -> float | Tensor:
        """What a count of one stands for."""
        return self.v_max / self.levels

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """Charge, count in units of the range, and keep what the output leaves."""
        unit = self.unit
        h = (1 - 1 / self.tau) * state.v + x
        y = unit * straight_round(h / unit, self.levels, self.rounding)
        return y, self.State(h - (y.detach() if self.detach_reset else y))

    def extra_repr(self) -> str:
        """The bits and the quantities."""
        return f"bits={self.bits}, {super().extra_repr()}, rounding={self.rounding}"
