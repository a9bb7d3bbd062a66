"""How a gradient travels down a spiking network: how large it arrives, where it dies, and how far it is from the truth.

    size       the root mean square of dL/dx at the input x of each layer of neurons
    dead       the share of neurons whose input gets a gradient of exactly 0 at every step of every sample
    silent     the share of neurons that never put anything out
    mismatch   1 - cos(p, q),   p_k = <dL/dW, d_k>   with the surrogate,   q_k = (L(W + d_k) - L(W - d_k)) / 2

over random directions d_k of a layer's weights. A spike has no derivative, so that the second is the slope of a loss
that is smoothed by the length of d_k: it says whether a step of this size would do what the surrogate promises. 0 is
agreement, 1 is chance.

Paper: [li2021dspike]. There, finite differences of single weights choose the temperature of a surrogate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.through_time import Neuron

__all__ = ["GradientFlow", "gradient_flow", "gradient_mismatch"]


@dataclass(frozen=True)
class GradientFlow:
    """What reaches each layer of neurons, in the order in which they are called.

    Args:
        layers: their paths.
        size: root mean square of the gradient at their inputs; 0 where none arrives.
        dead: share of neurons that no gradient reaches.
        silent: share of neurons that put nothing out.
    """

    layers: tuple[str, ...]
    size: tuple[float, ...]
    dead: tuple[float, ...]
    silent: tuple[float, ...]

    def to_dict(self) -> dict[str, list[float]]:
        """Three lists, for files."""
        return {"size": list(self.size), "dead": list(self.dead), "silent": list(self.silent)}


class _Layer:
    """Sums over the calls of one layer."""

    def __init__(self) -> None:
        self.squares, self.count = 0.0, 0
        self.reached: Tensor | None = None
        self.fired: Tensor | None = None

    def arrives(self, gradient: Tensor) -> None:
        self.squares += float(gradient.double().square().sum())
        self.count += gradient.numel()
        found = (gradient != 0).flatten(0, 1).any(0)
        self.reached = found if self.reached is None else self.reached | found

    def puts_out(self, outputs: Tensor) -> None:
        found = (outputs != 0).flatten(0, 1).any(0)
        self.fired = found if self.fired is None else self.fired | found


def _missing(seen: Tensor | None) -> float:
    return 1.0 if seen is None else 1 - float(seen.double().mean())


def gradient_flow(net: torch.nn.Module, loss: Callable[[], Tensor]) -> GradientFlow:
    """Follow one backward pass. Gradients of the parameters are left as they were.

    Args:
        net: the network.
        loss: computes a loss with it.

    Raises:
        OptionError: no layer of neurons was called.

    Example:
        >>> from snn4 import nn
        >>> net = torch.nn.Sequential(nn.Linear(2, 2), nn.LIF(), nn.Linear(2, 2), nn.LIF())
        >>> flow = gradient_flow(net, lambda: net(torch.ones(3, 4, 2)).sum())
        >>> flow.layers, [size > 0 for size in flow.size]
        (('1', '3'), [True, True])
    """
    seen: dict[str, _Layer] = {}
    handles: list[torch.utils.hooks.RemovableHandle] = []

    def watch(path: str, neuron: Neuron) -> None:
        def before(_neuron: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
            layer = seen.setdefault(path, _Layer())
            if inputs[0].requires_grad:
                inputs[0].register_hook(layer.arrives)

        def after(_neuron: torch.nn.Module, _inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
            seen[path].puts_out(outputs.detach())

        handles.extend([neuron.register_forward_pre_hook(before), neuron.register_forward_hook(after)])

    for path, module in net.named_modules():
        if isinstance(module, Neuron) and not module.linear:
            watch(path, module)
    try:
        torch.autograd.grad(loss(), [p for p in net.parameters() if p.requires_grad], allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    if not seen:
        raise OptionError("gradient_flow saw no layer of neurons", "a network with neurons, called by the loss")
    layers = seen.values()
    return GradientFlow(
        tuple(seen),
        tuple((layer.squares / layer.count) ** 0.5 if layer.count else 0.0 for layer in layers),
        tuple(_missing(layer.reached) for layer in layers),
        tuple(_missing(layer.fired) for layer in layers),
    )


def gradient_mismatch(
    loss: Callable[[], Tensor],
    weights: Sequence[Tensor],
    *,
    directions: int = 16,
    length: float = 0.1,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Hold the surrogate's slope of the loss against finite differences, along random directions of each weight.

    Args:
        loss: computes the loss; equal weights must give an equal loss.
        weights: the parameters to look at, one by one. They are put back exactly.
        directions: how many for each.
        length: root mean square of a direction's entries, in units of the weight's own.
        generator: draws them, on the CPU.

    Returns:
        1 - cosine for each weight; 1 where either slope is 0 in every direction.

    Raises:
        OptionError: no direction, or no length.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
        >>> abs(round(gradient_mismatch(lambda: w.square().sum(), [w])[0], 4))
        0.0
    """
    if directions < 1 or not 0 < length < float("inf"):
        raise OptionError(f"gradient_mismatch got {directions=}, {length=}", "at least one, and a length > 0")
    slopes = torch.autograd.grad(loss(), weights, allow_unused=True)
    found: list[float] = []
    for weight, slope in zip(weights, slopes, strict=True):
        size = length * max(float(weight.detach().double().square().mean().sqrt()), 1e-12)
        drawn = torch.randn(directions, *weight.shape, generator=generator) * size
        steps = drawn.to(weight.device, weight.dtype)
        truth = _differences(loss, weight, steps)
        promised = torch.zeros_like(truth) if slope is None else (steps * slope).flatten(1).sum(1).double().cpu()
        norms = float(truth.norm() * promised.norm())
        found.append(1 - float(truth @ promised) / norms if norms > 0 else 1.0)
    return found


@torch.no_grad()
def _differences(loss: Callable[[], Tensor], weight: Tensor, steps: Tensor) -> Tensor:
    """Half of L(W + d) - L(W - d), for each direction."""
    before = weight.detach().clone()
    slopes: list[float] = []
    try:
        for step in steps:
            ends: list[float] = []
            for sign in (1, -1):
                weight.copy_(before + sign * step)
                ends.append(float(loss()))
            slopes.append((ends[0] - ends[1]) / 2)
    finally:
        weight.copy_(before)
    return torch.tensor(slopes, dtype=torch.float64)
