"""What changes the weights: torch's optimisers with the right groups, and a moving average of the weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import clip_grad_norm_, get_total_norm

from snn4.core.errors import OptionError
from snn4.layers.standardised import Standardised
from snn4.layers.timed_norm import TimedNorm
from snn4.through_time import Neuron
from snn4.training.task import FitConfig

__all__ = ["Average", "clip", "make_optimiser"]

# a layer norm's scale has as many axes as the features that it is taken over
_NORMS = (torch.nn.LayerNorm, torch.nn.GroupNorm, torch.nn.RMSNorm)


def make_optimiser(net: torch.nn.Module, config: FitConfig) -> torch.optim.Optimizer:
    """AdamW or SGD over the parameters that learn.

    Weight decay pulls towards zero, which is a mild wish for a weight and a wrong one for a scale, a bias, a threshold
    or a time constant: parameters of one axis, of neurons, of norms and the gain of `nn.standardised` are left out.

    Paper: [loshchilov2019decoupled], AdamW.

    Raises:
        OptionError: nothing learns, or a lazy layer has not seen its first batch.
    """
    learning = {name: p for name, p in net.named_parameters() if p.requires_grad}
    if not learning:
        raise OptionError(
            "the network has no parameter that learns", "at least one with requires_grad", "Unfreeze or add a layer."
        )
    lazy = [name for name, p in learning.items() if isinstance(p, UninitializedParameter)]
    if lazy:
        raise OptionError(
            f"the parameters {', '.join(lazy)} have no shape yet",
            "an initialised network",
            "Call it once on a batch first: net(task.encode(batch, generator)).",
        )
    kept = (Neuron, TimedNorm, Standardised, *_NORMS)
    undecayed = {id(p) for module in net.modules() if isinstance(module, kept) for p in module.parameters()}
    apart = config.neuron_rate != 1.0
    neurons = {id(p) for module in net.modules() if apart and isinstance(module, Neuron) for p in module.parameters()}
    decayed = [p for p in learning.values() if p.ndim > 1 and id(p) not in undecayed]
    others = [p for p in learning.values() if (p.ndim <= 1 or id(p) in undecayed) and id(p) not in neurons]
    quantities = [p for p in learning.values() if id(p) in neurons]
    groups = [
        {"params": members, "weight_decay": decay, "times": times}
        for members, decay, times in (
            (decayed, config.weight_decay, 1.0),
            (others, 0.0, 1.0),
            (quantities, 0.0, config.neuron_rate),
        )
        if members
    ]
    if config.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum)
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def clip(net: torch.nn.Module, most: float | None) -> Tensor:
    """The norm of the gradient, which is scaled down to `most` where that is given."""
    parameters = [p for p in net.parameters() if p.grad is not None]
    if most is not None:
        return clip_grad_norm_(parameters, most)
    return get_total_norm([p.grad for p in parameters if p.grad is not None])


class Average:
    r"""An exponential moving average of a network's weights and buffers.

        d[k] = min(decay, (1 + k) / (10 + k))
        m[k] = d[k] m[k-1] + (1 - d[k]) w[k]              k = 1, 2, ...;  m[0] = w[0]

    The first steps count for less, so that a short run does not end as an average of its beginning. Integers (the
    count of batches a norm has seen) are taken over as they are.

    Args:
        net: whose weights are followed.
        decay: near 1 for a long memory, about 1 / (1 - decay) steps.

    Example:
        >>> net = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.ones_(net.weight)
        >>> average = Average(net, 0.9)
        >>> _ = torch.nn.init.zeros_(net.weight)
        >>> average.follow(net, step=1)
        >>> with average.inside(net):
        ...     print(round(net.weight.item(), 4))
        0.1818
    """

    def __init__(self, net: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {name: tensor.detach().clone() for name, tensor in _tensors(net).items()}

    @torch.no_grad()
    def follow(self, net: torch.nn.Module, step: int) -> None:
        """Take in the weights after step `step`, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in _tensors(net).items():
            if tensor.is_floating_point() or tensor.is_complex():
                self.tensors[name].lerp_(tensor, 1 - decay)
            else:
                self.tensors[name].copy_(tensor)

    @contextlib.contextmanager
    def inside(self, net: torch.nn.Module) -> Iterator[None]:
        """Inside, the network holds the average; outside, its own weights again."""
        tensors = _tensors(net)
        own = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        try:
            _copy(self.tensors, tensors)
            yield
        finally:
            _copy(own, tensors)


def _tensors(net: torch.nn.Module) -> dict[str, Tensor]:
    return dict(net.named_parameters()) | dict(net.named_buffers())


@torch.no_grad()
def _copy(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    for name, tensor in target.items():
        tensor.copy_(source[name])
