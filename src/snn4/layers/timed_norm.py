"""What norms with parameters of their own for each step share: a state that says which step it is."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.checks import check_sequence
from snn4.core.errors import OptionError, ShapeError, StateError
from snn4.core.states import state
from snn4.through_time import Stateful

__all__ = ["TimedNorm"]


class TimedNorm(Stateful):
    """Abstract: a norm that knows the time, for sequences of at most `steps` steps.

    A subclass writes `steps_from`. Run in chunks, the second chunk goes on at the step where the first ended; there
    `torch.compile` breaks its graph, because the number of the step decides what runs.

    Args:
        num_features: channels, axis 2.
        steps: the longest sequence, T.
    """

    State = state("t")
    features: ClassVar[tuple[int, ...]]

    def __init__(self, num_features: int, steps: int) -> None:
        super().__init__()
        if num_features < 1 or steps < 1:
            raise OptionError(f"{type(self).__name__} got num_features={num_features}, steps={steps}", "both >= 1")
        self.num_features, self.steps = num_features, steps

    @abc.abstractmethod
    def steps_from(self, xs: Float[Tensor, "T B C *sizes"], start: int) -> Float[Tensor, "T B C *sizes"]:
        """The outputs of a stretch that begins at step `start` of the sequence. Shape: (T, B, C, *), kept."""

    def check(self, xs: Tensor) -> None:
        """Refuse another rank or another number of channels."""
        accepted = [n for n in self.features if xs.ndim == 2 + n]
        check_sequence(type(self).__name__, xs, accepted[0] if accepted else self.features[0])
        if xs.shape[2] != self.num_features:
            raise ShapeError(
                f"{type(self).__name__} of {self.num_features} channels got x of shape {tuple(xs.shape)}",
                f"{self.num_features} channels in axis 2",
            )

    def initial(self, x: Float[Tensor, "B C *sizes"]) -> Any:
        """The first step. Shape of x: (B, C, *)."""
        return self.State(torch.zeros((), dtype=torch.int64, device=x.device))

    def sequence(self, xs: Float[Tensor, "T B C *sizes"], state: Any) -> tuple[Float[Tensor, "T B C *sizes"], Any]:
        """A stretch of the sequence, from the step that the state names."""
        return self._stretch(xs, int(state.t)), self.State(state.t + xs.shape[0])

    def outputs(self, xs: Float[Tensor, "T B C *sizes"]) -> Float[Tensor, "T B C *sizes"]:
        """A whole sequence; the device is not asked for the step."""
        return self._stretch(xs, 0)

    def _stretch(self, xs: Tensor, start: int) -> Tensor:
        if start + xs.shape[0] > self.steps:
            raise StateError(
                f"{type(self).__name__} of {self.steps} steps got steps {start} to {start + xs.shape[0] - 1}",
                f"at most {self.steps} steps in a sequence",
                "Make it with steps=... for the longest sequence, or start again without a state.",
            )
        return self.steps_from(xs, start)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.num_features}, steps={self.steps}"
