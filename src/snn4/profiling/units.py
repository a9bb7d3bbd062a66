"""Numbers that a person can read: 12.3 k, 4.6 nJ, 1.2 MiB."""

from __future__ import annotations

import math

__all__ = ["count", "joules", "share", "size"]


def _scaled(value: float, step: float, units: list[str]) -> str:
    for unit in units[:-1]:
        # rounded first, so that 999.96 becomes 1.00 of the next unit and never 1000 of this one
        if max(abs(value), float(f"{abs(value):.3g}")) < step:
            return f"{_three(value)} {unit}".rstrip()
        value /= step
    return f"{_three(value)} {units[-1]}"


def _three(value: float) -> str:
    """Three significant digits, without exponent; whole numbers below 1000 as they are."""
    if value == 0:
        return "0"
    if value == int(value) and abs(value) < 1000:
        return str(int(value))
    digits = max(0, 2 - math.floor(math.log10(float(f"{abs(value):.3g}"))))
    return f"{value:.{digits}f}"


def count(value: float) -> str:
    """A number of operations.

    Example:
        >>> count(0), count(12.5), count(999.96), count(1_461_000), count(7.85e12)
        ('0', '12.5', '1.00 k', '1.46 M', '7.85 T')
    """
    return _scaled(value, 1000, ["", "k", "M", "G", "T"])


def joules(picojoules: float) -> str:
    """An energy, from picojoules.

    Example:
        >>> joules(0.9), joules(4600), joules(1.4608e9)
        ('0.900 pJ', '4.60 nJ', '1.46 mJ')
    """
    return _scaled(picojoules, 1000, ["pJ", "nJ", "uJ", "mJ", "J"])


def size(number: float) -> str:
    """A memory size, from bytes.

    Example:
        >>> size(512), size(27144)
        ('512 B', '26.5 KiB')
    """
    return _scaled(number, 1024, ["B", "KiB", "MiB", "GiB"])


def share(value: float | None) -> str:
    """A share as a percentage; nothing where there is none.

    Example:
        >>> share(0.0456), share(None)
        ('4.56 %', '')
    """
    return "" if value is None else f"{100 * value:.3g} %"
