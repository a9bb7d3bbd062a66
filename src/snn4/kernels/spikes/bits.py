"""Spikes as bits: 32 times smaller than float32, and back again, exactly.

`pack` looks at every value. What is 0 or 1 becomes a bit; what is a quarter from 0 to 3.75, as 2 x 2 averages and sums
of a few spikes are, becomes half a byte; anything else is not packed. Nothing is rounded, ever.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from snn4.kernels.spikes.source import address, library, threads_for

__all__ = ["Packed", "is_dense", "pack", "unpack"]

# the bits of 1.0
_ONE = {torch.float32: 0x3F800000, torch.float64: 0x3FF0 << 48, torch.bfloat16: 0x3F80, torch.float16: 0x3C00}
_WORDS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class Packed:
    """Spikes in little memory.

    Args:
        data: the bytes, least significant bit first, in the order of the elements in memory.
        form: `"bits"` (0 or 1) or `"quarters"` (0, 0.25 ... 3.75).
        shape: of the tensor.
        strides: of the tensor.
        dtype: of the tensor.
        ones: how many elements are 1; -1 for quarters, which are not counted.
    """

    data: Tensor
    form: Literal["bits", "quarters"]
    shape: torch.Size
    strides: tuple[int, ...]
    dtype: torch.dtype
    ones: int

    @property
    def numel(self) -> int:
        """How many elements."""
        return math.prod(self.shape)

    @property
    def density(self) -> float:
        """The share of ones."""
        return self.ones / max(1, self.numel)


def is_dense(x: Tensor) -> bool:
    """Whether the elements of `x` fill one piece of memory, each once."""
    size = 1
    for stride, count in sorted((s, n) for s, n in zip(x.stride(), x.shape, strict=True) if n > 1):
        if stride != size:
            return False
        size *= count
    return True


def pack(x: Tensor, *, quarters: bool = False) -> Packed | None:
    """Pack a tensor of spikes, if it is one.

    Args:
        x: any floating-point tensor. It is looked at whole: packing verifies.
        quarters: whether multiples of 1/4 are accepted as well.

    Returns:
        The packed tensor; `None` where a value is neither 0 nor 1 (negative zero is neither), or the elements of `x` do
        not fill one piece of memory.

    Example:
        >>> packed = pack(torch.tensor([0.0, 1.0, 1.0]))
        >>> packed.data.tolist(), unpack(packed).tolist()
        ([6], [0.0, 1.0, 1.0])
        >>> pack(torch.tensor([0.0, 0.5])) is None
        True
    """
    x = x.detach()
    strided = x.layout == torch.strided and x.device.type != "meta"
    if x.dtype not in _ONE or not strided or x.numel() == 0 or not is_dense(x):
        return None
    return _bits(x) or (_quarters(x) if quarters else None)


def _bits(x: Tensor) -> Packed | None:
    count, size, one = x.numel(), x.dtype.itemsize, _ONE[x.dtype]
    # whole words of 64, which is how the kernel writes
    data = torch.empty(-(-count // 8), dtype=torch.uint8, device=x.device)
    compiled = library() if x.device.type == "cpu" else None
    if compiled is not None:
        arguments = (address(x), address(data), ctypes.c_int64(count), ctypes.c_uint64(one))
        ones = int(getattr(compiled, f"pack{size}")(*arguments, threads_for(count)))
        if ones < 0:
            return None
    else:
        words = _flat(x).view(_WORDS[size])
        spikes = words == one
        if not bool(((words == 0) | spikes).all()):
            return None
        ones = int(spikes.sum())
        padded = torch.nn.functional.pad(spikes, (0, -count % 8)).view(-1, 8).to(torch.uint8)
        data.copy_((padded << torch.arange(8, dtype=torch.uint8, device=x.device)).sum(1, dtype=torch.uint8))
    return Packed(data, "bits", x.shape, x.stride(), x.dtype, ones)


def _quarters(x: Tensor) -> Packed | None:
    count, size = x.numel(), x.dtype.itemsize
    compiled = library() if x.device.type == "cpu" else None
    if compiled is not None and size in (4, 8):
        data = torch.empty(-(-count // 2), dtype=torch.uint8)
        if (
            getattr(compiled, f"quarters{size}")(address(x), address(data), ctypes.c_int64(count), threads_for(count))
            < 0
        ):
            return None
    else:
        flat = _flat(x)
        inside = bool(((flat >= 0) & (flat <= 3.75) & ~flat.signbit()).all())
        codes = (flat * 4).to(torch.uint8) if inside else None
        if codes is None or not torch.equal(codes.to(x.dtype) / 4, flat):
            return None
        codes = torch.nn.functional.pad(codes, (0, -count % 2)).view(-1, 2)
        data = codes[:, 0] | (codes[:, 1] << 4)
    return Packed(data, "quarters", x.shape, x.stride(), x.dtype, -1)


def unpack(packed: Packed) -> Tensor:
    """The tensor that was packed: same values, dtype, shape and strides."""
    x = torch.empty_strided(packed.shape, packed.strides, dtype=packed.dtype, device=packed.data.device)
    count, size, data = packed.numel, packed.dtype.itemsize, packed.data
    compiled = library() if data.device.type == "cpu" else None
    length = ctypes.c_int64(count)
    if packed.form == "bits":
        if compiled is not None:
            one = ctypes.c_uint64(_ONE[packed.dtype])
            getattr(compiled, f"unpack{size}")(address(data), address(x), length, one, threads_for(count))
        else:
            spread = (data[:, None] >> torch.arange(8, dtype=torch.uint8, device=data.device)) & 1
            _flat(x).copy_(spread.flatten()[:count])
    elif compiled is not None and size in (4, 8):
        getattr(compiled, f"unquarters{size}")(address(data), address(x), length, threads_for(count))
    else:
        codes = torch.stack((data & 15, data >> 4), 1).flatten()[:count]
        _flat(x).copy_(codes.to(packed.dtype) / 4)
    return x


def _flat(x: Tensor) -> Tensor:
    """A dense tensor along memory."""
    return x.as_strided((x.numel(),), (1,))
