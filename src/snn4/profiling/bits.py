"""How wide the numbers of a network are."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from snn4.core.errors import OptionError
from snn4.profiling.synapses import Synaptic
from snn4.quantization import QuantReLU, weight_bits

__all__ = ["Bits"]


@dataclass(frozen=True)
class Bits:
    """Bits of a network's numbers.

    Args:
        weights: of weights and biases.
        activations: of what layers hand on. Layers that see the data itself get at least 8.
        state: of membranes and other state.

    Raises:
        OptionError: outside 1 to 32.
    """

    weights: int = 32
    activations: int = 32
    state: int = 32

    def __post_init__(self) -> None:
        for name, value in (("weights", self.weights), ("activations", self.activations), ("state", self.state)):
            if not 1 <= value <= 32:
                raise OptionError(f"Bits got {name}={value}", "1 to 32")

    @classmethod
    def of(cls, net: torch.nn.Module) -> Bits:
        """What the network's own quantisers and dtypes say.

        Example:
            >>> from snn4.quantization import quantised_twin
            >>> ann = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
            >>> Bits.of(ann), Bits.of(quantised_twin(ann, activation_bits=3))
            (Bits(weights=32, activations=32, state=32), Bits(weights=8, activations=3, state=32))
        """
        modules = list(net.modules())
        layers = [m for m in modules if isinstance(m, Synaptic)]
        widest = max((8 * m.weight.element_size() for m in layers), default=32)
        float_bits = min(32, widest)
        weights = max((weight_bits(m) or float_bits for m in layers), default=32)
        quantisers = [m.bits for m in modules if isinstance(m, QuantReLU)]
        floats = any(isinstance(m, torch.nn.ReLU) for m in modules)
        activations = max(quantisers) if quantisers and not floats else float_bits
        return cls(weights=weights, activations=activations)

    def to_dict(self) -> dict[str, int]:
        """Ready for JSON."""
        return {"weights": self.weights, "activations": self.activations}
