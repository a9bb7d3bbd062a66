"""SRNN: recurrent layers of adaptive neurons, and a leaky integrator for each class.

    s[l][t] = neuron( W s[l-1][t] + b + V s[l][t-1] + c );      y[t] = LI( W s[L][t] + b )

Paper: [yin2021accurate, le2015irnn], the second for the ANN.
Differs from the paper: time constants are those of the neuron that is given, and the paper's, learned one a neuron, are
`ALIF(tau=Learned(...), tau_a=Learned(...))`. With layers of 64, 256 and 256, of which the first two are recurrent, it
has 155,082 weights for sequential MNIST.

With `neuron=torch.nn.ReLU` the same weights make a recurrent network of ReLUs, the ANN of equal architecture: it sees
the same steps, its only memory is its recurrent weights, and the integrators of its output stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from snn4.core.errors import OptionError
from snn4.layers import Dropout, Flatten, Linear, Recurrent
from snn4.models.registry import register
from snn4.models.stages import Layers, Neurons
from snn4.neurons import ALIF, LI

__all__ = ["srnn"]


@register
def srnn(
    inputs: int,
    hidden: Sequence[int],
    classes: int,
    neuron: Neurons | Sequence[Neurons] = ALIF,
    *,
    recurrent: Sequence[bool] | bool = True,
    gain: float = 0.2,
    dropout: float = 0.0,
    readout: Neurons = LI,
    synapse: Callable[[int, int], torch.nn.Module] = Linear,
) -> torch.nn.Sequential:
    """A recurrent spiking network. Recurrent weights start as an orthogonal matrix times `gain`.

    Args:
        inputs: values a sample and step, after flattening.
        hidden: widths of the hidden layers.
        classes: outputs.
        neuron: makes the neuron of each hidden layer, or one maker for each; `torch.nn.ReLU` is the ANN.
        recurrent: which hidden layers feed back to themselves, or all, or none.
        gain: of the recurrent weights at the start. At 1, spiking networks did not learn; see the experiment log.
        dropout: probability behind each hidden layer, one mask for all steps.
        readout: makes what stands behind the output weights, in the ANN as well.
        synapse: makes what stands before the neurons of a hidden layer, from inputs and width.

    Shape: (T, B, *features) -> (T, B, classes).

    Raises:
        OptionError: no hidden layer, a size below 1, or not one entry of `recurrent` or `neuron` for each layer.

    Example:
        >>> srnn(4, [36], 6)(torch.zeros(5, 2, 4)).shape
        torch.Size([5, 2, 6])
    """
    feeds_back = [recurrent] * len(hidden) if isinstance(recurrent, bool) else list(recurrent)
    neurons = [neuron] * len(hidden) if callable(neuron) else list(neuron)
    if not hidden or min(inputs, *hidden, classes) < 1 or {len(feeds_back), len(neurons)} != {len(hidden)}:
        raise OptionError(
            f"srnn got inputs={inputs}, hidden={list(hidden)}, classes={classes}, recurrent={feeds_back} and "
            f"{len(neurons)} makers of neurons",
            "sizes of at least 1, and one entry of recurrent and of neuron for each hidden layer",
        )
    layers = Layers(flatten=Flatten())
    before = inputs
    for n, (width, back, made) in enumerate(zip(hidden, feeds_back, neurons, strict=True), start=1):
        layers[f"linear{n}"] = synapse(before, width)
        if back:
            feedback = Linear(width, width)
            torch.nn.init.orthogonal_(feedback.weight, gain)
            torch.nn.init.zeros_(feedback.bias)
            layers[f"neuron{n}"] = Recurrent(made(), feedback)
        else:
            layers[f"neuron{n}"] = made()
        if dropout:
            layers[f"dropout{n}"] = Dropout(dropout)
        before = width
    layers["output"] = Linear(before, classes)
    layers["readout"] = readout()
    return torch.nn.Sequential(layers)
