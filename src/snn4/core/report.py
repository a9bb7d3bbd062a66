"""Plain-text tables, for everything that a verb returns and a person prints."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

__all__ = ["table"]


def _width(text: str) -> int:
    """Columns on a terminal: Japanese characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def table(header: Sequence[str], rows: Sequence[Sequence[object]], *, indent: str = "") -> str:
    """Aligned columns; numbers to the right, text to the left.

    Example:
        >>> print(table(["layer", "rate"], [["lif", 0.25], ["output", 0.5]]))
        layer   rate
        lif     0.25
        output   0.5
    """
    cells = [[str(c) for c in row] for row in [header, *rows]]
    widths = [max(_width(row[k]) for row in cells) for k in range(len(header))]
    right = [bool(rows) and all(isinstance(row[k], (int, float)) for row in rows) for k in range(len(header))]
    lines: list[str] = []
    for row in cells:
        padded = [
            " " * (widths[k] - _width(c)) + c if right[k] else c + " " * (widths[k] - _width(c))
            for k, c in enumerate(row)
        ]
        lines.append(indent + "  ".join(padded).rstrip())
    return "\n".join(lines)
