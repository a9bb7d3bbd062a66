"""`snn4 resume DIR`: go on with a run that was stopped."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from snn4.cli.folders import find_run, keep, kept
from snn4.cli.options import parse
from snn4.cli.run import go_on, tell

__all__ = ["resume"]


@dataclasses.dataclass(frozen=True)
class Resume:
    """Go on with a run that was stopped: the same weights come out as if it had never stopped."""

    folder: Path
    """The run folder, for example runs/digits/latest."""
    json: bool = False
    """Print the result as JSON, as the last line."""
    lang: Literal["en", "ja"] | None = None
    """The language of the table and the report; without it, that of the run. Those of a study are in English."""
    data: Path | None = None
    """The folder of the data sets; without it, that of the run, $SNN4_DATA, then the cache folder."""
    download: bool = False
    """Fetch the data set where it is missing."""
    quiet: bool = False
    """No progress bars."""
    minutes: float | None = None
    """Stop again after so long with everything saved. The exit status is then 3."""


def resume(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: the words after `snn4 resume`.
    """
    go = parse(Resume, args, "snn4 resume")
    folder = find_run(go.folder)
    from snn4.recipes.common import read_config

    recipe, config = read_config(folder)
    lang, data = kept(folder, go.lang, go.data)
    if go.lang is not None or go.data is not None:
        keep(folder, lang, data)
    result = go_on(recipe, config, folder, dataclasses.replace(go, lang=lang, data=data), resume=True)
    tell(result, folder, lang, as_json=go.json)
