"""Memory for large outputs that is used again: a bounded list of freed blocks, in huge pages where the system has them.

A fresh block of 64 MiB costs more to map and to zero, page by page, than a layer of neurons takes to fill it, and the
C library hands blocks of that size back to the system when they are freed. What kernels write (outputs, gradients of
inputs) comes from here instead. A block goes back to the list when torch frees its tensor, from whatever thread.

    SNN4_POOL=512    the list holds at most 512 MiB (the default is 1024); what does not fit goes back to the system
    SNN4_POOL=0      no list: every output is an ordinary tensor of torch
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from snn4.core.errors import OptionError, Snn4Error
from snn4.kernels import build
from snn4.kernels.torch_facts import from_dlpack

__all__ = ["FLAGS", "SOURCE", "Maker", "empty", "maker", "pool"]

# smaller ones are served well by the C library
_SMALLEST = 128 << 10
_DEFAULT_MIB = 1024
# kinds of numbers in DLPack
_CODES = {torch.float16: 2, torch.float32: 2, torch.float64: 2, torch.bfloat16: 4}

FLAGS = ("-pthread",)
# the structures are those of DLPack, the format in which array libraries hand memory to each other
SOURCE = r"""
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <vector>
#include <pthread.h>
#include <sys/mman.h>
typedef int64_t i64;
struct DLDevice { int32_t type, id; };
struct DLDataType { uint8_t code, bits; uint16_t lanes; };
struct DLTensor {
  void* data; DLDevice device; int32_t ndim; DLDataType dtype; i64* shape; i64* strides; uint64_t offset; };
struct DLManagedTensor { DLTensor tensor; void* context; void (*deleter)(DLManagedTensor*); };

static const i64 HUGE = 2 << 20;
struct Block { char* data; i64 bytes; };
static std::mutex& door() { static std::mutex* m = new std::mutex; return *m; }
// never destroyed: tensors may be freed while the process ends
static std::vector<Block>& list() { static std::vector<Block>* l = new std::vector<Block>; return *l; }
static i64 held = 0, limit = 0;

// a child process gets a list of its own, in the state of the moment
static void lock() { door().lock(); }
static void unlock() { door().unlock(); }
static const int registered = pthread_atfork(lock, unlock, unlock);

static char* fresh(i64 bytes) {
  const i64 page = bytes >= HUGE ? HUGE : 4096;
  char* all = (char*)mmap(nullptr, (size_t)(bytes + page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) return nullptr;
  char* data = (char*)(((uintptr_t)all + (uintptr_t)page - 1) / (uintptr_t)page * (uintptr_t)page);
  if (data > all) munmap(all, (size_t)(data - all));
  munmap(data + bytes, (size_t)(all + page - data));
#ifdef MADV_HUGEPAGE
  if (page == HUGE) madvise(data, (size_t)bytes, MADV_HUGEPAGE);
#endif
  return data;
}
// the oldest goes first
static void shrink(i64 most, std::vector<Block>& out) {
  size_t n = 0;
  for (; held > most; n++) { held -= list()[n].bytes; out.push_back(list()[n]); }
  list().erase(list().begin(), list().begin() + (ptrdiff_t)n);
}
static void drop(const std::vector<Block>& out) { for (const Block& b : out) munmap(b.data, (size_t)b.bytes); }

static void give(DLManagedTensor* m) {
  Block block = {(char*)m->tensor.data, (i64)(intptr_t)m->context};
  std::vector<Block> out;
  {
    std::lock_guard<std::mutex> guard(door());
    if (block.bytes <= limit) { held += block.bytes; list().push_back(block); shrink(limit, out); }
    else out.push_back(block);
  }
  drop(out);
  std::free(m);
}
extern "C" void* take(i64 bytes, i64 code, i64 bits, i64 ndim, const i64* shape_and_strides) {
  // in steps of an eighth, so that a little larger or smaller batch finds the same blocks
  i64 step = bytes >= HUGE ? HUGE : 16 << 10;
  while (step * 16 < bytes) step *= 2;
  const i64 wanted = (bytes + step - 1) / step * step;
  Block block = {nullptr, wanted};
  {
    std::lock_guard<std::mutex> guard(door());
    for (size_t n = list().size(); n-- > 0;)
      if (list()[n].bytes == wanted) {
        block = list()[n]; held -= wanted; list().erase(list().begin() + (ptrdiff_t)n); break;
      }
  }
  if (!block.data) block.data = fresh(wanted);
  if (!block.data) return nullptr;
  DLManagedTensor* m = (DLManagedTensor*)std::malloc(sizeof(DLManagedTensor) + sizeof(i64) * 2 * (size_t)ndim);
  if (!m) { munmap(block.data, (size_t)wanted); return nullptr; }
  i64* sizes = (i64*)(m + 1);
  for (i64 d = 0; d < 2 * ndim; d++) sizes[d] = shape_and_strides[d];
  // 1: the CPU
  m->tensor = {block.data, {1, 0}, (int32_t)ndim, {(uint8_t)code, (uint8_t)bits, 1}, sizes, sizes + ndim, 0};
  m->context = (void*)(intptr_t)wanted;
  m->deleter = give;
  return m;
}
extern "C" void bound(i64 bytes) {
  std::vector<Block> out;
  { std::lock_guard<std::mutex> guard(door()); limit = bytes; shrink(limit, out); }
  drop(out);
}
extern "C" i64 holding() { std::lock_guard<std::mutex> guard(door()); return held; }
"""

_wanted: int | None = None


def pool(mib: int | None = None) -> int:
    """Bound the memory that is kept for the next outputs of kernels, in this process.

    Args:
        mib: at most so many MiB of freed blocks stay; 0 hands all back and makes outputs ordinary tensors again. `None`
            changes nothing.

    Returns:
        Bytes that lie unused at the moment.

    Raises:
        OptionError: a negative bound.

    Example:
        >>> unused = pool(256)
        >>> pool(0)
        0
        >>> unused = pool(1024)
    """
    global _wanted
    if mib is not None:
        if mib < 0:
            raise OptionError(f"pool() got {mib}", "a number of MiB >= 0")
        _wanted = mib
    library = _library()
    if library is None:
        return 0
    if mib is not None:
        library.bound(mib << 20)
    return int(library.holding())


def _bound_mib() -> int:
    if _wanted is not None:
        return _wanted
    return _named_mib()


@functools.cache
def _named_mib() -> int:
    named = os.environ.get("SNN4_POOL", "")
    return int(named) if named.isdecimal() else _DEFAULT_MIB


@functools.cache
def _library() -> Any:
    """The compiled list; None where it cannot be had, which costs speed alone."""
    try:
        library: Any = build.library(SOURCE, label="memory pool", flags=FLAGS)
    except Snn4Error:
        return None
    library.take.restype = ctypes.c_void_p
    library.take.argtypes = [*(ctypes.c_int64,) * 4, ctypes.c_void_p]
    library.bound.argtypes, library.bound.restype = [ctypes.c_int64], None
    library.holding.restype = ctypes.c_int64
    library.bound(_bound_mib() << 20)
    return library


@functools.cache
def _capsule() -> Callable[[int, bytes, None], Any]:
    make = ctypes.pythonapi.PyCapsule_New
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return make


class Maker:
    """Unwritten memory on the CPU, dense, of one form: `torch.empty_strided` from the list of blocks.

    Args:
        shape: of the tensors.
        strides: of the tensors.
        dtype: float16, bfloat16, float32 or float64.
    """

    def __init__(self, shape: tuple[int, ...], strides: tuple[int, ...], dtype: torch.dtype) -> None:
        self.shape, self.strides, self.dtype = shape, strides, dtype
        self.small = math.prod(shape) * dtype.itemsize < _SMALLEST
        sizes = (ctypes.c_int64 * (2 * len(shape)))(*shape, *strides)
        # what the compiled function gets, each time
        self.form = math.prod(shape) * dtype.itemsize, _CODES[dtype], 8 * dtype.itemsize, len(shape), sizes

    def __call__(self) -> Tensor:
        """One tensor."""
        # torch fills fresh memory where it is asked to be deterministic, and only its own
        if not self.small and not torch.are_deterministic_algorithms_enabled() and _bound_mib():
            library = _library()
            managed = None if library is None else library.take(*self.form)
            if managed is not None:
                return from_dlpack(_capsule()(managed, b"dltensor", None))
        return torch.empty_strided(self.shape, self.strides, dtype=self.dtype, device="cpu")


maker = functools.lru_cache(maxsize=1024)(Maker)


def empty(shape: Sequence[int], strides: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Unwritten memory on the CPU, as `torch.empty_strided` gives it: dense, of any floating-point type."""
    return maker(tuple(shape), tuple(strides), dtype)()
