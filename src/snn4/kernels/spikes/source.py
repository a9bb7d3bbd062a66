"""The compiled functions of spikes: pack and unpack, pooling, sums over events."""

from __future__ import annotations

import ctypes
import functools

from torch import Tensor

from snn4.core.errors import MissingLibraryError
from snn4.kernels import build, torch_facts
from snn4.kernels.plan import SERIAL
from snn4.kernels.spikes.cpp_bits import BITS
from snn4.kernels.spikes.cpp_pool import POOL
from snn4.kernels.spikes.cpp_sums import SUMS

__all__ = ["SOURCE", "address", "library", "threads_for"]

SOURCE = BITS + POOL + SUMS


def library() -> ctypes.CDLL | None:
    """The compiled functions, or None where nothing can be compiled."""
    try:
        return _built()
    except MissingLibraryError:
        # a compiler that is installed later is found
        return None


@functools.cache
def _built() -> ctypes.CDLL | None:
    try:
        found = build.library(SOURCE, label="spikes as bits")
    except build.BuildError as problem:
        build.notice(f"spikes are packed by torch, which is slower: {problem}")
        return None
    for size in (2, 4, 8):
        getattr(found, f"pack{size}").restype = ctypes.c_int64
    return found


def address(tensor: Tensor | None) -> ctypes.c_void_p:
    """Where a tensor lies."""
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def threads_for(count: int) -> ctypes.c_int:
    """How many threads a pass over so many elements is worth."""
    return ctypes.c_int(torch_facts.threads() if count >= SERIAL else 1)
