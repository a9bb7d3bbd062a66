"""PSN: parallel spiking neurons, without a reset, so that all steps are one product.

    PSN           h = W x over time, W of shape (T, T);                  s[t] = H(h[t] + bias[t])
    masked        W (lambda M + 1 - lambda), M keeps the last k steps;   lambda goes from 0 to 1 in training

The weights are shared by all neurons of a layer. W_ij = (1 / tau) (1 - 1 / tau)^(i - j) for j <= i is a LIF with
decayed input and without a reset. PSN itself looks into the future.

Paper: [fang2023psn]
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter

from snn4.core.checks import is_whole
from snn4.core.errors import OptionError, ShapeError, StateError
from snn4.core.states import state
from snn4.neurons.firing import FiringNeuron
from snn4.surrogates import Surrogate

__all__ = ["PSN", "MaskedPSN", "whole"]

_NO_STEP = "it has no step: all steps are one product over time"
_EXEMPT = {
    **dict.fromkeys(("step folds to forward", "step changes nothing", "compiles"), _NO_STEP),
    "sequences": "its weights are T x T: it takes sequences of that length only",
    "silent at rest": "the law looks longer than its T",
}


def whole(owner: str, name: str, value: int) -> int:
    """A number of steps, if it is one."""
    if not is_whole(value):
        raise OptionError(f"{owner} got {name}={value!r}", "a whole number >= 1")
    return value


def _weights(steps: int, generator: torch.Generator | None) -> tuple[Parameter, Parameter]:
    """As a torch.nn.Linear over time; the bias is a threshold of 1."""
    bound = 1 / math.sqrt(steps)
    weight = torch.empty(steps, steps).uniform_(-bound, bound, generator=generator)
    return Parameter(weight), Parameter(torch.full((steps,), -1.0))


def _over_time(weight: Tensor, bias: Tensor, xs: Tensor) -> Tensor:
    return torch.addmm(bias.unsqueeze(1), weight, xs.flatten(1)).view_as(xs)


def _check_length(owner: str, steps: int, xs: Tensor) -> None:
    if len(xs) != steps:
        raise ShapeError(
            f"{owner} got {len(xs)} steps",
            f"the {steps} steps that its weights are made for",
            "Make it with steps=T, or take SlidingPSN, which runs on any length.",
        )


class PSN(FiringNeuron):
    """Parallel spiking neuron, with a weight for every pair of steps.

    Args:
        steps: T, the length of every sequence it will see.
        surrogate: default `ATan()`.
        generator: draws the weights; by default torch's own.

    Shape: (T, B, *features), kept.

    Example:
        >>> PSN(4)(torch.randn(4, 2, 3)).shape
        torch.Size([4, 2, 3])
    """

    State = state("h")
    chunkable = False
    unchunkable_reason = "every step depends on all others through its T x T weights"
    own_sequence = "its T x T weights make one matrix product over time, which is no elementwise step"
    exempt: ClassVar = _EXEMPT

    def __init__(
        self, steps: int, surrogate: Surrogate | None = None, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(surrogate)
        self.steps = whole("PSN", "steps", steps)
        self.weight, self.bias = _weights(steps, generator)

    def check(self, xs: Tensor) -> None:
        """Refuse another length."""
        super().check(xs)
        _check_length("PSN", self.steps, xs)

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """There is none.

        Raises:
            StateError: always.
        """
        raise StateError("PSN was asked for one step", "a whole sequence", self.unchunkable_reason)

    def sequence(self, xs: Float[Tensor, "T B *features"], state: Any) -> tuple[Float[Tensor, "T B *features"], Any]:
        """One product over time. The state is the last membrane."""
        h = _over_time(self.weight, self.bias, xs)
        return self.surrogate(h), self.State(h[-1])

    def extra_repr(self) -> str:
        """The length."""
        return f"steps={self.steps}"


class MaskedPSN(FiringNeuron):
    """PSN of which a mask leaves only the last k steps, so that it is causal when training is over.

    Args:
        steps: T, the length of every sequence it will see.
        k: how many steps it looks back, with the present one.
        surrogate: default `ATan()`.
        generator: draws the weights; by default torch's own.

    Shape: (T, B, *features), kept.

    Example:
        >>> neuron = MaskedPSN(4, k=1).masked(1.0)
        >>> neuron.causal_weight.count_nonzero().item()
        4
    """

    State = state("h")
    chunkable = False
    unchunkable_reason = "its weights differ from step to step, and depend on later ones until the mask is closed"
    own_sequence = PSN.own_sequence
    exempt: ClassVar = _EXEMPT
    share: Tensor

    def __init__(
        self, steps: int, k: int, surrogate: Surrogate | None = None, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(surrogate)
        self.steps, self.k = whole("MaskedPSN", "steps", steps), whole("MaskedPSN", "k", k)
        self.weight, self.bias = _weights(steps, generator)
        self.register_buffer("share", torch.ones(()))

    def masked(self, share: float) -> MaskedPSN:
        """Close the mask by this share (lambda), 0 for not at all, 1 for wholly; returns itself.

        Raises:
            OptionError: not between 0 and 1.
        """
        if not 0 <= share <= 1:
            raise OptionError(f"MaskedPSN got share={share!r}", "a number from 0 to 1")
        self.share.fill_(share)
        return self

    @property
    def causal_weight(self) -> Tensor:
        """The weights behind the mask."""
        mask = torch.ones_like(self.weight).tril().triu(1 - self.k)
        return self.weight * (self.share * mask + (1 - self.share))

    def check(self, xs: Tensor) -> None:
        """Refuse another length."""
        super().check(xs)
        _check_length("MaskedPSN", self.steps, xs)

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """There is none.

        Raises:
            StateError: always.
        """
        raise StateError("MaskedPSN was asked for one step", "a whole sequence", self.unchunkable_reason)

    def sequence(self, xs: Float[Tensor, "T B *features"], state: Any) -> tuple[Float[Tensor, "T B *features"], Any]:
        """One product over time. The state is the last membrane."""
        h = _over_time(self.causal_weight, self.bias, xs)
        return self.surrogate(h), self.State(h[-1])

    def extra_repr(self) -> str:
        """The length, the order and the mask."""
        return f"steps={self.steps}, k={self.k}, share={'?' if self.share.is_meta else f'{self.share.item():g}'}"
