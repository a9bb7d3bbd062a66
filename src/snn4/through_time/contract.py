"""What a class of a user's own has to bring along, and what its `step` has to give; told where it is missing.

Little of it is on the way of a call that is in order: what `torch.nn.Module` keeps in the object is found there first,
and of the steps of a sequence only the first is looked at, but by routes that take each step as a sequence of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from torch import Tensor

from snn4.core.errors import OptionError

if TYPE_CHECKING:
    from snn4.through_time.neuron import Neuron

__all__ = ["NoState", "NotBegun", "answered", "refuse_fields"]


class NoState:
    """In the place of `State`, until a subclass has one."""

    def __get__(self, owner: object, kind: type) -> None:
        """None of the class.

        Raises:
            OptionError: of an object.
        """
        if owner is not None:
            raise OptionError(
                f"{kind.__name__} has no State",
                "the names of what it carries from step to step",
                "Write State = snn4.state('v') in the class.",
            )


class NotBegun:
    """In the place of what `torch.nn.Module.__init__` puts into every object, which then hides this one."""

    def __get__(self, owner: object, kind: type) -> NotBegun:
        """Itself, of the class.

        Raises:
            OptionError: of an object.
        """
        if owner is None:
            return self
        raise OptionError(
            f"{kind.__name__} has none of what torch.nn.Module keeps in each object",
            "an __init__ that begins with that of its base class",
            f"Call super().__init__() first in {kind.__name__}.__init__.",
        )


def refuse_fields(owner: type) -> None:
    """Refuse names in the place of the named tuple that has them.

    Raises:
        OptionError: `State` is a text, a tuple or a list.
    """
    given = vars(owner).get("State")
    if isinstance(given, (str, tuple, list)):
        raise OptionError(
            f"{owner.__name__} got State = {given!r}",
            "a named tuple type, whose fields are carried from step to step",
            "Write State = snn4.state('v').",
        )


def answered(neuron: Neuron, found: Any, before: Any) -> tuple[Tensor, Any]:
    """What `step` gave, where that is an output and a state like the one before.

    Args:
        neuron: whose step.
        found: what it returned.
        before: the state that it got.

    Raises:
        OptionError: it is something else.
    """
    fields = getattr(before, "_fields", None)
    if fields is None:
        raise OptionError(
            f"{type(neuron).__name__}.initial returned {_one(before)}",
            f"a State of {', '.join(neuron.State._fields)}",
            f"Write return self.State({', '.join(neuron.State._fields)}).",
        )
    if isinstance(found, (tuple, list)) and len(cast("tuple[Any, ...]", found)) == 2:
        y, new = cast("tuple[Any, Any]", found)
        if isinstance(y, Tensor) and getattr(new, "_fields", None) == fields:
            for value in new:
                if not isinstance(value, Tensor):
                    break
            else:
                return y, new
    raise OptionError(
        f"{type(neuron).__name__}.step returned {_told(found, fields)}",
        f"an output and a State of {', '.join(fields)}, each of them a tensor",
        f"Write return s, self.State({', '.join(fields)}).",
    )


def _told(found: Any, fields: tuple[str, ...]) -> str:
    """What came, in words."""
    if type(found) not in (tuple, list):
        return _one(found)
    if len(found) != 2:
        return f"{len(found)} values"
    y, new = found
    if not isinstance(y, Tensor):
        return f"{_one(y)} as its output"
    if getattr(new, "_fields", None) == fields:
        wrong = next(name for name, value in zip(fields, new, strict=True) if not isinstance(value, Tensor))
        return f"{_one(getattr(new, wrong))} as {wrong} of its state"
    return f"{_one(new)} as its state"


def _one(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, tuple):
        names = getattr(cast("Any", value), "_fields", None)
        count = len(cast("tuple[Any, ...]", value))
        return f"a plain tuple of {count}" if names is None else f"a State of {', '.join(names)}"
    return "nothing" if value is None else repr(value)
