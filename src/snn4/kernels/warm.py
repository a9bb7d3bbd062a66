"""Compile before the first batch comes."""

from __future__ import annotations

import time
from collections import Counter

import torch
from torch import Tensor

from snn4.kernels.compiler import notice
from snn4.through_time import explain
from snn4.through_time.explain import Explanation

__all__ = ["warmup"]


def warmup(net: torch.nn.Module, x: Tensor) -> Explanation:
    """Trace and compile every neuron of a network for inputs like `x`, forward and backward, and say so in a line.

    Args:
        net: the network; it is called once, without gradients.
        x: an example input, with any T and B. Shape (T, B, *features).

    Returns:
        What runs each neuron, and why others do not.

    Example:
        >>> from snn4 import nn
        >>> table = warmup(torch.nn.Sequential(nn.Linear(3, 4), nn.LIF()), torch.randn(6, 1, 3))
    """
    began = time.perf_counter()
    table = explain(net, x)
    ways = Counter(choice.implementation for choice in table.choices)
    told = ", ".join(f"{count} as {way}" for way, count in ways.most_common())
    notice(f"{len(table.choices)} neurons ready in {time.perf_counter() - began:.1f} s: {told}")
    return table
