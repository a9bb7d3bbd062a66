"""`snn4 report DIR`: write the report of a run folder again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from snn4.cli.folders import find_run
from snn4.cli.options import parse

__all__ = ["report"]


@dataclasses.dataclass(frozen=True)
class Report:
    """Write report.html of a run folder again, from its results alone: nothing is computed anew."""

    folder: Path
    """The run folder, for example runs/digits/latest."""
    lang: Literal["en", "ja"] = "en"
    """The language of the report."""


def report(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: the words after `snn4 report`.
    """
    go = parse(Report, args, "snn4 report")
    folder = find_run(go.folder)
    from snn4.view import write_report

    print(write_report(folder, lang=go.lang))
