"""Numbers with sensible digits and units."""

from __future__ import annotations

import math

__all__ = [
    "amount",
    "bytes_text",
    "count",
    "energy",
    "energy_range",
    "energy_unit",
    "milliseconds",
    "percent",
    "points",
    "signed",
]

_JOULES = ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"), (1.0, "pJ"))
_BYTES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def amount(value: float) -> str:
    """Three significant digits, without an exponent between a thousandth and a million.

    Example:
        >>> [amount(x) for x in (0, 0.01234, 3.14159, 250.0, 12345.6, 1e9)]
        ['0', '0.0123', '3.14', '250', '12,346', '1e+09']
    """
    if value == 0 or 1e-3 <= abs(value) < 1000:
        return f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def count(value: float) -> str:
    """A number of things: whole from 100 on, with separators.

    Example:
        >>> [count(x) for x in (1234567, 12.25, 832.7)]
        ['1,234,567', '12.2', '833']
    """
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"


def energy_unit(pj: float) -> tuple[float, str]:
    """The unit in which `pj` picojoules read best, and how many picojoules it has.

    Example:
        >>> energy_unit(4600)
        (1000.0, 'nJ')
    """
    # 999.6 would be written as 1000: the next unit takes it
    return next(((scale, unit) for scale, unit in _JOULES if abs(pj) >= 0.9995 * scale), _JOULES[-1])


def energy(pj: float) -> str:
    """Picojoules in the unit that fits.

    Example:
        >>> [energy(x) for x in (0.9, 4600, 1.46e9)]
        ['0.9 pJ', '4.6 nJ', '1.46 mJ']
    """
    scale, unit = energy_unit(pj)
    return f"{amount(pj / scale)} {unit}"


def energy_range(low: float, high: float, dash: str = "–") -> str:
    """A range of picojoules; one number where both ends are the same.

    Args:
        low: its lower end.
        high: its upper end.
        dash: the sign for "to".

    Example:
        >>> energy_range(1200, 4500), energy_range(500, 60e3), energy_range(7, 7)
        ('1.2–4.5 nJ', '0.5–60 nJ', '7 pJ')
    """
    if energy(low) == energy(high):
        return energy(high)
    scale, unit = energy_unit(high)
    if 0 < low < 0.01 * scale:
        return f"{energy(low)} {dash} {energy(high)}"
    return f"{amount(low / scale)}{dash}{amount(high / scale)} {unit}"


def bytes_text(size: float) -> str:
    """Bytes in binary units.

    Example:
        >>> bytes_text(512), bytes_text(104_858)
        ('512 B', '102 KiB')
    """
    scale, unit = next(((s, u) for s, u in _BYTES if size >= s), (1, "B"))
    return f"{amount(size / scale)} {unit}"


def milliseconds(value: float) -> str:
    """Milliseconds in the unit that fits.

    Example:
        >>> milliseconds(0.42), milliseconds(0.0421), milliseconds(3210)
        ('0.42 ms', '42.1 µs', '3.21 s')
    """
    if 0 < value < 0.1:
        return f"{amount(1000 * value)} µs"
    return f"{amount(value / 1000)} s" if value >= 1000 else f"{amount(value)} ms"


def percent(share: float, samples: int | None = None) -> str:
    """A share as percent, with no more decimals than the number of samples carries.

    Example:
        >>> percent(0.9731), percent(0.9731, samples=360), percent(0.9731, samples=10_000)
        ('97.3%', '97.3%', '97.31%')
    """
    return f"{100 * share:.{_decimals(samples)}f}%"


def points(difference: float, samples: int | None = None) -> str:
    """The size of a difference of shares, in percentage points, without sign or unit.

    Example:
        >>> points(-0.0123), points(0.0123, samples=10_000)
        ('1.2', '1.23')
    """
    return f"{100 * abs(difference):.{_decimals(samples)}f}"


def signed(difference: float, samples: int | None = None) -> str:
    """A difference of shares in percentage points, with its sign.

    Example:
        >>> signed(-0.0123), signed(0.02)
        ('−1.2', '+2.0')
    """
    return f"{100 * difference:+.{_decimals(samples)}f}".replace("-", "−")


def _decimals(samples: int | None) -> int:
    # one sample in 10,000 is 0.01 %
    return 2 if samples is not None and math.log10(max(samples, 1)) >= 3.5 else 1
