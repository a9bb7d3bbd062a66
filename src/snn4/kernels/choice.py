"""Which implementation is asked: `with snn4.kernels.use("reference"):`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from snn4.core.errors import OptionError, suggest

__all__ = ["Wish", "use", "wish"]

_NAMES = ("auto", "reference", "c++", "triton")
_MODES = ("recompute", "save")


@dataclass(frozen=True)
class Wish:
    """What a caller has asked for."""

    implementation: str = "auto"
    backward: Literal["recompute", "save"] = "recompute"


class _Local(threading.local):
    wish: Wish = Wish()


_local = _Local()


def wish() -> Wish:
    """What this thread asks for."""
    return _local.wish


@contextmanager
def use(implementation: str = "auto", *, backward: Literal["recompute", "save"] | None = None) -> Iterator[None]:
    """Choose how neurons run inside a `with`, in this thread.

    Args:
        implementation: `"auto"` (a kernel where there is one, else the reference loop), `"reference"` (the loop over
            `step`), `"c++"` or `"triton"` (the kernel; where it refuses a call, that is an error).
        backward: how a kernel gets a step's states back for the gradient. `"recompute"` repeats them from the input
            and keeps nothing else; `"save"` keeps what a step needs, which costs memory and can be faster for long
            sequences. `None` leaves it as it is around; at the start it is `"recompute"`.

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
            "'auto', 'reference', 'c++' or 'triton'",
            suggest(str(implementation), _NAMES),
        )
    if backward is not None and backward not in _MODES:
        raise OptionError(f"use() got backward={backward!r}", "'recompute' or 'save'", suggest(str(backward), _MODES))
    before = _local.wish
    _local.wish = Wish(implementation, backward or before.backward)
    try:
        yield
    finally:
        _local.wish = before
