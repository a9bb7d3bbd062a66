"""What a stateful module carries from one stretch of time to the next.

The state of one module is a named tuple of tensors, made by `state("v", "a")`. The state of a network is a `States`: a
mapping from module path to named tuple, which can be moved, cast, detached, saved and loaded.
"""

from __future__ import annotations

import functools
import json
import os
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from snn4.core.errors import CheckpointError, OptionError
from snn4.core.files import atomic
from snn4.core.optional import need

__all__ = ["States", "state"]

_FORMAT = "snn4.states.1"


@functools.cache
def state(*fields: str) -> Any:
    """The named tuple type of a module's state. Equal fields give the very same type.

    Args:
        fields: the names, `v` for a membrane, `i` for a synaptic current, `a` for an adaptation.

    Raises:
        OptionError: no field, a field twice, or one that is not a Python name.

    Example:
        >>> S = state("v", "i")
        >>> S(v=1.0, i=2.0).i
        2.0
        >>> state("v", "i") is S
        True
    """
    if not fields or len(set(fields)) < len(fields) or not all(f.isidentifier() and f[0] != "_" for f in fields):
        raise OptionError(
            f"state() got the fields {fields}",
            "one or more distinct names",
            "Write State = state('v') or State = state('v', 'a').",
        )
    # not typing.NamedTuple: the fields are known only now
    made: Any = namedtuple("State", fields, module=__name__)  # pyright: ignore[reportUntypedNamedTuple]
    # nobody finds the type by its name: pickle makes it again of its fields
    made.__reduce__ = lambda self: (_state_of, (self._fields, tuple(self)))
    return made


def _state_of(fields: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    return state(*fields)(*values)


class _Graph:
    """Whether backward() has freed the graph that a state hangs on; see `through_time.session`."""

    __slots__ = ("freed_by",)

    def __init__(self) -> None:
        self.freed_by: int | None = None


class States(dict[str, tuple[Tensor, ...]]):
    """The state of a whole network: module path -> named tuple of tensors.

    A module that a forward calls twice has two entries, `"lif"` and `"lif#2"`. `run` takes one and returns a new one;
    it never changes the one that it is given.

    Example:
        >>> s = States({"0": state("v")(torch.ones(2, 3))})
        >>> s.to(torch.float64)["0"].v.dtype
        torch.float64
        >>> print(s)
        States: 1 module, 6 values, 24 bytes
          0  v (2, 3) float32
    """

    def __init__(self, entries: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__(entries)
        self._graphs: dict[str, _Graph] = {}

    def __copy__(self) -> States:
        """The same tensors, with what is known of their graphs."""
        return self.map(lambda t: t)

    def __reduce__(self) -> tuple[Any, ...]:
        """Entries alone: a graph stays where it is."""
        return States, (dict(self),)

    def map(self, function: Callable[[Tensor], Tensor]) -> States:
        """A new `States` with `function` applied to every tensor."""
        new = States({key: _rebuild(entry, (function(t) for t in entry)) for key, entry in self.items()})
        new._graphs = dict(self._graphs)
        return new

    def to(self, target: torch.device | torch.dtype | str, *, non_blocking: bool = False) -> States:
        """Move to a device, or cast to a dtype (integers and booleans keep theirs)."""
        if isinstance(target, torch.dtype):
            return self.map(lambda t: t.to(target) if t.is_floating_point() else t)
        return self.map(lambda t: t.to(target, non_blocking=non_blocking))

    def detach(self) -> States:
        """The same values, cut from the graph: the border of truncated back-propagation through time."""
        return self.map(lambda t: t.detach())

    def clone(self) -> States:
        """A copy that shares no memory."""
        return self.map(lambda t: t.clone())

    def select(self, items: Tensor | slice) -> States:
        """The states of some batch items only (fields without a batch axis are kept as they are)."""
        return self.map(lambda t: t[items] if t.ndim else t)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to a safetensors file, atomically."""
        files = need("safetensors.torch", "to save states")
        tensors = {
            f"{n}.{field}": value.detach().cpu().contiguous().clone()
            for n, entry in enumerate(self.values())
            for field, value in zip(_fields(entry), entry, strict=True)
        }
        layout = json.dumps([[key, list(_fields(entry))] for key, entry in self.items()])
        with atomic(path) as file:
            file.write(files.save(tensors, metadata={"format": _FORMAT, "layout": layout}))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> States:
        """Read a file that `save` wrote.

        Raises:
            CheckpointError: the file is missing, damaged, or holds something else.
        """
        files = need("safetensors", "to load states")
        try:
            with files.safe_open(os.fspath(path), "pt") as file:
                about = file.metadata() or {}
                if about.get("format") != _FORMAT:
                    raise CheckpointError(
                        f"{path} holds {about.get('format', 'no format mark')!r}", repr(_FORMAT), "Is it a state file?"
                    )
                layout = cast("list[tuple[str, list[str]]]", json.loads(about["layout"]))
                return cls(
                    (key, state(*fields)(*(file.get_tensor(f"{n}.{f}") for f in fields)))
                    for n, (key, fields) in enumerate(layout)
                )
        except CheckpointError:
            raise
        except (OSError, ValueError, KeyError, TypeError, files.SafetensorError) as cause:
            raise CheckpointError(
                f"the state file {path} cannot be read ({cause})", "a file written by States.save", "Save it again."
            ) from cause

    def __str__(self) -> str:
        tensors = [t for entry in self.values() for t in entry]
        values, size = sum(t.numel() for t in tensors), sum(t.numel() * t.element_size() for t in tensors)
        lines = [f"States: {len(self)} module{'s' * (len(self) != 1)}, {values:,} values, {size:,} bytes"]
        width = max((len(key) for key in self), default=0)
        for key, entry in self.items():
            fields = ", ".join(
                f"{name} {tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}"
                for name, t in zip(_fields(entry), entry, strict=True)
            )
            lines.append(f"  {key or '(the network itself)':<{width}}  {fields}")
        return "\n".join(lines)


def _fields(entry: tuple[Tensor, ...]) -> tuple[str, ...]:
    return cast("NamedTuple", entry)._fields


def _rebuild(entry: tuple[Tensor, ...], values: Iterable[Tensor]) -> tuple[Tensor, ...]:
    return state(*_fields(entry))(*values)
