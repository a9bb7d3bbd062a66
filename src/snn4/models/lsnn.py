"""LSNN: one recurrent layer of regular and adaptive neurons, the long short-term memory of spiking networks.

    s[t] = (regular, adaptive)( W x[t] + V s[t-1] );      y[t] = LI( W s[t] + b );      V has a diagonal of zeros

Paper: [bellec2018lsnn]
Differs from the paper: no delays, no refractory period, all connections are there from the start (no DEEP R); regular
neurons have an arctangent as their surrogate, adaptive ones the paper's triangle. With 80 inputs, 120 regular and 100
adaptive neurons and 10 classes there are 68,210 weights, of which the 220 on the diagonal stay zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from snn4.layers import Flatten, Linear, Recurrent
from snn4.models.registry import register
from snn4.models.stages import Layers, Neurons, check_sizes
from snn4.neurons import LI, LIF, exponential
from snn4.neurons import lsnn as adaptive_neuron

__all__ = ["NoSelf", "Populations", "lsnn"]


class Populations(torch.nn.Module):
    """Neurons of several kinds side by side: each kind sees a slice of the last axis.

    Args:
        sizes: how many of each.
        neurons: one module a kind.

    Shape: (T, B, sum of sizes), kept.

    Example:
        >>> Populations([2, 3], [torch.nn.ReLU(), torch.nn.Sigmoid()])(torch.zeros(1, 1, 5)).flatten().tolist()
        [0.0, 0.0, 0.5, 0.5, 0.5]
    """

    def __init__(self, sizes: Sequence[int], neurons: Sequence[torch.nn.Module]) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.neurons = torch.nn.ModuleList(neurons)

    def forward(self, x: Tensor) -> Tensor:
        """Each kind on its own."""
        parts = x.split(self.sizes, dim=-1)
        return torch.cat([neuron(part) for neuron, part in zip(self.neurons, parts, strict=True)], dim=-1)

    def kinds(self) -> list[tuple[torch.nn.Module, int]]:
        """The modules and the sizes of their slices, for a loop that runs all steps at once."""
        return list(zip(self.neurons, self.sizes, strict=True))

    def extra_repr(self) -> str:
        """How many of each."""
        return f"sizes={self.sizes}"


class NoSelf(Linear):
    """Weights among the neurons of a layer, without those from a neuron to itself.

    Args:
        width: of the layer.

    Shape: (T, B, width), kept.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, width, bias=False)

    def matrix(self) -> tuple[Tensor, None]:
        """The weights off the diagonal; no bias."""
        others = 1 - torch.eye(self.in_features, dtype=self.weight.dtype, device=self.weight.device)
        return self.weight * others, None


def _regular() -> LIF:
    return LIF(20.0, 0.01, decay=exponential, decay_input=True)


@register
def lsnn(
    inputs: int,
    classes: int,
    neuron: Neurons = _regular,
    adaptive: Callable[[], torch.nn.Module] = adaptive_neuron,
    *,
    regular_neurons: int = 120,
    adaptive_neurons: int = 100,
    readout: Neurons = LI,
) -> torch.nn.Sequential:
    """A long short-term spiking neural network; the defaults are the paper's for sequential MNIST.

    Args:
        inputs: values a sample and step, after flattening.
        classes: outputs.
        neuron: makes the regular neurons.
        adaptive: makes the adaptive ones; with `torch.nn.ReLU` for both it is the ANN.
        regular_neurons: how many.
        adaptive_neurons: how many.
        readout: makes what stands behind the output weights, in the ANN as well.

    Shape: (T, B, *features) -> (T, B, classes).

    Raises:
        OptionError: a size below 1.

    Example:
        >>> lsnn(80, 10)(torch.zeros(5, 2, 80)).shape
        torch.Size([5, 2, 10])
    """
    check_sizes(
        "lsnn", inputs=inputs, classes=classes, regular_neurons=regular_neurons, adaptive_neurons=adaptive_neurons
    )
    width = regular_neurons + adaptive_neurons
    both = Populations([regular_neurons, adaptive_neurons], [neuron(), adaptive()])
    return torch.nn.Sequential(
        Layers(
            flatten=Flatten(),
            linear=Linear(inputs, width, bias=False),
            neurons=Recurrent(both, NoSelf(width)),
            output=Linear(width, classes),
            readout=readout(),
        )
    )
