"""`snn4 profile DIR`: what the trained networks of a run folder cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from snn4.cli.folders import find_run, kept
from snn4.cli.options import parse

__all__ = ["profile"]


@dataclasses.dataclass(frozen=True)
class ProfileOf:
    """Spikes, operations, energy, memory and latency of the trained networks of a run folder."""

    folder: Path
    """The run folder, for example runs/digits/latest."""
    data: Path | None = None
    """The folder of the data sets; without it, that of the run, $SNN4_DATA, then the cache folder."""
    download: bool = False
    """Fetch the data set where it is missing."""


def profile(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: the words after `snn4 profile`.
    """
    go = parse(ProfileOf, args, "snn4 profile")
    folder = find_run(go.folder)
    from snn4.recipes.common import profile_folder

    print(profile_folder(folder, kept(folder, data=go.data)[1], go.download))
