"""LSG: a window whose width follows the decay of the membrane, and so is learned with it.

    psi(x) = 1 / w if |x| < w / 2 else 0,        w = scale 2 v_threshold sqrt(1 + decay^2)

With inputs that are normalised to a standard deviation of v_threshold, the membrane has about the variance
(1 + decay^2) v_threshold^2, so that the window holds the same share of a layer's neurons whatever its decay has become.
The neuron hands its decay and its threshold over at each step; no gradient goes to them through the width. The paper's
neuron is `LIF(tau=Learned(1.25), v_threshold=0.5, v_reset=0.0, surrogate=LSG())`: its decay is sigmoid(b), b = -1.386.

Paper: [lian2023lsg]
Differs from the paper: `scale`, 1 there, may be fixed elsewhere or learned, for neurons whose inputs have another size.
"""

from __future__ import annotations

import functools
import math

from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.core.quantity import Value
from snn4.surrogates.rectangle import ramp, window
from snn4.surrogates.surrogate import SCALE, Membrane, Surrogate, spike, spike_along

__all__ = ["LSG"]


class LSG(Surrogate):
    """A window of area 1 that follows the neuron's membrane.

    Args:
        scale: factor of the width; a float, a tensor, or learned.
        decay: the decay to take where no neuron hands one, as in a picture; the paper's first one.
        v_threshold: the threshold to take there.

    Raises:
        OptionError: also from a neuron without a decay, where it is built with this surrogate.

    Example:
        >>> import torch
        >>> lsg, x = LSG(), torch.tensor([0.0, 0.52, 0.56])
        >>> lsg.derivative(x, Membrane(decay=0.2, threshold=0.5))
        tensor([0.9806, 0.0000, 0.0000])
        >>> lsg.derivative(x, Membrane(decay=0.5, threshold=0.5))
        tensor([0.8944, 0.8944, 0.0000])
    """

    scale: float | Tensor
    follows = True

    def __init__(self, scale: Value = 1.0, *, decay: float = 0.2, v_threshold: float = 0.5) -> None:
        super().__init__()
        if not (math.isfinite(decay) and 0 < v_threshold < math.inf):
            raise OptionError(
                f"LSG got decay={decay}, v_threshold={v_threshold}", "a finite decay, a finite v_threshold > 0"
            )
        self.quantity("scale", scale, SCALE)
        self.alone = Membrane(decay, v_threshold)

    def width(self, membrane: Membrane | None = None) -> float | Tensor:
        """The width of the window on this membrane."""
        decay, threshold = (value.detach() if isinstance(value, Tensor) else value for value in membrane or self.alone)
        return self.scale * (2 * threshold * (1 + decay * decay) ** 0.5)

    def derivative(self, x: Float[Tensor, "*any"], membrane: Membrane | None = None) -> Float[Tensor, "*any"]:
        """1 / width inside the window."""
        return window(x, self.width(membrane))

    def primitive(self, x: Float[Tensor, "*any"], membrane: Membrane | None = None) -> Float[Tensor, "*any"]:
        """x / width + 1/2, clipped."""
        return ramp(x, self.width(membrane))

    def forward(self, x: Float[Tensor, "*any"], membrane: Membrane | None = None) -> Float[Tensor, "*any"]:
        """Spikes, 0 or 1. Shape: any, kept."""
        width = self.width(membrane)
        if self.learns:
            return spike_along(x, ramp(x, width))
        if isinstance(width, Tensor):
            return spike(x, window, width)
        return spike(x, functools.partial(window, width=width))

    @property
    def area(self) -> float:
        """1."""
        return 1.0
