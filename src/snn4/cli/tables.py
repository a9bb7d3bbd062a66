"""Rows on the terminal: a table where it fits, else one block a row, so that no name, key or number is ever cut."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from snn4.core.optional import need

__all__ = ["blocks", "console", "show_rows"]

# cells up to so many characters stay on one line of a table
_SHORT = 24
_INDENT = "    "


def show_rows(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows, as a table if it is wide enough there, else as blocks.

    Args:
        title: above them.
        columns: the headings.
        rows: the cells, as many in each as there are columns; the first one names the row.
    """
    terminal = console()
    widths = _widths(columns, rows)
    # a frame and two spaces around each cell
    if sum(widths) + 3 * len(widths) + 1 > terminal.width:
        # soft_wrap: what is one line here is one line in a pipe
        terminal.print(title, style="italic", markup=False, soft_wrap=True)
        for line in blocks(columns, rows, terminal.width):
            terminal.print(line, markup=False, highlight=False, soft_wrap=True)
        return
    table = need("rich.table", "to print tables").Table(title=title)
    text = need("rich.text", "to print tables").Text
    for number, (column, width) in enumerate(zip(columns, widths, strict=True)):
        numbers = all(_is_number(row[number]) for row in rows)
        table.add_column(text(column), min_width=width, justify="right" if numbers else "left")
    for row in rows:
        table.add_row(*map(text, row))
    terminal.print(table)


def blocks(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Each row as lines: what names it, then every cell that says something, wrapped between words alone.

    Args:
        columns: the headings; where the first one is "name", names stand alone, to be copied.
        rows: the cells.
        width: of a line, where words allow it.

    Example:
        >>> list(blocks(["name", "what", "paper"], [["LIF", "A neuron.", ""]], 80))
        ['LIF', '    what: A neuron.']
    """
    for name, *cells in rows:
        yield name if columns[0] == "name" else f"{columns[0]}: {name}"
        for column, cell in zip(columns[1:], cells, strict=True):
            if cell:
                yield from textwrap.wrap(
                    f"{column}: {cell}",
                    max(width, 40),
                    initial_indent=_INDENT,
                    subsequent_indent=2 * _INDENT,
                    break_long_words=False,
                    break_on_hyphens=False,
                )


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """What each column needs, so that no word is cut and short cells stay whole."""
    widths: list[int] = []
    for number, column in enumerate(columns):
        cells = [row[number] for row in rows]
        words = [len(word) for text in (column, *cells) for word in text.split()]
        longest = max(map(len, cells), default=0)
        # the first one is what people copy
        widths.append(max(*words, 1, longest if number == 0 else min(longest, _SHORT)))
    return widths


def _is_number(cell: str) -> bool:
    return not cell or cell[0].isdigit() or cell[0] in "+-"


def console() -> Any:
    """The console for standard output, as it is now (a test, or a pipe, may have replaced it)."""
    return need("rich.console", "to print tables").Console()
