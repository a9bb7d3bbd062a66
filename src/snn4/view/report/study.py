"""The page of a study of many runs: its tables and pictures, in one file that opens without a network."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from snn4.core.files import write_text
from snn4.view.report.html import Html, element, table
from snn4.view.report.style import STYLE
from snn4.view.report.svg import data_uri

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["write_study"]

_RULE = (
    "Validation chose the epoch of each run, and which runs were repeated; the test split was read once a run. ± is "
    "the standard deviation over seeds. Times are those of the machine of the runs."
)


def write_study(
    folder: str | os.PathLike[str],
    title: str,
    command: str,
    tables: Mapping[str, Sequence[Sequence[str]]],
    figures: Mapping[str, Figure],
) -> Path:
    """Write `report.html` of a study.

    Args:
        folder: where it goes.
        title: of the page.
        command: that makes the study again.
        tables: heading to lines of cells, the header first. A figure of the same heading stands above its table.
        figures: heading to figure.

    Returns:
        The path of the page.

    Raises:
        StorageError: the folder cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     page = write_study(folder, "Leaks", "snn4 run leaks", {"all": [["leak", "%"], ["1", "98"]]}, {})
        ...     "<h2>all</h2>" in page.read_text(encoding="utf-8")
        True
    """
    headings = dict.fromkeys([*tables, *figures])
    sections: list[Html] = []
    for heading in headings:
        parts: list[Html] = [element("h2", heading)]
        if heading in figures:
            about = f"{title}: {heading}"
            parts.append(element("figure", element("img", src=data_uri(figures[heading]), alt=about)))
        if heading in tables:
            header, *lines = tables[heading]
            body = [(line[0], [*line[1:]]) for line in lines]
            parts.append(table(heading, list(header), body, class_="numbers"))
        sections.append(element("section", *parts))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Html(STYLE)),
    )
    body = element(
        "body",
        element("header", element("h1", title), element("p", _RULE), element("pre", element("code", command))),
        element("main", *sections),
    )
    path = Path(folder) / "report.html"
    write_text(path, "<!doctype html>\n" + element("html", head, body, lang="en") + "\n")
    return path
