r"""The learning rate of each step, as a closed form of the step.

    warm-up   lr[k] = lr (k + 1) / w                                       k < w
    cosine    lr[k] = lr (1 + cos(pi (k - w) / (n - w))) / 2               k >= w
    constant  lr[k] = lr                                                   k >= w

with n steps in all, of which w warm up. Nothing is remembered: a resumed run asks for the step it stands at.

Paper: [loshchilov2017sgdr], equation 5 without restarts, with a minimum of zero.
Paper: [goyal2017accurate], section 2.2, the warm-up.
"""

from __future__ import annotations

import math

from snn4.training.task import FitConfig

__all__ = ["learning_rate"]


def learning_rate(config: FitConfig, step: int, steps_per_epoch: int) -> float:
    """The learning rate of step `step`, counted from 0.

    Args:
        config: its `learning_rate`, `schedule`, `warmup_epochs` and `epochs` are read.
        step: the step, over all epochs.
        steps_per_epoch: how many steps an epoch has.

    Example:
        >>> config = FitConfig(epochs=10, learning_rate=1.0, warmup_epochs=2)
        >>> [round(learning_rate(config, step, 1), 3) for step in (0, 1, 2, 6, 9)]
        [0.5, 1.0, 1.0, 0.5, 0.038]
    """
    total = config.epochs * steps_per_epoch
    warmup = round(config.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    if config.schedule == "constant":
        return config.learning_rate
    return config.learning_rate * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2
