"""Dspike: a hyperbolic tangent on a unit interval, whose temperature is found by finite differences of the loss.

    Psi(x) = 1/2 + tanh(b x) / (2 tanh(b / 2)),     psi(x) = b (1 - tanh^2(b x)) / (2 tanh(b / 2)),     |x| < 1/2

Psi is 0 below and 1 above the interval. b -> 0 is a window of width 1, b -> infinity the step itself.

Paper: [li2021dspike]
Differs from the paper: the interval lies around the threshold, whatever that is; the paper's spans [0, 1] around 1/2.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.core.quantity import Value
from snn4.surrogates.surrogate import SCALE, Surrogate

__all__ = ["Dspike", "TemperatureSearch", "search_temperature"]


class Dspike(Surrogate):
    """A truncated tanh of area 1, zero beyond 1/2 on either side of the threshold.

    Args:
        b: its temperature; a float, a tensor, or learned.

    Example:
        >>> Dspike(b=3.0).derivative(torch.tensor([0.0, 0.25, 0.6]))
        tensor([1.6572, 0.9887, 0.0000])
    """

    b: float | Tensor

    def __init__(self, b: Value = 3.0) -> None:
        super().__init__()
        self.quantity("b", b, SCALE)

    def _half(self) -> float | Tensor:
        """tanh(b / 2)."""
        return torch.tanh(self.b / 2) if isinstance(self.b, Tensor) else math.tanh(self.b / 2)

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """b (1 - tanh^2(b x)) / (2 tanh(b / 2)) inside the interval."""
        y = torch.tanh(self.b * x)
        inside = (x.abs() < 0.5).to(x.dtype)
        return inside * (1 - y * y) * (self.b / (2 * self._half()))

    def primitive(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """1/2 + tanh(b x) / (2 tanh(b / 2)), clipped."""
        return 0.5 + torch.tanh(self.b * x.clamp(-0.5, 0.5)) / (2 * self._half())

    @property
    def area(self) -> float:
        """1."""
        return 1.0


@dataclasses.dataclass(frozen=True)
class TemperatureSearch:
    """What `search_temperature` saw.

    Args:
        b: the temperature that was chosen.
        similarity: temperature -> cosine of its gradient and the finite differences.
    """

    b: float
    similarity: dict[float, float]


def search_temperature(
    net: torch.nn.Module,
    loss: Callable[[], Tensor],
    weight: Tensor,
    *,
    step: float = 1.0,
    epsilon: float = 1e-2,
    entries: int = 32,
    generator: torch.Generator | None = None,
) -> TemperatureSearch:
    """Give every Dspike of a network the temperature whose gradient is most like finite differences of the loss.

    The paper does this once an epoch, for the weights of the first layer, and compares b - step, b and b + step. Values
    for `step` and `epsilon` are not published; these are ours.

    Args:
        net: a network whose Dspike surrogates have one fixed temperature.
        loss: computes the loss of a batch with `net`; called 3 + 2 x entries times.
        weight: the parameter that is looked at.
        step: how far to look.
        epsilon: of the differences, relative to the weight's root mean square.
        entries: how many entries of the weight to look at; all if it has fewer.
        generator: draws them.

    Raises:
        OptionError: no Dspike, several temperatures or learned ones, or a weight that the loss does not depend on.

    Example:
        >>> x, w = torch.linspace(-1.0, 1.0, 50), torch.nn.Parameter(torch.tensor([0.3]))
        >>> spike = Dspike(b=3.0)
        >>> found = search_temperature(spike, lambda: spike(x + w).mean(), w, epsilon=0.5)
        >>> sorted(found.similarity), spike.b == found.b
        ([2.0, 3.0, 4.0], True)
    """
    members = [module for module in net.modules() if isinstance(module, Dspike)]
    values = {member.b for member in members if not isinstance(member.b, Tensor)}
    if len(values) != 1 or any(isinstance(member.b, Tensor) for member in members):
        raise OptionError(
            f"search_temperature got {len(members)} Dspike surrogates with {len(values)} fixed temperatures",
            "one temperature, a plain number, in all of them",
            "Write nn.LIF(surrogate=Dspike(3.0)).",
        )
    if not (step > 0 and epsilon > 0 and entries > 0):
        raise OptionError(f"search_temperature got {step=}, {epsilon=}, {entries=}", "numbers > 0")
    (now,) = values
    chosen = torch.randperm(weight.numel(), generator=generator)[:entries].to(weight.device)
    slopes = _differences(loss, weight, chosen, epsilon)
    similarity: dict[float, float] = {}
    try:
        for b in (now - step, now, now + step):
            if SCALE.low <= b <= SCALE.high:
                _set(members, b)
                (grad,) = torch.autograd.grad(loss(), weight, allow_unused=True)
                if grad is None:
                    raise OptionError("search_temperature got a weight that the loss does not depend on", "one it does")
                similarity[b] = _cosine(grad.detach().flatten()[chosen], slopes)
    finally:
        _set(members, now)
    # where nothing speaks for a change, it stays
    best = max(similarity, key=lambda b: (similarity[b], b == now))
    _set(members, best)
    return TemperatureSearch(best, similarity)


def _set(members: list[Dspike], b: float) -> None:
    for member in members:
        member.b = b


def _cosine(one: Tensor, other: Tensor) -> float:
    size = float(one.norm() * other.norm())
    return float(one @ other) / size if size > 0 else 0.0


@torch.no_grad()
def _differences(loss: Callable[[], Tensor], weight: Tensor, chosen: Tensor, epsilon: float) -> Tensor:
    """Central differences of the loss, entry by entry."""
    h = epsilon * max(float(weight.square().mean().sqrt()), 1e-6)
    before, slopes = weight.detach().clone(), torch.zeros(len(chosen), dtype=weight.dtype, device=weight.device)
    try:
        for k, entry in enumerate(chosen.tolist()):
            ends: list[Tensor] = []
            for shift in (h, -h):
                moved = before.flatten().clone()
                moved[entry] += shift
                weight.copy_(moved.view_as(weight))
                ends.append(loss())
            slopes[k] = (ends[0] - ends[1]) / (2 * h)
    finally:
        weight.copy_(before)
    return slopes
