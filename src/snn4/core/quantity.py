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
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import Parameter

from snn4.core.errors import OptionError, ShapeError

__all__ = ["NON_NEGATIVE", "POSITIVE", "REAL", "Curve", "Domain", "Learned", "Quantified", "Value", "above", "between"]

Curve = Literal["tanh", "sigmoid", "log", "clamp"]
"""How training moves between two ends."""

# how far a learned quantity may move: between e^-30 (1e-13) and e^30 (1e13) above its lower end, and between two ends
# to where float32 still tells them apart from the value
_FAR = 30.0
_REACH = {"tanh": 8.0, "sigmoid": 16.0}


class _Held(torch.autograd.Function):
    """A clamp with a way back: beyond an end, only the gradient that points further out is dropped."""

    generate_vmap_rule = True

    @staticmethod
    def forward(raw: Tensor, low: float, high: float) -> Tensor:
        return raw.clamp(low, high)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(inputs[0])
        ctx.ends = inputs[1:]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None, None]:
        ((raw,), (low, high), grad) = ctx.saved_tensors, ctx.ends, grad_outputs[0]
        # an optimiser goes against the gradient
        outwards = ((raw < low) & (grad > 0)) | ((raw > high) & (grad < 0))
        return grad.masked_fill(outwards, 0.0), None, None


@dataclass(frozen=True)
class Domain:
    """The numbers that a quantity may take, and how training moves inside them.

        value = raw                                   without ends
        value = low + e^raw                           with a lower end; for a time constant above 1 this is PLIF's own
                                                      parameterisation, 1/tau = sigmoid(w) with w = -raw
        value = middle + half tanh(raw)               between two ends, curve "tanh"
        value = low + (high - low) sigmoid(raw)       curve "sigmoid"
        value = e^raw, held between the ends          curve "log", for scales
        value = raw, held between the ends            curve "clamp"

    Args:
        low: the lower end, `-inf` for none.
        closed: whether the ends themselves are allowed.
        high: the upper end, `inf` for none.
        curve: how training moves between two ends.
    """

    low: float = -math.inf
    closed: bool = False
    high: float = math.inf
    curve: Curve = "tanh"

    def __str__(self) -> str:
        if self.high < math.inf:
            ends = f"from {self.low:g} to {self.high:g}" if self.closed else f"between {self.low:g} and {self.high:g}"
            return f"a finite number {ends}"
        if self.low == -math.inf:
            return "a finite number"
        return f"a finite number {'>=' if self.closed else '>'} {self.low:g}"

    @property
    def start(self) -> str:
        """Where training may start, in words."""
        if self.bounded:
            return f"a number between {self.low:g} and {self.high:g} to start from"
        return f"a number above {self.low:g} to start from"

    @property
    def bounded(self) -> bool:
        """Whether it has two ends."""
        return self.high < math.inf

    def holds(self, value: Tensor) -> bool:
        """Whether every value lies inside; on the meta device there are no values to look at."""
        if value.is_meta:
            return True
        above = value >= self.low if self.closed else value > self.low
        below = value <= self.high if self.closed else value < self.high
        return bool((above & below & value.isfinite()).all())

    def raw(self, value: Tensor) -> Tensor:
        """The unconstrained number that training changes."""
        if not self.bounded:
            return value.clone() if self.low == -math.inf else (value - self.low).log()
        if self.curve == "clamp":
            return value.clone()
        if self.curve == "log":
            return value.log()
        share = (value - self.low) / (self.high - self.low)
        return torch.atanh(2 * share - 1) if self.curve == "tanh" else torch.logit(share)

    def value(self, raw: Tensor) -> Tensor:
        """The quantity, from the unconstrained number."""
        if not self.bounded and self.low == -math.inf:
            return raw
        # held, because a wild optimiser step would reach an end, or infinity
        held: Tensor = _Held.apply(raw, *self._reach())
        if not self.bounded:
            return self.low + held.exp()
        if self.curve == "clamp":
            return held
        if self.curve == "log":
            return held.exp()
        span = self.high - self.low
        if self.curve == "tanh":
            middle = (self.low + self.high) / 2
            return middle + span / 2 * held.tanh() if middle else span / 2 * held.tanh()
        return self.low + span * held.sigmoid()

    def _reach(self) -> tuple[float, float]:
        """How far the unconstrained number is followed."""
        if not self.bounded:
            return -_FAR, _FAR
        if self.curve == "clamp":
            return self.low, self.high
        if self.curve == "log":
            return math.log(self.low), math.log(self.high)
        return -_REACH[self.curve], _REACH[self.curve]

    def learnable(self, value: Tensor) -> bool:
        """Whether training can start from every value; not at an end that lies infinitely far away."""
        if value.is_meta or (not self.bounded and self.low == -math.inf):
            return self.holds(value)
        if self.bounded and self.curve in ("clamp", "log"):
            return self.holds(value)
        return self.holds(value) and bool((self.raw(value).abs() < self._reach()[1]).all())


REAL = Domain()
POSITIVE = Domain(low=0.0)
NON_NEGATIVE = Domain(low=0.0, closed=True)


def above(low: float, *, closed: bool = False) -> Domain:
    """The numbers above `low`."""
    return Domain(low=low, closed=closed)


def between(low: float, high: float, *, curve: Curve = "tanh", closed: bool = True) -> Domain:
    """The numbers between two ends.

    Args:
        low: the lower end.
        high: the upper end.
        curve: how training moves between them.
        closed: whether a fixed quantity may lie at an end.

    Raises:
        OptionError: the ends are not finite or not in order, or a "log" curve that does not start above 0.
    """
    if not (-math.inf < low < high < math.inf) or (curve == "log" and low <= 0):
        raise OptionError(f"between got {low} and {high} with the curve {curve!r}", "finite ends, the lower one first")
    return Domain(low, closed, high, curve)


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
            dtype = tensor.dtype if isinstance(start, Tensor) and start.is_floating_point() else None
            # also as it is kept: in few bits, what lies near an end may lie on it
            kept = tensor.detach().to(dtype or torch.get_default_dtype())
            if not domain.learnable(tensor.detach()) or not domain.learnable(kept):
                raise OptionError(
                    f"{type(self).__name__} got {name}={value!r}",
                    domain.start,
                    "Training moves along a curve that reaches an end only at infinity: start a little "
                    + ("inside." if domain.bounded else "above it."),
                )
            if value.shape and not _spreads(tensor.shape, value.shape):
                raise OptionError(
                    f"{type(self).__name__} got {name} with a value of shape {tuple(tensor.shape)} for {value.shape}",
                    "a number, or a tensor that spreads over that shape",
                    f"Leave shape out, to learn a value of shape {tuple(tensor.shape)}.",
                )
            device = tensor.device if isinstance(start, Tensor) else torch.get_default_device()
            tensor = kept.to(device)
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
            self.check_quantity(name, features)

    def check_quantity(self, name: str, features: Sequence[int]) -> None:
        """`check_quantities` of one of them.

        Raises:
            ShapeError: it does not fit.
        """
        tensors = (self._buffers, self._parameters)
        value = next((store[name] for store in tensors if name in store), None)
        if value is None and f"learned_{name}" in self._modules:
            raw = self._modules[f"learned_{name}"]
            value = raw.raw if isinstance(raw, _Raw) else None
        if value is None or value.ndim == 0:
            return
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
                known = value.numel() == 1 and not value.is_meta
                text = f"{value.item():.4g}" if known else f"tensor{tuple(value.shape)}"
                parts.append(f"{name}={text}{' learned' * self.is_learned(name)}")
            else:
                parts.append(f"{name}={value:g}")
        return ", ".join(parts)
