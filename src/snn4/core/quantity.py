"""Quantities of a model: a number, a tensor, or something that training changes, all read in the same way.

A time constant may be `2.0`, one value per channel, one per neuron, fixed or learned. The equations should not care:

    class LIF(...):
        def __init__(self, tau=2.0):
            self.quantity("tau", tau, POSITIVE)
        def step(...):
            ... self.tau ...            # a float or a tensor, always the value itself
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Parameter

from snn4.core.errors import OptionError, ShapeError

__all__ = ["NON_NEGATIVE", "POSITIVE", "REAL", "Domain", "Learned", "Quantified", "Value", "above"]


# how far a learned quantity may move: between e^-30 (1e-13) and e^30 (1e13) above its lower end
_FAR = 30.0


@dataclass(frozen=True)
class Domain:
    """The numbers that a quantity may take, and how training moves inside them.

        value = low + e^raw   where there is a lower end,     value = raw   where there is none.

    For a time constant above 1 this is PLIF's own parameterisation, 1/tau = sigmoid(w) with w = -raw.

    Args:
        low: the lower end, `-inf` for none.
        closed: whether `low` itself is allowed.
    """

    low: float = -math.inf
    closed: bool = False

    def __str__(self) -> str:
        if self.low == -math.inf:
            return "a finite number"
        return f"a finite number {'>=' if self.closed else '>'} {self.low:g}"

    def holds(self, value: Tensor) -> bool:
        """Whether every value lies inside; on the meta device there are no values to look at."""
        if value.is_meta:
            return True
        inside = value >= self.low if self.closed else value > self.low
        return bool((inside & value.isfinite()).all())

    def raw(self, value: Tensor) -> Tensor:
        """The unconstrained number that training changes."""
        return value.clone() if self.low == -math.inf else (value - self.low).log()

    def value(self, raw: Tensor) -> Tensor:
        """The quantity, from the unconstrained number."""
        # without the clamp, a wild optimiser step would reach `low` itself, or infinity
        return raw if self.low == -math.inf else self.low + raw.clamp(-_FAR, _FAR).exp()

    def learnable(self, value: Tensor) -> bool:
        """Whether training can start from every value; not at the closed end, which lies infinitely far away."""
        if value.is_meta or self.low == -math.inf:
            return self.holds(value)
        return self.holds(value) and bool((self.raw(value).abs() < _FAR).all())


REAL = Domain()
POSITIVE = Domain(low=0.0)
NON_NEGATIVE = Domain(low=0.0, closed=True)


def above(low: float, *, closed: bool = False) -> Domain:
    """The numbers above `low`."""
    return Domain(low=low, closed=closed)


@dataclass(frozen=True, eq=False)
class Learned:
    """Asks for a quantity that training changes and that stays in its domain.

    Args:
        value: where it starts: a number, or one value per channel or neuron.
        shape: the shape to spread a number over. `()` is one value for the layer, `(32, 1, 1)` one per channel of
            (32, H, W) maps, `(128,)` one per neuron of a dense layer.

    Example:
        >>> from snn4 import nn
        >>> neuron = nn.LIF(tau=Learned(2.0, shape=(3,)))
        >>> neuron.tau
        tensor([2., 2., 2.], grad_fn=<AddBackward0>)
    """

    value: float | Tensor
    shape: tuple[int, ...] = ()


Value = float | Tensor | Parameter | Learned
"""What a user may give for a quantity."""


def _spreads(shape: Sequence[int], over: Sequence[int]) -> bool:
    """Whether a tensor of one shape can be expanded to another."""
    return len(shape) <= len(over) and all(
        mine in (1, theirs) for mine, theirs in zip(reversed(shape), reversed(over), strict=False)
    )


class _Raw(torch.nn.Module):
    """The unconstrained parameter behind a `Learned` quantity."""

    def __init__(self, start: Tensor, domain: Domain) -> None:
        super().__init__()
        self.domain = domain
        self.raw = Parameter(domain.raw(start))

    def forward(self) -> Tensor:
        return self.domain.value(self.raw)


class Quantified(torch.nn.Module):
    """A module whose quantities may each be a float, a tensor, or learned."""

    def __init__(self) -> None:
        super().__init__()
        self.quantities: tuple[str, ...] = ()

    def quantity(self, name: str, value: Value, domain: Domain = REAL) -> None:
        """Own a quantity under `name`; from then on `self.<name>` is its value, a float or a tensor.

        Args:
            name: the attribute.
            value: a float or a tensor (fixed), a `torch.nn.Parameter` (learned as it is, its domain is the caller's
                business), or `Learned` (learned, kept in its domain).
            domain: the numbers allowed.

        Raises:
            OptionError: the value lies outside the domain or is of another kind.
        """
        start = value.value if isinstance(value, Learned) else value
        if isinstance(start, bool) or not isinstance(start, (int, float, Tensor)):
            raise OptionError(
                f"{type(self).__name__} got {name}={value!r}",
                f"{domain}, a tensor of them, or snn4.Learned(...)",
                f"Write {name}=2.0 or {name}=snn4.Learned(2.0).",
            )
        # a number is looked at on the CPU, also where `with torch.device("meta")` is in force
        tensor = start if isinstance(start, Tensor) else torch.tensor(start, dtype=torch.float64, device="cpu")
        if tensor.numel() == 0 or not (isinstance(start, Parameter) or domain.holds(tensor.detach())):
            raise OptionError(f"{type(self).__name__} got {name}={value!r}", str(domain))
        if isinstance(value, Learned):
            if not domain.learnable(tensor.detach()):
                raise OptionError(
                    f"{type(self).__name__} got {name}={value!r}",
                    f"a number above {domain.low:g} to start from",
                    "Training moves the logarithm of the distance to that end: start a little above it.",
                )
            if value.shape and not _spreads(tensor.shape, value.shape):
                raise OptionError(
                    f"{type(self).__name__} got {name} with a value of shape {tuple(tensor.shape)} for {value.shape}",
                    "a number, or a tensor that spreads over that shape",
                    f"Leave shape out, to learn a value of shape {tuple(tensor.shape)}.",
                )
            dtype = tensor.dtype if isinstance(start, Tensor) and start.is_floating_point() else None
            device = tensor.device if isinstance(start, Tensor) else torch.get_default_device()
            tensor = tensor.detach().to(device, dtype or torch.get_default_dtype())
            self.add_module(f"learned_{name}", _Raw(tensor.expand(value.shape or tensor.shape).clone(), domain))
        elif isinstance(start, Parameter):
            self.register_parameter(name, start)
        elif isinstance(start, Tensor):
            kept = start.detach() if start.is_floating_point() else start.to(torch.get_default_dtype())
            self.register_buffer(name, kept.clone())
        else:
            setattr(self, name, float(start))
        self.quantities += (name,)

    def __getattr__(self, name: str) -> Tensor | torch.nn.Module:
        learned = self.__dict__["_modules"].get(f"learned_{name}") if "_modules" in self.__dict__ else None
        if learned is not None:
            return learned()
        return super().__getattr__(name)

    def is_learned(self, name: str) -> bool:
        """Whether training changes this quantity."""
        return f"learned_{name}" in self._modules or name in self._parameters

    def check_quantities(self, features: Sequence[int]) -> None:
        """Refuse a tensor quantity that would not line up with the features of one step.

        A scalar fits everything. Any other has exactly the features' axes, so that per-channel `(C, 1, 1)` and
        per-column `(W,)` cannot be mistaken for each other.

        Raises:
            ShapeError: it does not fit.
        """
        for name in self.quantities:
            tensors = (self._buffers, self._parameters)
            value = next((store[name] for store in tensors if name in store), None)
            if value is None and f"learned_{name}" in self._modules:
                raw = self._modules[f"learned_{name}"]
                value = raw.raw if isinstance(raw, _Raw) else None
            if value is None or value.ndim == 0:
                continue
            fits = value.ndim == len(features) and all(
                mine in (1, theirs) for mine, theirs in zip(value.shape, features, strict=True)
            )
            if not fits:
                per_channel = (*features[:1], *(1 for _ in features[1:]))
                raise ShapeError(
                    f"{type(self).__name__} has {name} of shape {tuple(value.shape)} on features {tuple(features)}",
                    f"(), per channel {per_channel} or per neuron {tuple(features)}",
                    f"Give {name} one of these shapes.",
                )

    def extra_repr(self) -> str:
        """The quantities, for `print(net)`."""
        parts: list[str] = []
        for name in self.quantities:
            value = getattr(self, name)
            if isinstance(value, Tensor):
                text = f"{value.item():.4g}" if value.numel() == 1 else f"tensor{tuple(value.shape)}"
                parts.append(f"{name}={text}{' learned' * self.is_learned(name)}")
            else:
                parts.append(f"{name}={value:g}")
        return ", ".join(parts)
