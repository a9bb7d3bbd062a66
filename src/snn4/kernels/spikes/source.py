"""The compiled functions of spikes: pack and unpack, pooling, sums over events."""

from __future__ import annotations

import ctypes
import functools

import torch
from torch import Tensor

from snn4.kernels import build
from snn4.kernels.spikes.cpp_bits import BITS
from snn4.kernels.spikes.cpp_pool import POOL
from snn4.kernels.spikes.cpp_sums import SUMS

__all__ = ["address", "library", "threads_for"]

# below, one thread is faster than waking others
_SERIAL = 32_768

SOURCE = BITS + POOL + SUMS


def library() -> ctypes.CDLL | None:
    """The compiled functions, or None where nothing can be compiled."""
    return None if build.no_compiler_reason() is not None else _built()


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
    return ctypes.c_int(torch.get_num_threads() if count >= _SERIAL else 1)
