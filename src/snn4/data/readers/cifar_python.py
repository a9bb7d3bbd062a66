"""CIFAR-10, the python version (`data_batch_1`), read without unpickling it.

The file is a pickle: a program. It is not run here. The standard library's disassembler lists its instructions, and a
stack machine that knows only how to *note down* strings, numbers, lists, tuples and one dictionary follows them. Where
the program names a function, the name must be one of the three that a numpy array is written with, and it stays a name:
nothing is imported, looked up or called. Any other instruction or name ends the reading.
"""

from __future__ import annotations

import os
import pickletools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from snn4.core.errors import DataFileError
from snn4.data.readers.labels import check_labels
from snn4.data.readers.packed import broken, unpack

__all__ = ["read_cifar_python"]


@dataclass(frozen=True)
class _Name:
    """A function or class that the program names."""

    text: str


@dataclass
class _Call:
    """A call that the program asks for, noted down: what, with which arguments, and the state set afterwards."""

    function: _Name
    arguments: _Value
    state: _Value = None


class _Mark:
    """Where on the stack a list, tuple or dictionary begins."""


_Value: TypeAlias = (
    "int | str | bytes | _Name | _Call | _Mark | list[_Value] | tuple[_Value, ...] | dict[str, _Value] | None"
)

_Argument: TypeAlias = int | str | bytes | None

_RECONSTRUCT = _Name("numpy.core.multiarray _reconstruct")
_NDARRAY = _Name("numpy ndarray")
_DTYPE = _Name("numpy dtype")
_BYTES = _Call(_DTYPE, ("u1", 0, 1), (3, "|", None, None, None, -1, -1, 0))
_LITERALS = {"BININT", "BININT1", "BININT2", "BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "BINBYTES", "SHORT_BINBYTES"}
_EMPTY = {"EMPTY_DICT": dict[str, "_Value"], "EMPTY_LIST": list["_Value"], "EMPTY_TUPLE": tuple["_Value", ...]}
_CONSTANTS = {"NONE": None, "NEWFALSE": False, "NEWTRUE": True}
_CALLS = {"GLOBAL", "REDUCE", "BUILD"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def read_cifar_python(path: str | os.PathLike[str], count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read one batch of the python version; no code of the file is run.

    Args:
        path: the file.
        count: how many images it must hold.

    Returns:
        Images (count, 3, 32, 32) and labels (count,).

    Raises:
        DataFileError: missing, truncated, or anything but the batch file as it was published.
    """
    path = Path(path)
    content = bytes(unpack(path, limit=1 << 26))
    try:
        batch = _notes(content)
    except (ValueError, IndexError, KeyError, TypeError) as cause:
        raise _refused(path, f"is not a batch of CIFAR-10 ({cause})") from cause
    if not isinstance(batch, dict) or not {"data", "labels"} <= batch.keys():
        raise _refused(path, "does not hold a dictionary with 'data' and 'labels'")
    images, labels = _pixels(batch["data"], count), batch["labels"]
    if images is None:
        raise _refused(path, f"holds 'data' other than a numpy array of {count} x 3072 bytes")
    if not isinstance(labels, list) or not all(isinstance(label, int) and 0 <= label < 256 for label in labels):
        raise _refused(path, "holds 'labels' other than a list of small numbers")
    return images, check_labels(np.array(labels, np.uint8), count, 10, path)


def _refused(path: Path, came: str) -> DataFileError:
    advice = "Nothing in it was run. Delete it and get it again, from the publisher of CIFAR-10 only."
    return broken(path, came, "a CIFAR-10 batch file as published", advice)


def _pixels(noted: _Value, count: int) -> NDArray[np.uint8] | None:
    """The bytes of an array noted down as numpy writes it, where it is one of `count` rows of 3072 bytes."""
    if not isinstance(noted, _Call) or noted.function != _RECONSTRUCT or not isinstance(noted.state, tuple):
        return None
    *layout, content = noted.state
    if layout != [1, (count, 3072), _BYTES, False]:
        return None
    raw = content.encode("latin-1") if isinstance(content, str) else content
    if not isinstance(raw, bytes) or len(raw) != count * 3072:
        return None
    return np.frombuffer(raw, np.uint8).reshape(count, 3, 32, 32).copy()


def _notes(content: bytes) -> _Value:
    """What the program builds, with names for functions and notes for calls.

    Raises:
        ValueError, IndexError, KeyError, TypeError: the program does something else, or ends too early.
    """
    stack: list[_Value] = []
    memory: dict[int, _Value] = {}
    for operation, argument in _operations(content):
        if operation == "STOP" and len(stack) == 1:
            return stack[0]
        if operation in ("BINPUT", "LONG_BINPUT") and isinstance(argument, int):
            memory[argument] = stack[-1]
        elif operation in ("BINGET", "LONG_BINGET") and isinstance(argument, int):
            stack.append(memory[argument])
        elif operation in _CALLS:
            _note_call(operation, argument, stack)
        elif operation != "PROTO":
            _note_value(operation, argument, stack)
    raise ValueError("it does not end")


def _note_value(operation: str, argument: _Argument, stack: list[_Value]) -> None:
    """Strings and numbers, and what holds them."""
    if operation in _LITERALS:
        stack.append(argument)
    elif operation in _EMPTY:
        stack.append(_EMPTY[operation]())
    elif operation in _CONSTANTS:
        stack.append(_CONSTANTS[operation])
    elif operation in _TUPLES:
        size = _TUPLES[operation]
        stack[-size:] = [tuple(stack[-size:])]
    elif operation == "MARK":
        stack.append(_Mark())
    elif operation == "TUPLE":
        stack.append(tuple(_since_mark(stack)))
    elif operation == "APPENDS":
        _extend(items=_since_mark(stack), target=stack[-1])
    elif operation == "SETITEMS":
        _update(items=_since_mark(stack), target=stack[-1])
    else:
        raise ValueError(f"it has the instruction {operation}")


def _note_call(operation: str, argument: _Argument, stack: list[_Value]) -> None:
    """What would be a call: its name, its arguments, the state set afterwards."""
    if operation == "GLOBAL":
        name = _Name(str(argument))
        if name not in (_RECONSTRUCT, _NDARRAY, _DTYPE):
            raise ValueError(f"it names {name.text!r}")
        stack.append(name)
    elif operation == "REDUCE":
        arguments, function = stack.pop(), stack.pop()
        if not isinstance(function, _Name):
            raise ValueError("it calls what is not a name")
        stack.append(_Call(function, arguments))
    else:
        state, call = stack.pop(), stack[-1]
        if not isinstance(call, _Call):
            raise ValueError("it sets the state of what is not an array")
        call.state = state


def _operations(content: bytes) -> Iterator[tuple[str, _Argument]]:
    for operation, argument, _ in pickletools.genops(content):
        yield operation.name, argument


def _since_mark(stack: list[_Value]) -> list[_Value]:
    """Take from the stack what lies above the last mark, and the mark."""
    for start in range(len(stack) - 1, -1, -1):
        if isinstance(stack[start], _Mark):
            items = stack[start + 1 :]
            del stack[start:]
            return items
    raise ValueError("it closes what it has not opened")


def _extend(items: list[_Value], target: _Value) -> None:
    if not isinstance(target, list):
        raise ValueError("it appends to what is not a list")
    target.extend(items)


def _update(items: list[_Value], target: _Value) -> None:
    keys, values = items[::2], items[1::2]
    if not isinstance(target, dict) or len(keys) != len(values):
        raise ValueError("it sets an item of what is not a dictionary")
    for key, value in zip(keys, values, strict=True):
        if not isinstance(key, str):
            raise ValueError("it has a key that is not a string")
        target[key] = value
