"""What every layer of a network does with a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from snn4.timing.layer import watch
from snn4.timing.statistics import LayerActivity, activity

__all__ = ["observe"]


def observe(net: torch.nn.Module, x: Tensor) -> dict[str, LayerActivity]:
    """What every layer that fires does with a batch, by its path; in evaluation mode, without gradients.

    Args:
        net: the network.
        x: what it takes.

    Example:
        >>> from snn4 import timing
        >>> net = torch.nn.Sequential(timing.LIF(2, 3, init_mean=-1.0, init_std=0.0))
        >>> observe(net, torch.zeros(1, 2, 1))["0"].silent
        1.0
    """
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        with torch.no_grad(), watch(net) as seen:
            net(x)
    finally:
        for module, mode in modes:
            module.training = mode
    return {one.path: activity(one.fired, one.layer.constants, one.layer.window) for one in seen}
