"""Calls that are like an earlier one: what was decided then is kept, and checked at a glance.

Who runs a neuron, and how, is found out step by step: is the input a sequence, which kernel takes it, what is its state
at rest. In a training loop every call after the first gives the same answers. A kernel may leave a function here that
runs such a call at once, or gives None where anything is different; then all is found out anew.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

__all__ = ["Again", "forget", "remember", "remembered"]

Again: TypeAlias = Callable[[Any, Tensor], Tensor | None]

# by identity, and beside the neuron: nothing is stored in it, so that a copy of it brings nothing along
_known: dict[int, tuple[weakref.ref[torch.nn.Module], dict[torch.Size, Again]]] = {}
# of one neuron: a batch for training, the last one, which is smaller, one for validation ...
_SHAPES = 8


def remembered(neuron: torch.nn.Module, xs: Tensor) -> Again | None:
    """What was left for calls of this neuron with inputs of this shape."""
    found = _known.get(id(neuron))
    return found[1].get(xs.shape) if found is not None and found[0]() is neuron else None


def remember(neuron: torch.nn.Module, xs: Tensor, again: Again) -> None:
    """Leave `again` for calls of this neuron with inputs of this shape, in the place of what was left before."""
    key = id(neuron)
    found = _known.get(key)
    if found is None or found[0]() is not neuron or len(found[1]) >= _SHAPES:
        found = _known[key] = weakref.ref(neuron, functools.partial(_gone, key)), {}
    found[1][xs.shape] = again


def forget() -> None:
    """Find out everything anew."""
    _known.clear()


def _gone(key: int, ref: weakref.ref[torch.nn.Module]) -> None:
    found = _known.get(key)
    # another neuron may have come to lie in its place
    if found is not None and found[0] is ref:
        del _known[key]
