"""What a neuron's step may depend on: two calls with equal identities run the same kernel.

Its attributes and those of its parts, the attributes and methods of their classes, and for classes that are not ours
also the global and enclosing numbers that their methods name. What a step reads by other ways (a file, an environment
variable, our own abstract classes) is taken as it was at the first call.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import operator
import types
import weakref
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any, cast

import torch
from torch import Tensor

from snn4.kernels.split import Refused

__all__ = ["HOOKS", "Identity", "identity", "watch"]

# attributes of every module that `step` does not read; `training` it may
_MODULE = frozenset(vars(torch.nn.Module())) - {"training"}
HOOKS = tuple(name for name in _MODULE if name.endswith("_hooks"))
_SKIPPED = _MODULE | {"route"}
_PLAIN = frozenset((bool, int, str, type(None), torch.dtype, torch.device, torch.Size, bytes))
_NUMBERS = frozenset((bool, int, float, str, type(None)))
_LASTING = ("torch.", "builtins", "abc", "typing")
# an object of a class written in Python has no room for more than its dictionary and its weak references
_NO_HIDDEN_STATE = object.__basicsize__ + 16
_DEPTH = 8


@dataclasses.dataclass(frozen=True)
class Identity:
    """A neuron's settings, hashable, and its tensors by path.

    Args:
        key: the settings.
        tensors: the tensors.
        notes: for the caller, to keep what follows from them.
    """

    key: tuple[Any, ...]
    tensors: dict[str, Tensor]
    notes: dict[Any, Any] = dataclasses.field(default_factory=dict[Any, Any], compare=False)


class _Seen:
    """What a walk has read, so that a later call can see at a glance that nothing is different."""

    def __init__(self) -> None:
        # by identity: whatever else is in a neuron is told apart by walking again
        self.mappings: list[Mapping[Any, Any]] = []
        self.names: list[tuple[Mapping[str, Any], str, Any]] = []
        self.cells: list[tuple[types.CellType, Any]] = []
        # with one of them, a neuron is refused
        self.hooks: list[Mapping[Any, Any]] = []
        # lists and the like change without becoming another object
        self.complete = True

    def close(self, tensors: Iterable[Tensor]) -> None:
        """Remember all that the mappings hold."""
        self.keys = list(chain.from_iterable(self.mappings))
        self.values = list(chain.from_iterable(m.values() for m in self.mappings))
        self.sizes = list(map(len, self.mappings))
        self.tensors = [(t, t.shape, t.dtype, t.requires_grad, t.device) for t in tensors]

    def unchanged(self) -> bool:
        """Whether everything is the same object as before."""
        if list(map(len, self.mappings)) != self.sizes or any(self.hooks):
            return False
        values = chain.from_iterable([m.values() for m in self.mappings])
        if not all(map(operator.is_, values, self.values)):
            return False
        if not all(map(operator.is_, chain.from_iterable(self.mappings), self.keys)):
            return False
        for names, name, value in self.names:
            now = names.get(name)
            if now is not value and (value is not _OTHER or type(now) in _NUMBERS):
                return False
        for cell, value in self.cells:
            now = _inside(cell)
            if now is not value and (value is not _OTHER or type(now) in _NUMBERS):
                return False
        for tensor, shape, dtype, grad, device in self.tensors:
            if tensor.requires_grad is not grad or tensor.shape != shape:
                return False
            if tensor.dtype is not dtype or tensor.device != device:
                return False
        return True


_OTHER = object()
_walked: weakref.WeakKeyDictionary[torch.nn.Module, tuple[Identity, _Seen]] = weakref.WeakKeyDictionary()


def identity(neuron: torch.nn.Module) -> Identity:
    """Everything inside `neuron` that its step may read.

    Raises:
        Refused: it holds something that may change without being seen.
    """
    known = _walked.get(neuron)
    if known is not None and known[1].unchanged():
        return known[0]
    tensors: dict[str, Tensor] = {}
    seen = _Seen()
    found = Identity(_of_module(neuron, "", tensors, 0, seen), tensors)
    if seen.complete:
        seen.close(tensors.values())
        _walked[neuron] = found, seen
    else:
        _walked.pop(neuron, None)
    return found


def watch(neuron: torch.nn.Module, found: Identity) -> Callable[[], bool] | None:
    """A function that tells whether `neuron` still is what `found` says; None where only another walk can tell."""
    known = _walked.get(neuron)
    return known[1].unchanged if known is not None and known[0] is found else None


@functools.cache
def _editable(cls: type) -> tuple[tuple[type, bool], ...]:
    """The classes behind `cls` that may be edited while the program runs, and whether they are users' own."""
    owners = (c for c in cls.__mro__ if not f"{c.__module__}.".startswith(_LASTING) and c.__module__ not in _LASTING)
    foreign = ((c, not f"{c.__module__}.".startswith("snn4.")) for c in owners)
    # of ours, those that hold the equations: every name more is compared at every call
    return tuple((c, theirs) for c, theirs in foreign if theirs or not _shared(c))


def _shared(cls: type) -> bool:
    return inspect.isabstract(cls) or not issubclass(cls, torch.nn.Module)


@functools.cache
def _outside(function: types.FunctionType) -> tuple[tuple[Mapping[str, Any], str], ...]:
    """The global names that a function reads, nested functions included."""
    codes, names = [function.__code__], set[str]()
    while codes:
        code = codes.pop()
        names.update(code.co_names)
        codes.extend(c for c in code.co_consts if isinstance(c, types.CodeType))
    return tuple((function.__globals__, name) for name in sorted(names))


def _of_class(cls: type, seen: _Seen) -> tuple[Any, ...]:
    parts: list[Any] = [cls]
    for owner, foreign in _editable(cls):
        seen.mappings.append(vars(owner))
        for name, value in vars(owner).items():
            if type(value) in _NUMBERS:
                parts += (name, type(value), repr(value))
            elif isinstance(value, types.FunctionType):
                parts.append(value)
                if not foreign:
                    continue
                for names, outer in _outside(value):
                    found = names.get(outer)
                    number = type(found) in _NUMBERS
                    seen.names.append((names, outer, found if number else _OTHER))
                    if number:
                        parts.append(repr(found))
                for cell in value.__closure__ or ():
                    # one can be filled anew
                    found = _inside(cell)
                    number = type(found) in _NUMBERS
                    seen.cells.append((cell, found if number else _OTHER))
                    if number:
                        parts.append(repr(found))
    return tuple(parts)


def _inside(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None  # not filled yet


def _of_module(
    module: torch.nn.Module, path: str, tensors: dict[str, Tensor], depth: int, seen: _Seen
) -> tuple[Any, ...]:
    own = vars(module)
    cls = type(module)
    parts: list[Any] = [_of_class(cls, seen)]
    seen.mappings += (own, own["_parameters"], own["_buffers"], own["_modules"])
    seen.hooks += (own[name] for name in HOOKS if depth)
    for name, value in own.items():
        if name not in _SKIPPED:
            parts += (name, _of(value, f"{path}{name}", depth + 1, seen))
    for store in ("_parameters", "_buffers"):
        for name, tensor in own[store].items():
            if tensor is not None:
                tensors[path + name] = tensor
                parts += (name, tensor.shape, tensor.dtype, tensor.requires_grad, tensor.device)
    if depth:
        for name in HOOKS:
            if own.get(name):
                raise Refused(f"{path[:-1]} has a hook, which a kernel would not call")
    for name, child in own["_modules"].items():
        if child is not None:
            parts += (name, _of_module(child, f"{path}{name}.", tensors, depth + 1, seen))
    return tuple(parts)


def _of(value: Any, where: str, depth: int, seen: _Seen) -> Any:
    kind = type(value)
    if kind is float:
        return value.hex()  # tells -0.0 from 0.0, and NaN equals itself
    if kind in _PLAIN:
        return (kind, value)
    if depth > _DEPTH:
        raise Refused(f"its attribute {where} is nested too deeply to see whether it changes")
    if isinstance(value, Tensor):
        raise Refused(f"its attribute {where} is a tensor; make it a parameter or register_buffer it")
    if isinstance(value, torch.nn.Module):
        inside: dict[str, Tensor] = {}
        # it may be the neuron itself, which must not be kept alive by what is noted about it
        seen.complete = False
        key = _of_module(value, f"{where}.", inside, depth + 1, seen)
        if inside:
            raise Refused(f"its attribute {where} holds a module that is not registered")
        return key
    if isinstance(value, (tuple, list, set, frozenset)):
        seen.complete = seen.complete and isinstance(value, (tuple, frozenset))
        return (kind, tuple(_of(v, where, depth + 1, seen) for v in cast("tuple[Any, ...]", value)))
    if isinstance(value, Mapping):
        seen.complete = False
        entries = cast("Mapping[Any, Any]", value).items()
        return (kind, tuple((k, _of(v, f"{where}[{k!r}]", depth + 1, seen)) for k, v in entries))
    if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType, enum.Enum)):
        return value
    if isinstance(value, types.MethodType):
        seen.complete = False
        return (value.__func__, _of(value.__self__, where, depth + 1, seen))
    if isinstance(value, torch.Generator):
        raise Refused(f"its attribute {where} is a generator of random numbers")
    state = getattr(value, "__dict__", None)
    slots = any(vars(c).get("__slots__") for c in kind.__mro__)
    if state is None or slots or kind.__basicsize__ > _NO_HIDDEN_STATE:
        raise Refused(f"its attribute {where} is a {kind.__name__}, which may change without being seen")
    seen.mappings.append(state)
    return (kind, tuple((name, _of(v, f"{where}.{name}", depth + 1, seen)) for name, v in state.items()))
