"""`snn4 report DIR`: write the report of a run folder again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from snn4.cli.folders import find_run, kept
from snn4.cli.options import parse
from snn4.cli.run import tell_english

__all__ = ["report"]


@dataclasses.dataclass(frozen=True)
class Report:
    """Write report.html of a run folder again, from its results alone: nothing is computed anew."""

    folder: Path
    """The run folder, for example runs/digits/latest."""
    lang: Literal["en", "ja"] | None = None
    """The language of the report; without it, that of the run. That of a study is in English."""


def report(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: the words after `snn4 report`.
    """
    go = parse(Report, args, "snn4 report")
    folder = find_run(go.folder)
    from snn4.recipes.common import report_folder, study_result

    lang, _ = kept(folder, go.lang)
    if study_result(folder) is not None:
        tell_english(lang)
    print(report_folder(folder, lang))
