r"""DSR: differentiation on spike representation. Forward a true simulation; backward a clamp of the mean input.

    r = sum_n w[n] s[n]  ~  clamp(k m, 0, top),     m = sum_n w[n] x[n]          w: the neuron's weights over time
    G = T sum_n w[n] dL/ds[n]
    dL/dx[n] = (1/T) k G  where 0 <= k m <= top, the same at every n
    dL/dtop  = G          where k m > top                           times the neuron's and the route's scale

No gradient goes from step to step, and no surrogate is needed. A neuron serves if its output over time has such a
representation, `Neuron.representation`: `IF` and `LIF` with a soft reset, and the paper's own, `DSRIF` and `DSRLIF`. A
readout that is linear in its input is differentiated as it is.

Paper: [meng2022dsr]
Differs from the paper: nothing for `DSRIF` and `DSRLIF`. As there, the gradient of the input is spread evenly over
time, which for a leaky neuron is not the derivative of its weighted mean. A sequence in pieces has a mean a piece.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.through_time import registry
from snn4.through_time.loop import reference_loop
from snn4.through_time.routes import Route, detached, loops, refuse_crossing

if TYPE_CHECKING:
    from snn4.through_time.neuron import Neuron

__all__ = ["DSR", "Representation"]


class Representation(NamedTuple):
    """How a neuron's outputs over a sequence stand for a number.

    Args:
        weights: of each step, adding up to 1 over time. Shape (T, 1, ...), spreading over (T, B, *features).
        slope: k, of the clamp.
        top: the upper end of the clamp, a tensor where it learns.
        closed: whether a mean at an end still gets a gradient.
        scale: of the gradient of `top`.
        residual: how far the output of a constant input within the clamp's ends can be from the clamp, by the
            membrane that is left over.
    """

    weights: Tensor
    slope: float | Tensor
    top: float | Tensor
    closed: bool
    scale: float
    residual: float | Tensor

    def mean(self, xs: Tensor) -> Tensor:
        """The weighted mean over time. Shape (T, B, *features) -> (B, *features)."""
        return (self.weights * xs).sum(0)

    def clamp(self, mean: Tensor) -> Tensor:
        """What the outputs should stand for, of the mean input. Shape (B, *features), kept."""
        rise = self.slope * mean
        return torch.minimum(rise.clamp(min=0), torch.as_tensor(self.top, dtype=rise.dtype, device=rise.device))


class _Clamp(torch.autograd.Function):
    """Outputs as they were simulated; the gradient of the clamp."""

    @staticmethod
    def forward(
        ctx: Any,
        xs: Tensor,
        ys: Tensor,
        weights: Tensor,
        slope: Tensor,
        top: Tensor,
        how: tuple[bool, float],
    ) -> Tensor:
        mean = (weights * xs).sum(0)
        ctx.save_for_backward(mean, weights, slope, top)
        ctx.how = (*how, len(xs))
        return ys.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        mean, weights, slope, top = ctx.saved_tensors
        closed, scale, steps = ctx.how
        signal = steps * (weights * grad_outputs[0]).sum(0)
        rise = slope * mean
        inside = (rise >= 0) & (rise <= top) if closed else (rise > 0) & (rise < top)
        passed = torch.where(inside, signal, 0)
        _, _, _, to_slope, to_top, _ = ctx.needs_input_grad
        grad_x = (slope * passed / steps).expand(steps, *mean.shape)
        grad_slope = (passed * mean).sum_to_size(slope.shape) if to_slope else None
        grad_top = scale * torch.where(rise > top, signal, 0).sum_to_size(top.shape) if to_top else None
        return grad_x, None, None, grad_slope, grad_top, None


@dataclass(frozen=True)
class DSR(Route):
    """Differentiation on spike representation.

    Args:
        threshold_scale: multiplies the gradient of thresholds once more. Plain differentiation lets them run away; the
            neurons' own scale is the paper's for CIFAR (`dt` squared for the leaky one), and 0.001 its factor for
            ImageNet.

    Raises:
        OptionError: a scale below 0; in `use_route`, a neuron without a representation, or a member that takes the
            gradient through time.

    Example:
        >>> from snn4 import nn, use_route
        >>> net = use_route(torch.nn.Sequential(nn.IF()), DSR())
        >>> x = torch.full((5, 1, 1), 0.3, requires_grad=True)
        >>> net(x).mean(0).sum().backward()
        >>> x.grad.flatten()
        tensor([0.2000, 0.2000, 0.2000, 0.2000, 0.2000])
    """

    threshold_scale: float = 1.0
    local = True
    exempt: ClassVar[Mapping[str, str]] = {
        "one step": "the clamp stands for the spikes, not the surrogate",
        "no memory": "the clamp stands for the spikes, not the surrogate",
    }

    def __post_init__(self) -> None:
        if not 0 <= self.threshold_scale < math.inf:
            raise OptionError(f"DSR got threshold_scale={self.threshold_scale!r}", "a number >= 0")

    def prepare(self, net: torch.nn.Module) -> None:
        """Refuse neurons whose outputs do not stand for a clamp of the mean input."""
        from snn4.through_time.neuron import Neuron

        refuse_crossing(net, self)
        probe = torch.zeros(1, 1, 1)
        found: list[str] = []
        for path, module in net.named_modules():
            if isinstance(module, Neuron) and not module.linear:
                try:
                    module.representation(probe)
                except NotImplementedError as cause:
                    found.append(f"{path or 'the network'} ({cause})")
                loop = next((m for m in net.modules() if loops(m) and any(n is module for n in m.modules())), None)
                if loop is not None:
                    found.append(f"{path} (inside {type(loop).__name__}, which shows it one step and not the mean)")
        if found:
            raise OptionError(
                f"DSR cannot serve {'; '.join(found)}",
                "neurons whose outputs stand for a clamp of their mean input",
                "Take nn.DSRIF or nn.DSRLIF, or IF or LIF with a soft reset and a fixed tau; or another route.",
            )

    def through(self, neuron: Neuron, xs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Outputs (T, B, *) and last state, which has no graph."""
        kernel, _ = registry.choose(neuron, xs, state)
        run = reference_loop if kernel is None else kernel
        if neuron.linear or not torch.is_grad_enabled():
            return run(neuron, xs, state)
        with torch.no_grad():
            ys, last = run(neuron, xs, detached(state))
        weights, slope, top, closed, scale, _ = neuron.representation(xs)
        slope, top = (torch.as_tensor(value, dtype=xs.dtype, device=xs.device) for value in (slope, top))
        how = (closed, scale * self.threshold_scale)
        out: Tensor = _Clamp.apply(xs, ys, weights.to(xs).detach(), slope, top, how)
        return out, last

    def asks(self, neuron: Neuron, xs: Tensor, state: Any) -> tuple[registry.Kernel | None, list[tuple[str, str]]]:
        """A kernel, which nothing asks for a gradient."""
        return registry.choose(neuron, xs, state)
