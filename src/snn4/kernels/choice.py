"""Which implementation is asked: `with snn4.kernels.use("reference"):`."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

from snn4.core.errors import OptionError, suggest

__all__ = ["Backward", "Wish", "use", "wish"]

_NAMES = ("auto", "reference", "c++", "numba", "triton")
_MODES = ("auto", "recompute", "checkpoint", "save")
Backward: TypeAlias = Literal["auto", "recompute", "checkpoint", "save"]


@dataclass(frozen=True)
class Wish:
    """What a caller has asked for."""

    implementation: str = "auto"
    backward: Backward = "auto"


@functools.cache
def _made(implementation: str = "auto", backward: Backward = "auto") -> Wish:
    """The same object for the same wish."""
    return Wish(implementation, backward)


class _Local(threading.local):
    wish: Wish = _made()


_local = _Local()


def wish() -> Wish:
    """What this thread asks for."""
    return _local.wish


@contextmanager
def use(implementation: str = "auto", *, backward: Backward | None = None) -> Iterator[None]:
    """Choose how neurons run inside a `with`, in this thread.

    Args:
        implementation: `"auto"` (a kernel where there is one, else the reference loop), `"reference"` (the loop over
            `step`), `"c++"`, `"numba"` or `"triton"` (the kernel; where it refuses a call, that is an
            error).
        backward: how a kernel gets a step's values back for the gradient. `"recompute"` repeats all steps from the
            input and keeps nothing else; `"checkpoint"` also keeps the state every so many steps (32 for a LIF), and
            repeats each step once; `"save"` keeps what each step needs. `"auto"`, at the start, is `"recompute"` for
            sequences of one segment and `"checkpoint"` for longer ones: what was fastest at every length that was
            measured. Numba keeps nothing in each of these but `"save"`, Triton a state every 8 steps or 4. `None`
            leaves it as it is around.

    Raises:
        OptionError: an unknown name.

    Example:
        >>> import torch
        >>> from snn4 import nn
        >>> with use("reference"):
        ...     ys = nn.LIF()(torch.ones(4, 1, 3))
    """
    if implementation not in _NAMES:
        raise OptionError(
            f"use() got {implementation!r}",
            "'auto', 'reference', 'c++', 'numba' or 'triton'",
            suggest(str(implementation), _NAMES),
        )
    if backward is not None and backward not in _MODES:
        raise OptionError(
            f"use() got backward={backward!r}",
            "'auto', 'recompute', 'checkpoint' or 'save'",
            suggest(str(backward), _MODES),
        )
    before = _local.wish
    _local.wish = _made(implementation, backward or before.backward)
    try:
        yield
    finally:
        _local.wish = before
