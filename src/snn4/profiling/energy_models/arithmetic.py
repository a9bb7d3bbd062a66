"""What one operation costs in a 45 nm process.

    type   multiply   add     MAC    AC         picojoules
    fp32   3.7        0.9     4.6    0.9
    fp16   1.1        0.4     1.5    0.4
    int32  3.1        0.1     3.2    0.1
    int8   0.2        0.03    0.23   0.03

Paper: [horowitz2014computing].
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FP16", "FP32", "INT8", "INT32", "Arithmetic", "arithmetics"]


@dataclass(frozen=True)
class Arithmetic:
    """The cost of a number format's operations, in picojoules.

    Args:
        name: of the format.
        multiply: one multiplication.
        add: one addition, which is what an accumulate (AC) is.

    Example:
        >>> round(FP32.mac, 2), FP32.ac
        (4.6, 0.9)
    """

    name: str
    multiply: float
    add: float

    @property
    def mac(self) -> float:
        """A multiply-accumulate."""
        return self.multiply + self.add

    @property
    def ac(self) -> float:
        """An accumulate."""
        return self.add


FP32 = Arithmetic("fp32", 3.7, 0.9)
FP16 = Arithmetic("fp16", 1.1, 0.4)
INT32 = Arithmetic("int32", 3.1, 0.1)
INT8 = Arithmetic("int8", 0.2, 0.03)


def arithmetics(bits: int) -> tuple[Arithmetic, ...]:
    """The formats that hold numbers of `bits` bits: the narrowest for which constants are known.

    For 32 bits there are two, floating and fixed point; which of them a chip has is not known, so both count.

    Example:
        >>> [a.name for a in arithmetics(4)], [a.name for a in arithmetics(32)]
        (['int8'], ['fp32', 'int32'])
    """
    if bits <= 8:
        return (INT8,)
    return (FP16,) if bits <= 16 else (FP32, INT32)
