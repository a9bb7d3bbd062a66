"""Hold each step of a sequence for several steps: direct coding, inside the network.

    y[t] = x[t // steps]

Placed before the first neuron, behind the first layer and its norm, the layer that meets the analog input runs once
a frame and not once a step.

Paper: [rueckauer2017conversion]
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.checks import check_sequence, is_whole
from snn4.core.errors import OptionError

__all__ = ["Hold"]


class Hold(torch.nn.Module):
    """Each step, `steps` times.

    Args:
        steps: how long a step is held; 1 does nothing, as in the ANN of the same architecture.

    Shape: (T, B, *features) -> (T * steps, B, *features).

    Example:
        >>> Hold(3)(torch.tensor([1.0, 2.0]).view(2, 1, 1)).flatten().tolist()
        [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        if not is_whole(steps):
            raise OptionError(f"Hold got steps={steps!r}", "a whole number >= 1")
        self.steps = steps

    def forward(self, xs: Float[Tensor, "T B *features"]) -> Float[Tensor, "S B *features"]:
        """x[0], x[0], ..., x[1], x[1], ..."""
        check_sequence("Hold", xs, floating=False)
        if self.steps == 1:
            return xs
        # expand, so that nothing is copied when there is one frame
        return xs.unsqueeze(1).expand(-1, self.steps, *xs.shape[1:]).flatten(0, 1)

    def extra_repr(self) -> str:
        """The number of steps."""
        return f"steps={self.steps}"
