"""Dense networks: (linear, norm, neuron, dropout) a hidden layer, then a linear output."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch

from snn4.core.errors import OptionError
from snn4.layers import BatchNorm1d, Dropout, Flatten, Hold, Linear
from snn4.models.registry import register
from snn4.neurons import LIF

__all__ = ["mlp"]


@register
def mlp(
    inputs: int,
    hidden: Sequence[int],
    classes: int,
    neuron: Callable[[], torch.nn.Module] = LIF,
    *,
    steps: int = 1,
    norm: bool = False,
    dropout: float = 0.0,
) -> torch.nn.Sequential:
    """A multi-layer perceptron. With `neuron=torch.nn.ReLU` and `steps=1` it is the ANN of the same architecture.

    Args:
        inputs: values a sample and step, after flattening.
        hidden: widths of the hidden layers.
        classes: outputs.
        neuron: makes a fresh neuron (or activation) for each hidden layer.
        steps: how many steps each frame of the input is held for, behind the first linear layer.
        norm: batch norm before each neuron.
        dropout: probability, one mask for all steps.

    Shape: (T, B, *features) -> (T * steps, B, classes).

    Raises:
        OptionError: no hidden layer, or a size below 1.

    Example:
        >>> mlp(784, [400], 10, steps=8)(torch.zeros(1, 2, 1, 28, 28)).shape
        torch.Size([8, 2, 10])
    """
    sizes = [inputs, *hidden]
    if not hidden or min(*sizes, classes) < 1:
        raise OptionError(f"mlp got inputs={inputs}, hidden={list(hidden)}, classes={classes}", "sizes of at least 1")
    layers: OrderedDict[str, torch.nn.Module] = OrderedDict(flatten=Flatten())
    for n, (before, width) in enumerate(zip(sizes, hidden, strict=False), start=1):
        # a bias would be taken out again by the norm
        layers[f"linear{n}"] = Linear(before, width, bias=not norm)
        if norm:
            layers[f"norm{n}"] = BatchNorm1d(width)
        if n == 1 and steps != 1:
            layers["hold"] = Hold(steps)
        layers[f"neuron{n}"] = neuron()
        if dropout:
            layers[f"dropout{n}"] = Dropout(dropout)
    layers["output"] = Linear(sizes[-1], classes)
    return torch.nn.Sequential(layers)
