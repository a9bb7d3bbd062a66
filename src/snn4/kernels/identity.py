"""What a neuron's step may depend on: two calls with equal identities run the same kernel.

Its attributes and those of its parts, and for classes that are not ours also class attributes and the global and
enclosing numbers that their methods name. What a step reads by other ways (a file, an environment variable) is taken
as it was at the first call.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from snn4.kernels.split import Refused

__all__ = ["HOOKS", "Identity", "identity"]

# attributes of every module that `step` does not read; `training` it may
_MODULE = frozenset(vars(torch.nn.Module())) - {"training"}
HOOKS = tuple(name for name in _MODULE if name.endswith("_hooks"))
_SKIPPED = _MODULE | {"route"}
_PLAIN = frozenset((bool, int, str, type(None), torch.dtype, torch.device, torch.Size, bytes))
_NUMBERS = frozenset((bool, int, float, str, type(None)))
_OURS = ("snn4.", "torch.", "builtins", "abc", "typing")
# an object of a class written in Python has no room for more than its dictionary and its weak references
_NO_HIDDEN_STATE = object.__basicsize__ + 16
_DEPTH = 8


@dataclasses.dataclass(frozen=True)
class Identity:
    """A neuron's settings, hashable, and its tensors by path."""

    key: tuple[Any, ...]
    tensors: dict[str, Tensor]


def identity(neuron: torch.nn.Module) -> Identity:
    """Everything inside `neuron` that its step may read.

    Raises:
        Refused: it holds something that may change without being seen.
    """
    tensors: dict[str, Tensor] = {}
    return Identity(_of_module(neuron, "", tensors, 0), tensors)


@functools.cache
def _foreign(cls: type) -> tuple[type, ...]:
    """The classes behind `cls` that may be edited while the program runs: those of users."""
    return tuple(c for c in cls.__mro__ if not f"{c.__module__}.".startswith(_OURS) and c.__module__ not in _OURS)


@functools.cache
def _outside(function: types.FunctionType) -> tuple[tuple[Mapping[str, Any], str], ...]:
    """The global names that a function reads, nested functions included."""
    codes, names = [function.__code__], set[str]()
    while codes:
        code = codes.pop()
        names.update(code.co_names)
        codes.extend(c for c in code.co_consts if isinstance(c, types.CodeType))
    return tuple((function.__globals__, name) for name in sorted(names))


def _of_class(cls: type) -> tuple[Any, ...]:
    parts: list[Any] = [cls]
    for owner in _foreign(cls):
        for name, value in vars(owner).items():
            if type(value) in _NUMBERS:
                parts += (name, type(value), repr(value))
            elif isinstance(value, types.FunctionType):
                parts.append(value)
                parts += (repr(v) for v in (g.get(n) for g, n in _outside(value)) if type(v) in _NUMBERS)
                cells = (cell for cell in value.__closure__ or ())
                parts += (repr(v) for v in map(_inside, cells) if type(v) in _NUMBERS)
    return tuple(parts)


def _inside(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None  # not filled yet


def _of_module(module: torch.nn.Module, path: str, tensors: dict[str, Tensor], depth: int) -> tuple[Any, ...]:
    own = vars(module)
    cls = type(module)
    parts: list[Any] = [_of_class(cls) if _foreign(cls) else cls]
    for name, value in own.items():
        if name not in _SKIPPED:
            parts += (name, _of(value, f"{path}{name}", depth + 1))
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
            parts += (name, _of_module(child, f"{path}{name}.", tensors, depth + 1))
    return tuple(parts)


def _of(value: Any, where: str, depth: int) -> Any:
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
        key = _of_module(value, f"{where}.", inside, depth + 1)
        if inside:
            raise Refused(f"its attribute {where} holds a module that is not registered")
        return key
    if isinstance(value, (tuple, list, set, frozenset)):
        return (kind, tuple(_of(v, where, depth + 1) for v in cast("tuple[Any, ...]", value)))
    if isinstance(value, Mapping):
        entries = cast("Mapping[Any, Any]", value).items()
        return (kind, tuple((k, _of(v, f"{where}[{k!r}]", depth + 1)) for k, v in entries))
    if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType, enum.Enum)):
        return value
    if isinstance(value, types.MethodType):
        return (value.__func__, _of(value.__self__, where, depth + 1))
    if isinstance(value, torch.Generator):
        raise Refused(f"its attribute {where} is a generator of random numbers")
    state = getattr(value, "__dict__", None)
    slots = any(vars(c).get("__slots__") for c in kind.__mro__)
    if state is None or slots or kind.__basicsize__ > _NO_HIDDEN_STATE:
        raise Refused(f"its attribute {where} is a {kind.__name__}, which may change without being seen")
    return (kind, tuple((name, _of(v, f"{where}.{name}", depth + 1)) for name, v in state.items()))
