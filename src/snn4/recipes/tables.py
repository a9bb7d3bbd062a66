"""Rows of a study as tables, means with the spread over seeds."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["COLUMNS", "Cells", "Column", "Row", "cells_of", "grouped", "markdown", "percent", "table"]

Row = Mapping[str, Any]
"""What one run of a study leaves behind."""
Cells = list[list[str]]
"""The lines of a table, the header first."""


@dataclass(frozen=True)
class Column:
    """One quantity of a table.

    Args:
        key: in the row.
        title: above it, with its unit.
        scale: what a value is multiplied by.
        digits: behind the point.
    """

    key: str
    title: str
    scale: float = 1.0
    digits: int = 2

    def cell(self, values: Sequence[float]) -> str:
        """Mean, and the sample standard deviation where there are several; a count that is always the same, once.

        Example:
            >>> Column("a", "accuracy, %", 100).cell([0.5, 0.7]), Column("a", "").cell([])
            ('60.00 ± 14.14', '')
            >>> Column("parameters", "parameters", digits=0).cell([44762, 44762])
            '44,762'
        """
        scaled = [self.scale * value for value in values]
        if not scaled:
            return ""
        if not self.digits and len(set(values)) == 1 and isinstance(values[0], int):
            return f"{scaled[0]:,.0f}"
        spread = f" ± {statistics.stdev(scaled):.{self.digits}f}" if len(scaled) > 1 else ""
        return f"{statistics.mean(scaled):.{self.digits}f}{spread}"


COLUMNS = (
    Column("val_accuracy", "validation, %", 100),
    Column("test_accuracy", "test, %", 100),
    Column("step_ms", "forward and backward, ms", 1, 1),
    Column("peak_bytes", "peak memory, MiB", 1 / 2**20, 1),
    Column("firing_rate", "firing rate, %", 100, 1),
    Column("zero_gradient", "zero gradients, %", 100, 1),
    Column("cpu_seconds", "training, CPU s", 1, 0),
)


def grouped(rows: Iterable[Row], by: Sequence[str]) -> dict[tuple[Any, ...], list[Row]]:
    """Rows that agree in some entries, in the order in which they come.

    Example:
        >>> list(grouped([{"a": 1, "seed": 0}, {"a": 1, "seed": 1}, {"a": 2, "seed": 0}], ["a"]))
        [(1,), (2,)]
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(key) for key in by), []).append(row)
    return groups


def table(
    rows: Iterable[Row], by: Mapping[str, str], columns: Sequence[Column] = COLUMNS, *, order: str | None = None
) -> Cells:
    """Rows as a table, one line a group of seeds; what failed says why.

    Args:
        rows: of a study.
        by: the entries that tell lines apart, and their titles.
        columns: the quantities.
        order: the quantity by which lines are sorted, the highest first; those that failed come last.

    Example:
        >>> rows = [{"name": "a", "test_accuracy": 0.5}, {"name": "b", "failed": "no closed-form rate"}]
        >>> table(rows, {"name": "neuron"}, [Column("test_accuracy", "test, %", 100)])
        [['neuron', 'seeds', 'test, %'], ['a', '1', '50.00'], ['b', 'failed', 'no closed-form rate']]
    """
    lines = [[*by.values(), "seeds", *(column.title for column in columns)]]
    groups = list(grouped(rows, list(by)).items())
    if order is not None:
        groups.sort(key=lambda group: -_mean(group[1], order))
    for labels, members in groups:
        whole = [row for row in members if "failed" not in row]
        if whole:
            values = [[row[column.key] for row in whole if row.get(column.key) is not None] for column in columns]
            cells = [str(len(whole)), *(column.cell(v) for column, v in zip(columns, values, strict=True))]
        else:
            cells = ["failed", " ".join(str(members[0]["failed"]).split()), *[""] * (len(columns) - 1)]
        lines.append([*("" if label is None else str(label) for label in labels), *cells])
    return lines


def percent(share: float, digits: int = 2) -> str:
    """A share, in percent without the sign."""
    return f"{100 * share:.{digits}f}"


def markdown(cells: Cells) -> str:
    r"""A table as Markdown.

    Example:
        >>> print(markdown([["name", "%"], ["a|b", "1"]]), end="")
        | name | % |
        |---|---|
        | a\|b | 1 |
    """
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in cells]
    return "\n".join([lines[0], f"|{'---|' * len(cells[0])}", *lines[1:]]) + "\n"


def cells_of(text: str) -> dict[str, Cells]:
    r"""The tables of a study from the text that stands in its result, heading to cells.

    Args:
        text: headings, `### NAME`, each with a table of `markdown` below it.

    Example:
        >>> cells_of("### all\n\n" + markdown([["name", "%"], ["a|b", ""]]))
        {'all': [['name', '%'], ['a|b', '']]}
    """
    found: dict[str, Cells] = {}
    heading = ""
    for line in text.splitlines():
        if line.startswith("### "):
            heading = line.removeprefix("### ")
        elif line.startswith("|") and not line.startswith("|---"):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            found.setdefault(heading, []).append([cell.strip().replace("\\|", "|") for cell in cells])
    return found


def _mean(rows: Sequence[Row], key: str) -> float:
    values = [row[key] for row in rows if row.get(key) is not None]
    return statistics.mean(values) if values else -1.0
