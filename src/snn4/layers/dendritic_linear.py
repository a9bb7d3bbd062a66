"""DendriticLinear: the synapses of a layer with branches, each input of a neuron on one of them.

    x_k[t] = (m_k * W) x[t] + bias_k,     m_k of 0 and 1, one of K for each pair of neuron and input, drawn once

It has as many weights as a Linear of the same size; a `DHLIF` comes behind it.

Paper: [zheng2024dhlif]
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter

from snn4.core.checks import check_sequence
from snn4.neurons import branch_mask

__all__ = ["DendriticLinear"]


class DendriticLinear(torch.nn.Module):
    """A linear layer whose inputs are shared out among the branches of each neuron.

    Args:
        in_features: inputs.
        out_features: neurons.
        branches: K, branches of each neuron; every branch gets a random 1 / K of the inputs.
        bias: whether each branch has one.
        generator: draws the branches and the weights; by default torch's own.

    Shape: (T, B, in_features) -> (T, B, branches, out_features).

    Raises:
        OptionError: fewer inputs than branches.

    Example:
        >>> layer = DendriticLinear(700, 64, branches=8)
        >>> layer(torch.rand(10, 4, 700)).shape, layer.weight.shape
        (torch.Size([10, 4, 8, 64]), torch.Size([64, 700]))
    """

    mask: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        branches: int,
        *,
        bias: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        mask = branch_mask(in_features, out_features, branches, generator=generator)
        self.in_features, self.out_features, self.branches = in_features, out_features, branches
        # as a Linear with the inputs of one branch
        bound = math.sqrt(branches / in_features)

        def drawn(*shape: int) -> Parameter:
            return Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))

        self.weight = drawn(out_features, in_features)
        self.bias = drawn(branches, out_features) if bias else None
        self.register_buffer("mask", mask.unflatten(0, (branches, out_features)))

    def forward(self, x: Float[Tensor, "T B in"]) -> Float[Tensor, "T B K out"]:
        """The currents of each branch at every step."""
        check_sequence("DendriticLinear", x, 1)
        bias = None if self.bias is None else self.bias.flatten()
        currents = torch.nn.functional.linear(x, (self.mask * self.weight).flatten(0, 1), bias)
        return currents.unflatten(-1, (self.branches, self.out_features))

    def extra_repr(self) -> str:
        """The sizes."""
        return f"in_features={self.in_features}, out_features={self.out_features}, branches={self.branches}"
