r"""Keeps the firing rates of hidden layers inside a band: spikes cost energy, and a silent neuron learns nothing.

    r[l,i] = mean_{t,b} s[l][t,b,i]
    L = strength * sum_l mean_i ( max(0, low - r[l,i])^2 + max(0, r[l,i] - high)^2 )

`low == high` makes it a target. Above, the surrogate gradient lowers the rate; below, it revives neurons whose membrane
is near the threshold.

Paper: [zenke2021remarkable].
Differs from the paper: rates in place of counts, squares, and means over neurons for both bounds, so that the strength
depends on neither T nor the width.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from snn4.core.errors import OptionError

__all__ = ["FiringRate"]


@dataclasses.dataclass(frozen=True)
class FiringRate:
    """Squared distance of each neuron's firing rate from a band; for `Task.penalty`.

    Args:
        low: the lowest rate, in spikes a step, that costs nothing.
        high: the highest.
        strength: what the loss is to weigh; such that this term is a few per cent of the loss.
        without: layers to leave out, by path; a spiking read-out layer belongs here.

    Shape:
        each layer's spikes (T, B, *features) -> ().

    Raises:
        OptionError: an empty band, or a name in `without` that is no spiking layer.

    Example:
        >>> FiringRate(low=0.25, high=0.5)({"1": torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]])})
        tensor(0.1562)
    """

    low: float = 0.01
    high: float = 0.2
    strength: float = 1.0
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1 or not 0 <= self.strength < math.inf:
            raise OptionError(
                f"FiringRate got low={self.low}, high={self.high}, strength={self.strength}",
                "0 <= low <= high <= 1 and a finite strength >= 0",
                "Rates are in spikes a step.",
            )

    def __call__(self, spikes: Mapping[str, Tensor]) -> Tensor:
        """The penalty for the spikes of all layers, by path."""
        unknown = set(self.without) - set(spikes)
        if unknown or not spikes:
            raise OptionError(
                f"FiringRate leaves out {sorted(unknown)}" if unknown else "FiringRate got no spiking layer",
                f"paths among {sorted(spikes)}" if unknown else "a network that spikes",
                "snn4.training.spiking_layers(net) lists them.",
            )
        terms: list[Tensor] = []
        for path, fired in spikes.items():
            if path not in self.without:
                rates = fired.float().mean((0, 1))
                below, above = (self.low - rates).relu(), (rates - self.high).relu()
                terms.append((below.square() + above.square()).mean())
        return self.strength * torch.stack(terms).sum() if terms else torch.zeros(())
