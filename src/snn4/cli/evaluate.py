"""`snn4 eval DIR`: evaluate the trained networks of a run folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from snn4.cli.folders import find_run, kept
from snn4.cli.options import parse
from snn4.cli.summary import show_values

__all__ = ["evaluate"]


@dataclasses.dataclass(frozen=True)
class Eval:
    """Load the trained networks of a run folder and evaluate them on the test split."""

    folder: Path
    """The run folder, for example runs/digits/latest."""
    json: bool = False
    """Print the numbers as JSON, as the last line."""
    data: Path | None = None
    """The folder of the data sets; without it, that of the run, $SNN4_DATA, then the cache folder."""
    download: bool = False
    """Fetch the data set where it is missing."""


def evaluate(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: the words after `snn4 eval`.
    """
    go = parse(Eval, args, "snn4 eval")
    folder = find_run(go.folder)
    from snn4.recipes.common import evaluate_folder

    numbers = evaluate_folder(folder, kept(folder, data=go.data)[1], go.download)
    show_values(numbers, str(folder))
    if go.json:
        print(json.dumps(numbers, ensure_ascii=False))
