"""`snn4 pack DIR PARTS` and `snn4 unpack PARTS DIR`: a run folder as a few files of limited size, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from snn4.cli.folders import find_run
from snn4.cli.options import parse

__all__ = ["pack", "unpack"]


@dataclasses.dataclass(frozen=True)
class Pack:
    """Write a run folder, finished or not, as a few files of limited size; the folder stays as it is."""

    folder: Path
    """The run folder, for example runs/cifar10_lsg/latest."""
    parts: Path
    """Where the parts go: a folder that is new or empty."""
    mib: float = 16.0
    """The size of one part, at most."""
    count: int = 8
    """The number of parts, at most. Where they are not enough, what is rounded for it is told."""


@dataclasses.dataclass(frozen=True)
class Unpack:
    """Make the run folder again that snn4 pack was given; every part is checked before anything is written."""

    parts: Path
    """The folder with the parts."""
    folder: Path
    """The run folder: new or empty."""


def pack(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: the words after `snn4 pack`.
    """
    go = parse(Pack, args, "snn4 pack")
    folder = find_run(go.folder)
    from snn4.training import parts

    print(parts.pack(folder, go.parts, mib=go.mib, count=go.count))
    print(f"Back again: snn4 unpack {go.parts} FOLDER")


def unpack(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: the words after `snn4 unpack`.
    """
    go = parse(Unpack, args, "snn4 unpack")
    from snn4.training import parts

    print(parts.unpack(go.parts, go.folder))
    if not (go.folder / "result.json").exists():
        print(f"Go on with: snn4 resume {go.folder}")
