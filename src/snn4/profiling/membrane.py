"""Membrane updates and neuron operations of a neuron layer.

NeuroBench compares the membrane before a step with the membrane after it (reset included):

    updates = neurons of the first step + elements of later steps whose membrane changed

A network keeps no membrane that could be read afterwards, so the neuron's own `step` is folded once more over the
inputs that its layer was given. A neuron that sees the whole sequence at once (its `sequence` is its own) has no step
to fold; every neuron then counts as updated at every step.

    operations = updates x fixed cost     4 for one state variable, 6 for two, 18 for more

which are NeuroBench's costs of the neurons with as many state variables (Leaky, Synaptic, Alpha, reset by subtraction),
and 2 for each state variable of a neuron that never fires, such as a leaky readout. Of the operations, one for each
state variable is taken for a multiplication (the leak), the others for additions.

Paper: [yik2025neurobench]. Differs from the paper: the cost goes by the number of state variables, because NeuroBench's
table names snnTorch's classes.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from snn4.through_time import Neuron

__all__ = ["MembraneCount", "operations_per_update"]

_COST = {1: 4, 2: 6}
_COST_OF_MORE = 18


def operations_per_update(neuron: Neuron) -> int:
    """Fixed cost of one membrane update, in elementary operations.

    Example:
        >>> from snn4 import nn
        >>> operations_per_update(nn.LIF())
        4
    """
    variables = len(neuron.State._fields)
    return 2 * variables if neuron.alphabet is None else _COST.get(variables, _COST_OF_MORE)


class MembraneCount:
    """Folds a neuron's step over what its layer is given, and counts where the membrane changes.

    Args:
        neuron: whose step.
        steps: the length of the network's input. Shorter calls are parts of a loop over time, and go on where the last
            one stopped; a call of full length starts at rest.
    """

    def __init__(self, neuron: Neuron, steps: int) -> None:
        self.neuron, self.steps = neuron, steps
        self.state: Any = None
        self.variables = self.words = self.bytes = 0
        fields = cast("tuple[str, ...]", neuron.State._fields)
        self._membrane = fields.index("v") if "v" in fields else 0
        self._whole = type(neuron).sequence is not Neuron.sequence

    def updates(self, xs: Tensor, ys: Tensor) -> Tensor:
        """Membrane updates of each sample in one call of the layer.

        Shape: xs and ys (T, B, *features) -> (B,).
        """
        rest: Any = self.neuron.initial(xs[0])
        batch = xs.shape[1]
        variables = sum(t.numel() for t in rest) // batch
        self.words += variables * xs.shape[0]
        goes_on = self.state is not None and xs.shape[0] < self.steps
        state: Any = self.state if goes_on else rest
        if not goes_on:
            self.variables += variables
            self.bytes += sum(t.numel() * t.element_size() for t in rest) // batch
        if self._whole:
            self.state = rest
            return torch.full((batch,), float(ys[:, 0].numel()), dtype=torch.float64)
        total = torch.zeros(batch, dtype=torch.float64)
        for t, x in enumerate(xs.unbind(0)):
            before: Tensor = state[self._membrane]
            state = self.neuron.step(x, state)[1]
            after: Tensor = state[self._membrane]
            if t == 0 and not goes_on:
                total += after.numel() // batch
            else:
                total += (before != after).flatten(1).sum(1).double().cpu()
        self.state = state
        return total
