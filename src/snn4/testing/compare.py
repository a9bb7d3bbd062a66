"""Comparisons that say what differs."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor

__all__ = ["TOLERANCE", "Fingerprint", "changes", "differs", "differs_all", "fingerprint"]

# of a comparison between two orders of summation, relative to the largest value
TOLERANCE: dict[torch.dtype, float] = {torch.float64: 1e-12, torch.float32: 1e-6, torch.bfloat16: 2e-2}

Fingerprint = dict[str, object]


def differs(what: str, one: Tensor, other: Tensor, tolerance: float = 0.0) -> Iterator[str]:
    """Yield how `one` differs from `other`, if it does.

    Args:
        what: the name for the message.
        one: what came.
        other: what was expected.
        tolerance: relative to the largest expected value, or to 1; 0 asks for equal bits.
    """
    if one.shape != other.shape or one.dtype != other.dtype or one.device != other.device:
        yield f"{what}: {_kind(one)}, expected {_kind(other)}"
        return
    one, other = one.detach(), other.detach()
    same = (one == other) | (one.isnan() & other.isnan())
    if bool(same.all()):
        return
    gap = (one.double() - other.double()).abs()
    largest = gap[~same].max().item()
    scale = max(1.0, other.double().abs().nan_to_num(posinf=0.0).max().item())
    # not `largest > ...`, so that NaN counts as a difference
    if not largest <= tolerance * scale:
        yield f"{what}: {int((~same).sum())} of {same.numel()} values differ, by up to {largest:.3g}"


def differs_all(what: str, ones: Any, others: Any, tolerance: float = 0.0) -> Iterator[str]:
    """`differs`, field by field, for two named tuples of tensors."""
    if getattr(ones, "_fields", None) != getattr(others, "_fields", None):
        yield f"{what}: {type(ones).__name__} with other fields"
        return
    for field, one, other in zip(others._fields, ones, others, strict=True):
        yield from differs(f"{what} field {field}", one, other, tolerance)


def _kind(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')} on {tensor.device}"


def fingerprint(module: torch.nn.Module) -> Fingerprint:
    """Everything that a module and its parts hold, in a form that later changes do not reach."""
    return {
        f"{path}.{name}".lstrip("."): _print_of(value)
        for path, part in module.named_modules()
        for name, value in vars(part).items()
    }


def _print_of(value: object) -> object:
    if isinstance(value, Tensor):
        return ("tensor", id(value), value.detach().clone())
    if isinstance(value, dict):
        return {key: _print_of(item) for key, item in cast("dict[object, object]", value).items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return (type(value).__name__, [_print_of(item) for item in cast("list[object]", value)])
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    # other objects (generators, views, user classes): which one, and its own attributes
    state = getattr(value, "__dict__", None)
    own = copy.copy(state) if isinstance(state, dict) and not isinstance(value, torch.nn.Module) else None
    return (id(value), None if own is None else {key: id(item) for key, item in own.items()})


def changes(before: Fingerprint, after: Fingerprint) -> list[str]:
    """The attributes that were added, removed or changed."""
    names = [*before, *(name for name in after if name not in before)]
    return [name for name in names if not (name in before and name in after and _same(before[name], after[name]))]


def _same(one: object, other: object) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        left, right = cast("dict[object, object]", one), cast("dict[object, object]", other)
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        first, second = cast("list[object]", one), cast("list[object]", other)
        return len(first) == len(second) and all(_same(a, b) for a, b in zip(first, second, strict=True))
    return one == other
