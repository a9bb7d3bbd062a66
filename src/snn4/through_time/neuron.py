"""The neuron: defined once, by its equation for one step.

    class LIF(Neuron):
        State = state("v")
        def step(self, x, state):
            v = self.beta * state.v + x
            s = self.surrogate(v - self.v_threshold)
            return s, self.State(v - s * self.v_threshold)

Everything else (running over sequences, carrying state, kernels, routes, checks) follows from it.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.through_time import registry
from snn4.through_time.again import remember, remembered
from snn4.through_time.loop import reference_loop
from snn4.through_time.routes import BPTT, Route
from snn4.through_time.staged import Stages
from snn4.through_time.stateful import Stateful

if TYPE_CHECKING:
    from snn4.through_time.dsr import Representation

__all__ = ["Neuron"]

# fp32 for the state under autocast: a leak of 0.99 is lost in bf16's 8 bits
_LOW_PRECISION = (torch.float16, torch.bfloat16)


class Neuron(Stateful):
    """Abstract: an activation function over a sequence. Subclasses are final.

    A subclass sets `State` and writes `step`. Optional parts of the contract:

    - `rest()`: other numbers to start from than zero;
    - `initial(x)`: a first state that is shaped unlike `x`, or drawn;
    - `sequence(xs, state)`: a neuron that sees the whole sequence at once, which says why in `own_sequence`;
    - `stages()`: a step that is two elementwise ones with a sum between, so that each can be a kernel;
    - `transfer(mean_x)`: the closed-form output rate for a constant input;
    - `representation(xs)`: what outputs over a sequence stand for, for the route `DSR`;
    - `alphabet`: the values that outputs take: `(0.0, 1.0)` for spikes, more for graded ones, `None` for any number.

    `snn4.testing.check_neuron(MyNeuron())` checks all that a neuron promises.
    """

    alphabet: tuple[float, ...] | None = (0.0, 1.0)
    linear: bool = False
    """Whether outputs are linear in the inputs, as a readout's are; no route needs to replace that gradient."""
    own_sequence: str = ""
    """Why `sequence` is not the fold of `step`; `explain` tells it."""
    exempt: ClassVar[Mapping[str, str]] = {}
    """The laws of `snn4.testing.check_neuron` that this kind of neuron cannot keep, each with its reason."""

    def __init__(self) -> None:
        super().__init__()
        self.route: Route = BPTT()  # pyright: ignore[reportIncompatibleVariableOverride]

    @abc.abstractmethod
    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *out"], Any]:
        """One step of time: output and new state. It must not change its arguments.

        Shape: x (B, *features); state as `initial` gives it; output (B, *).
        """

    def rest(self) -> Any:
        """The state at rest, for each field a number for all elements or a tensor that broadcasts to them: zero."""
        return self.State(*(0.0 for _ in self.State._fields))

    def initial(self, x: Float[Tensor, "B *features"]) -> Any:
        """At rest, every field shaped like `x`. Shape of x: (B, *features)."""
        return self.State(*(_full(x, value) for value in self.rest()))

    def resting(self, x: Float[Tensor, "B *features"], dtype: torch.dtype | None = None) -> Any:
        """As `initial`, for kernels: each number is written once, not once an element. Shape of x: (B, *features).

        Args:
            x: what the state is for.
            dtype: of the state; that of `x` unless given.
        """
        return self.State(*(_spread(x, value, dtype or x.dtype) for value in self.rest()))

    def stages(self) -> Stages | None:
        """What the step consists of, if it is two steps one after the other; see `snn4.through_time.staged`."""
        return None

    def sequence(self, xs: Float[Tensor, "T B *features"], state: Any) -> tuple[Float[Tensor, "T B *out"], Any]:
        """All steps, along the neuron's route. Shape: xs (T, B, *features), outputs (T, B, *)."""
        return self.route.through(self, xs, state)

    def forward(self, xs: Float[Tensor, "T B *features"]) -> Float[Tensor, "T B *out"]:
        """Outputs over the whole sequence, from rest, or from the state that `run` carries.

        Shape: (T, B, *features) -> (T, B, *).
        """
        if not torch.compiler.is_compiling():
            again = remembered(self, xs)
            ys = None if again is None else again(self, xs)
            if ys is not None:
                return ys
        return super().forward(xs)

    def outputs(self, xs: Float[Tensor, "T B *features"]) -> Float[Tensor, "T B *out"]:
        """Outputs from rest, where nobody asks for the last state: a kernel then neither reads nor writes a state.

        Shape: xs (T, B, *features), outputs (T, B, *).
        """
        whole = isinstance(self.route, BPTT) and self.route.truncate is None and not torch.compiler.is_compiling()
        if not whole or not _ours(self, "initial", "sequence"):
            return super().outputs(xs)
        ys = self._from_rest(xs)
        if ys is not None:
            return ys
        wide = xs.float() if _low(xs) else xs
        ys = self._from_rest(wide) if wide is not xs else None
        if ys is None:
            ys = reference_loop(self, wide, self.initial(wide[0]))[0]
        return ys.to(xs.dtype) if wide is not xs and self.alphabet is not None else ys

    def _from_rest(self, xs: Tensor) -> Tensor | None:
        """By a kernel, where there is one."""
        dtype = torch.float32 if _low(xs) else xs.dtype
        rest = self.resting(xs[0], dtype)
        kernel, _ = registry.choose(self, xs, rest)
        if kernel is None:
            return None
        alone, again = getattr(kernel, "outputs", None), getattr(kernel, "again", None)
        ys: Tensor = kernel(self, xs, rest)[0] if alone is None else alone(self, xs, rest)
        if again is not None and _ours(self, "forward", "carried", "check", "outputs"):
            shortcut = again(self, xs, rest)
            if shortcut is not None:
                remember(self, xs, shortcut)
        return ys

    def transfer(self, mean_x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """The output rate, in spikes a step, that a constant input settles to. Shape: any, kept.

        Raises:
            NotImplementedError: this neuron has no closed form.
        """
        raise NotImplementedError(f"{type(self).__name__} has no closed-form rate")

    def representation(self, xs: Float[Tensor, "T B *features"]) -> Representation:
        """How outputs over the steps of `xs` stand for a clamp of the mean input; for `DSR`.

        Raises:
            NotImplementedError: this neuron has no such representation.
        """
        raise NotImplementedError(f"{type(self).__name__} has no closed-form rate")

    @property
    def decay_of_v(self) -> float | Tensor:
        """What is left of the membrane after one step without input; surrogates and traces may follow it.

        Raises:
            NotImplementedError: this neuron has no such number.
        """
        raise NotImplementedError(f"the membrane of {type(self).__name__} has no single decay")

    def initial_of_call(self, x: Tensor) -> Any:
        """`initial(x)`; in float32 under autocast. Shape of x: (B, *features)."""
        return self.initial(x.float() if _low(x) else x)

    def sequence_of_call(self, xs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """`sequence(xs, state)`; under autocast in float32, where spikes are handed on in the dtype of the input.

        Shape of xs: (T, B, *features).
        """
        if not _low(xs):
            return self.sequence(xs, state)
        # a kernel may read and write fewer bits and round nowhere else
        if type(self).sequence is Neuron.sequence and isinstance(self.route, BPTT) and self.route.truncate is None:
            kernel, _ = registry.choose(self, xs, state)
            if kernel is not None:
                return kernel(self, xs, state)
        ys, state = self.sequence(xs.float(), state)
        return (ys.to(xs.dtype) if self.alphabet is not None else ys), state

    def asks(self, xs: Tensor, state: Any) -> tuple[registry.Kernel | None, list[tuple[str, str]], bool]:
        """The kernel that a call would take, who refused, and whether its input is made float32 first; for `explain`.

        Shape of xs: (T, B, *features).
        """
        kernel, refused = self.route.asks(self, xs, state)
        if kernel is not None or not _low(xs):
            return kernel, refused, False
        # as a call does it: those who cannot read few bits are asked again
        kernel, again = self.route.asks(self, xs.float(), state)
        return kernel, refused if kernel is not None else again, True


def _ours(neuron: Neuron, *names: str) -> bool:
    """Whether nobody has put methods of these names in the place of ours."""
    return all(getattr(getattr(neuron, name), "__func__", None) is getattr(Neuron, name) for name in names)


def _full(x: Tensor, value: float | Tensor) -> Tensor:
    return torch.zeros_like(x) + value if isinstance(value, Tensor) else torch.full_like(x, value)


def _spread(x: Tensor, value: float | Tensor, dtype: torch.dtype) -> Tensor:
    one = value.to(dtype) if isinstance(value, Tensor) else x.new_full((), value, dtype=dtype)
    return one.expand(x.shape)


def _low(xs: Tensor) -> bool:
    """Whether autocast has made an input of few bits."""
    return xs.dtype in _LOW_PRECISION and torch.is_autocast_enabled(xs.device.type)
