"""MSG: a masked surrogate, which lets a random share of the neurons learn at each step.

    psi'(x) = m psi(x),   m = 0 with probability p, else 1 (or 1 / (1 - p), rescaled), drawn anew in each backward pass
                          for every neuron and step

Only in training; in eval mode it is the surrogate that it masks.

Paper: [li2024msg]
Differs from the paper: nothing in the default; `rescale` keeps the expectation of the gradient, which otherwise shrinks
as (1 - p)^layers.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.surrogates.surrogate import Membrane, Surrogate
from snn4.surrogates.triangle import Triangle

__all__ = ["MSG"]


class _Masked(torch.autograd.Function):
    """The same value; a gradient of which a random share passes."""

    generate_vmap_rule = True

    @staticmethod
    def forward(s: Tensor, keep: float, factor: float, generator: torch.Generator | None) -> Tensor:  # noqa: ARG004
        return s.view_as(s)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        ctx.keep, ctx.factor, ctx.generator = inputs[1:]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None, None, None]:
        (grad,) = grad_outputs
        mask = torch.bernoulli(torch.full_like(grad, ctx.keep), generator=ctx.generator)
        return grad * (mask * ctx.factor), None, None, None


class MSG(Surrogate):
    """A surrogate behind a random mask.

    Args:
        base: what is masked; it is copied. Default `Triangle(0.5)`, the paper's.
        p: the share of neurons and steps that get no gradient.
        rescale: divide what is left by 1 - p.
        generator: draws the masks; by default torch's own for the device.

    Example:
        >>> x = torch.zeros(1000, requires_grad=True)
        >>> MSG(p=0.5, generator=torch.Generator().manual_seed(0)).train()(x).sum().backward()
        >>> x.grad.unique().tolist(), 450 < x.grad.count_nonzero().item() < 550
        ([0.0, 2.0], True)
    """

    def __init__(
        self,
        base: Surrogate | None = None,
        p: float = 0.5,
        *,
        rescale: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if base is not None and (not isinstance(base, Surrogate) or isinstance(base, MSG)):
            raise OptionError(f"MSG got base={base!r}", "a Surrogate that is not masked", "Write MSG(Triangle(0.5)).")
        if not 0 <= p <= 1 or (rescale and p == 1):
            raise OptionError(f"MSG got p={p!r}, rescale={rescale}", "a probability from 0 to 1, below 1 to rescale")
        self.base: Surrogate = Triangle(0.5) if base is None else copy.deepcopy(base)
        self.follows = self.base.follows
        self.p, self.rescale, self.generator = p, rescale, generator

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """That of the base: what passes where the mask is open."""
        return self.base.derivative(x)

    def primitive(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """That of the base."""
        return self.base.primitive(x)

    @property
    def area(self) -> float | Tensor:
        """That of the base."""
        return self.base.area

    @property
    def learns(self) -> bool:
        """Whether training changes the base's scale."""
        return self.base.learns

    def check_quantities(self, features: Sequence[int]) -> None:
        """Those of the base."""
        self.base.check_quantities(features)

    def forward(self, x: Float[Tensor, "*any"], membrane: Membrane | None = None) -> Float[Tensor, "*any"]:
        """Spikes, 0 or 1. Shape: any, kept."""
        s: Tensor = self.base(x, membrane)
        if self.training and self.p and s.requires_grad:
            keep = 1 - self.p
            s = _Masked.apply(s, keep, 1 / keep if self.rescale else 1.0, self.generator)
        return s

    def __deepcopy__(self, memo: dict[int, Any]) -> MSG:
        """A copy that goes on drawing from the same generator, as the user who handed it in expects."""
        twin = MSG(self.base, self.p, rescale=self.rescale, generator=self.generator)
        memo[id(self)] = twin
        return twin.train(self.training)

    def extra_repr(self) -> str:
        """The mask."""
        return f"p={self.p:g}{', rescale' * self.rescale}"
