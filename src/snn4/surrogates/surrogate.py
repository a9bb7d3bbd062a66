"""The spike: a step in the forward pass, something smoother in the backward pass.

    forward     s = H(x) = 1 if x >= 0 else 0,    x = v - v_threshold
    backward    ds/dx = psi(x)                    the surrogate's `derivative`
                ds/dk = d Psi(x; k) / dk          where the scale k is learned; Psi is the `primitive` of psi

A surrogate is therefore two formulas, `derivative` and `primitive`, and one number, the `area` under the first.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.quantity import Quantified, between

__all__ = ["SCALE", "Membrane", "Surrogate", "heaviside", "spike", "spike_along"]

SCALE = between(1e-4, 1e4, curve="log")
"""Widths and slopes: beyond these ends a derivative is a number that float32 cannot multiply through a network."""


class Membrane(NamedTuple):
    """What a neuron tells of its membrane to a surrogate that follows it."""

    decay: float | Tensor
    threshold: float | Tensor


def heaviside(x: Tensor) -> Tensor:
    """1 where x >= 0, else 0, in the dtype of `x`; exactly at the threshold a neuron fires."""
    return (x >= 0).to(x.dtype)


class _Spike(torch.autograd.Function):
    """Step forward, `derivative` backward; keeps only x."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, derivative: Callable[[Tensor], Tensor]) -> Tensor:  # noqa: ARG004  (used by setup_context)
        return heaviside(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(inputs[0])
        ctx.derivative = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grad_outputs[0] * ctx.derivative(x), None


class _SpikeOfScale(torch.autograd.Function):
    """The same, for a derivative of x and of a tensor that belongs to the call."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, derivative: Callable[[Tensor, Tensor], Tensor], scale: Tensor) -> Tensor:  # noqa: ARG004
        return heaviside(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(inputs[0], inputs[2])
        ctx.derivative = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None, None]:
        x, scale = ctx.saved_tensors
        return grad_outputs[0] * ctx.derivative(x, scale), None, None


def spike(x: Tensor, derivative: Callable[..., Tensor], scale: Tensor | None = None) -> Tensor:
    """A step whose derivative is `derivative(x)`, or `derivative(x, scale)`; no gradient reaches the scale."""
    spikes: Tensor = _Spike.apply(x, derivative) if scale is None else _SpikeOfScale.apply(x, derivative, scale)
    return spikes


def spike_along(x: Tensor, smooth: Tensor) -> Tensor:
    """A step that is differentiated as `smooth` is, in everything that `smooth` was made from."""
    # Psi - Psi is exactly 0 in the forward pass
    return heaviside(x) + (smooth - smooth.detach())


class Surrogate(Quantified, abc.ABC):
    """Abstract: a spike function with a surrogate derivative. Subclasses are final.

    A subclass registers its scale with `self.quantity(...)` and writes `derivative`, `primitive` and `area`. Then
    `snn4.testing.check_surrogate(MySurrogate())` checks that they agree with each other.

    `follows = True` says that its scale comes from the neuron: the neuron then hands it a `Membrane` with each call,
    and one without a decay refuses it.
    """

    follows: bool = False

    @abc.abstractmethod
    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """psi(x), elementwise, what stands for the derivative of the step. Shape: any, kept."""

    @abc.abstractmethod
    def primitive(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Psi(x), with Psi' = psi: the smooth function that the backward pass follows. Shape: any, kept."""

    @property
    @abc.abstractmethod
    def area(self) -> float | Tensor:
        """The integral of psi over the real line; 1 where it stands for a step of height 1."""

    @property
    def learns(self) -> bool:
        """Whether training changes its scale."""
        return any(self.is_learned(name) for name in self.quantities)

    def forward(self, x: Float[Tensor, "*any"], membrane: Membrane | None = None) -> Float[Tensor, "*any"]:
        """Spikes, 0 or 1. Shape: any, kept.

        Args:
            x: membrane minus threshold.
            membrane: what the neuron says of itself; for a surrogate that follows it.
        """
        # autograd through Psi gives the gradient of x and of the scale
        return spike_along(x, self.primitive(x)) if self.learns else spike(x, self.derivative)
