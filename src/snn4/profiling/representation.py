"""How far the outputs of each layer are from the number that they stand for: what DSR takes for zero.

    error = | sum_n w[n] s[n]  -  clamp(k sum_n w[n] x[n], 0, top) |

The bound is that of a constant input within the clamp's ends; an uneven input may go beyond it.

Paper: [meng2022dsr]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.core.report import table
from snn4.through_time import Neuron

__all__ = ["LayerError", "RepresentationError", "representation_error"]


@dataclass(frozen=True)
class LayerError:
    """The error of one layer, in the unit of its output.

    Args:
        path: where the neuron is.
        neuron: its class.
        mean: over batch and units.
        worst: the largest.
        bound: of a constant input; the mean where it differs between units.
        beyond: share of the values above the bound.
        top: the upper end of the clamp; the mean where it differs.
    """

    path: str
    neuron: str
    mean: float
    worst: float
    bound: float
    beyond: float
    top: float


@dataclass(frozen=True)
class RepresentationError:
    """One `LayerError` a layer. Prints as a table."""

    layers: tuple[LayerError, ...]

    def __str__(self) -> str:
        rows = [
            [e.path, e.neuron, f"{e.top:.4g}", f"{e.mean:.4g}", f"{e.worst:.4g}", f"{e.bound:.4g}", f"{e.beyond:.1%}"]
            for e in self.layers
        ]
        return table(["layer", "neuron", "top", "mean error", "worst", "bound", "beyond it"], rows)


def representation_error(net: torch.nn.Module, xs: Tensor) -> RepresentationError:
    """Run the network once, in the mode it is in, and compare each layer's outputs with its clamp.

    Args:
        net: a network with neurons that have a representation; others are left out.
        xs: its input. Shape (T, B, *features).

    Raises:
        OptionError: there is no such neuron.

    Example:
        >>> from snn4 import nn
        >>> error = representation_error(torch.nn.Sequential(nn.DSRIF(6.0)), torch.full((5, 1, 1), 1.0))
        >>> round(error.layers[0].mean, 6), round(error.layers[0].bound, 6)
        (0.2, 0.6)
    """
    errors: list[LayerError] = []
    handles: list[torch.utils.hooks.RemovableHandle] = []

    def watch(path: str, neuron: Neuron) -> None:
        def look(_module: torch.nn.Module, inputs: tuple[Any, ...], ys: Tensor) -> None:
            xs: Tensor = inputs[0]
            told = neuron.representation(xs)
            gap = (told.mean(ys) - told.clamp(told.mean(xs))).abs().double()
            bound, top = (torch.as_tensor(value).double().to(gap.device) for value in (told.residual, told.top))
            errors.append(
                LayerError(
                    path or "(the net)",
                    type(neuron).__name__,
                    gap.mean().item(),
                    gap.max().item(),
                    bound.mean().item(),
                    # a rounding error is none
                    (gap > bound * (1 + 1e-5)).double().mean().item(),
                    top.mean().item(),
                )
            )

        handles.append(neuron.register_forward_hook(look))

    for path, module in net.named_modules():
        if isinstance(module, Neuron) and _represented(module):
            watch(path, module)
    if not handles:
        raise OptionError(
            f"{type(net).__name__} has no neuron with a representation",
            "at least one, such as nn.DSRIF or nn.IF",
            "See Neuron.representation.",
        )
    try:
        with torch.no_grad():
            net(xs)
    finally:
        for handle in handles:
            handle.remove()
    return RepresentationError(tuple(errors))


def _represented(neuron: Neuron) -> bool:
    try:
        neuron.representation(torch.zeros(1, 1, 1))
    except NotImplementedError:
        return False
    return True
