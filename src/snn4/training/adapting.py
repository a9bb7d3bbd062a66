"""Surrogates that change as training goes on: annealed ones follow the epoch, Dspike's temperature is searched.

`fit` does both by itself at the beginning of each epoch, unless `FitConfig(adapt=False)`:

- `Annealed` surrogates get `anneal(net, epoch / (epochs - 1))`; how sharp they are is a function of the epoch;
- where all `Dspike` surrogates share one fixed temperature, `search_temperature` looks at the epoch's first batch and
  the network's first weight. The step is 1 in the first half of the training and 0.2 after. What was found stands in
  metrics.jsonl as `temperature` and in the checkpoint, so that a run which is stopped goes on with it.

Neither leaves a trace in weights, running statistics or random numbers.

Paper: [li2021dspike]
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from snn4.surrogates import Annealed, Dspike, anneal, search_temperature

__all__ = ["follow_epoch", "searched", "set_temperature", "temperature"]


def follow_epoch(net: torch.nn.Module, epoch: int, epochs: int) -> None:
    """Sharpen annealed surrogates, if there are any, as far as this epoch, counted from 0, asks.

    Example:
        >>> net = torch.nn.Sequential(Annealed(sharpness=4.0, hold=0.0))
        >>> follow_epoch(net, 1, 3)
        >>> net[0].k.item()
        2.0
    """
    if any(isinstance(module, Annealed) for module in net.modules()):
        anneal(net, epoch / (epochs - 1) if epochs > 1 else 0.0)


def temperature(net: torch.nn.Module) -> float | None:
    """The one fixed temperature of all Dspike surrogates, or None where there is nothing to search.

    Example:
        >>> temperature(torch.nn.Sequential(Dspike(3.0), Dspike(3.0))), temperature(torch.nn.Sequential(Annealed()))
        (3.0, None)
    """
    values = [module.b for module in net.modules() if isinstance(module, Dspike)]
    fixed = {value for value in values if not isinstance(value, Tensor)}
    return fixed.pop() if len(fixed) == 1 and not any(isinstance(value, Tensor) for value in values) else None


def set_temperature(net: torch.nn.Module, value: float) -> None:
    """Give every Dspike surrogate this temperature."""
    for module in net.modules():
        if isinstance(module, Dspike):
            module.b = value


def searched(net: torch.nn.Module, loss: Callable[[], Tensor], late: bool, generator: torch.Generator) -> float | None:
    """Search the temperature and set it; None where there is none, or no weight to look at.

    Args:
        net: the network, in training mode.
        loss: of one batch, with the same random numbers at each call.
        late: whether half of the training is over.
        generator: draws the entries of the weight.
    """
    weight = next((p for p in net.parameters() if p.ndim > 1 and p.requires_grad), None)
    if weight is None or temperature(net) is None:
        return None
    return search_temperature(net, loss, weight, step=0.2 if late else 1.0, generator=generator).b
