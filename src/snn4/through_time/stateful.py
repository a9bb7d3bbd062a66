"""A module over a sequence that has a state.

Neurons are the main kind; dropout with one mask for all steps is another. A subclass writes `initial` and `sequence`;
calling it is pure.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.checks import check_sequence
from snn4.core.errors import StateError
from snn4.core.quantity import Quantified
from snn4.through_time import session as sessions
from snn4.through_time.contract import NoState, NotBegun, refuse_fields

if TYPE_CHECKING:
    from snn4.through_time.routes import Route

__all__ = ["Stateful"]


class Stateful(Quantified, abc.ABC):
    """Abstract: a module (T, B, *features) -> (T, B, *) that carries a state through time.

    `chunkable = False`, with the reason in `unchunkable_reason`, says that a sequence may not be cut for this module;
    `run` with a state and `Stream` then refuse it.
    """

    State: Any = NoState()
    chunkable: bool = True
    unchunkable_reason: str = ""
    crosses: str = ""
    """How a gradient goes from one step to another here, which no route of the neurons can cut: a delay, for one."""
    route: Route | None = None
    """How the network is differentiated through time; `use_route` sets it."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        refuse_fields(cls)

    @abc.abstractmethod
    def initial(self, x: Float[Tensor, "B *features"]) -> Any:
        """The state at rest, for inputs like `x`. Shape of x: (B, *features), one step."""

    def template(self, x: Float[Tensor, "B *features"]) -> Any:
        """A state with the shapes that `initial(x)` has; where drawing one has a cost, without it."""
        return self.initial(x)

    @abc.abstractmethod
    def sequence(self, xs: Float[Tensor, "T B *features"], state: Any) -> tuple[Float[Tensor, "*out"], Any]:
        """Outputs and last state, from a sequence and a first state. Shape of xs: (T, B, *features)."""

    def initial_of_call(self, x: Tensor) -> Any:
        """`initial(x)`, as a call uses it. Shape of x: (B, *features)."""
        return self.initial(x)

    def sequence_of_call(self, xs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """`sequence(xs, state)`, as a call uses it. Shape of xs: (T, B, *features)."""
        return self.sequence(xs, state)

    def outputs(self, xs: Float[Tensor, "T B *features"]) -> Float[Tensor, "*out"]:
        """Outputs from rest, where nobody asks for the last state. Shape of xs: (T, B, *features)."""
        return self.sequence_of_call(xs, self.initial_of_call(xs[0]))[0]

    def check(self, xs: Tensor) -> None:
        """Refuse an input that is not a sequence for this module. A subclass may ask for more.

        Raises:
            ShapeError: wrong rank, no time step, not floating point, or quantities that do not fit.
        """
        check_sequence(type(self).__name__, xs)
        self.check_quantities(xs.shape[2:])

    def forward(self, xs: Float[Tensor, "T B *features"]) -> Float[Tensor, "*out"]:
        """Outputs over the whole sequence, from rest, or from the state that `run` carries.

        Shape: (T, B, *features) -> (T, B, *).
        """
        return self.carried(xs, self.sequence_of_call, self.outputs)

    def carried(
        self,
        xs: Tensor,
        sequence: Callable[[Tensor, Any], tuple[Tensor, Any]],
        outputs: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """What `forward` does, with `sequence` in the place of the module's own; for those who run it with others.

        Args:
            xs: shaped like the module's input. Shape (T, B, *features).
            sequence: from `xs` and a first state to the outputs and the last state.
            outputs: the same from rest, where nobody asks for the last state.
        """
        self.check(xs)
        session = sessions.current()
        if session is None:
            sessions.at_rest(self)
            return sequence(xs, self.initial_of_call(xs[0]))[0] if outputs is None else outputs(xs)
        key, state = self.entered(xs, session)
        ys, state = sequence(xs, state)
        session.leave(self, key, ys, state)
        return ys

    def entered(self, xs: Tensor, session: sessions.Session) -> tuple[str, Any]:
        """Begin a call of this module in a session: the key under which it leaves, and the state that it starts from.

        Args:
            xs: shaped like the module's input. Shape (T, B, *features).
            session: the current one.
        """
        session.refuse_foreign_checkpoint(self)
        key = session.enter(self)
        state = session.incoming_of(key)
        return key, self.initial_of_call(xs[0]) if state is None else self._checked(key, state, xs)

    def _checked(self, key: str, state: Any, xs: Tensor) -> Any:
        """The carried state, if it belongs to this module and this input."""
        if torch.compiler.is_compiling():
            return state
        rest = self.template(xs[0])
        fields = getattr(state, "_fields", None)
        if fields != rest._fields:
            raise StateError(
                f"the state of {key!r} has the fields {fields}",
                f"{rest._fields} of {type(self).__name__}",
                "Is it the state of another network?",
            )
        for field, mine, theirs in zip(rest._fields, rest, state, strict=True):
            if mine.shape != theirs.shape:
                batch = mine.ndim and theirs.ndim and mine.shape[0] != theirs.shape[0]
                raise StateError(
                    f"the state of {key!r} has {field} of shape {tuple(theirs.shape)}",
                    f"{tuple(mine.shape)} for an input of shape {tuple(xs.shape)}",
                    "The batch changed; start again without a state (Stream.reset()), or keep items by state.select(i)."
                    if batch
                    else "Is it the state of another network?",
                )
            if mine.device != theirs.device:
                raise StateError(
                    f"the state of {key!r} lies on {theirs.device}",
                    f"{mine.device}, where the input is",
                    "Move it: state.to(x.device).",
                )
        return state


# the first that is asked for by a call, by a walk through a network, and by `quantity`
for _name in ("_backward_hooks", "_modules", "quantities"):
    setattr(Stateful, _name, NotBegun())
