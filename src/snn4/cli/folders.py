"""Where a run lives: `runs/<recipe>/<time>-seed<n>`, and `runs/<recipe>/latest` points to the newest."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from snn4.core.errors import CheckpointError, StorageError
from snn4.core.files import make_folder, read_json, write_json, write_text

__all__ = ["CONFIG", "find_run", "forget_empty", "keep", "kept", "new_run"]

RUNS = Path("runs")
CONFIG = "config.json"
# how the run was started, as far as it is no option of the recipe; only where something was said
_STARTED = "command.json"
# where a run folder that was meant may lie: runs/RECIPE/TIME-seedN below the folder that was named
_LEVELS, _SECONDS = 3, 0.5


def new_run(recipe: str, seed: int, out: Path | None, now: datetime | None = None) -> Path:
    """Make the folder of a new run.

    Args:
        recipe: its name.
        seed: of the run.
        out: the folder that the user asks for; `None` makes one from the time and the seed, and points `latest` to it.
        now: the time in its name.

    Raises:
        StorageError: it cannot be made, or holds something already.
    """
    if out is not None:
        _refuse_occupied(out)
        return make_folder(out)
    name = f"{now or datetime.now():%Y%m%d-%H%M%S}-seed{seed}"
    parent = make_folder(RUNS / recipe)
    folder = parent / name
    again = 1
    while True:  # two runs may start in one second
        try:
            folder.mkdir()
            break
        except FileExistsError:
            again += 1
            folder = parent / f"{name}-{again}"
    _point(parent / "latest", folder.name)
    return folder


def keep(folder: Path, lang: str, data: Path | None) -> None:
    """Leave the language and the data folder of a run for the commands that come to its folder later.

    Args:
        folder: of the run.
        lang: of its table and report.
        data: as the user wrote it; None for the usual places.

    Raises:
        StorageError: the folder cannot be written.
    """
    if lang != "en" or data is not None or (folder / _STARTED).exists():
        write_json(folder / _STARTED, {"schema": 1, "lang": lang, "data": None if data is None else str(data)})


def kept(folder: Path, lang: str | None = None, data: Path | None = None) -> tuple[Literal["en", "ja"], Path | None]:
    """The language and the data folder of a run: what is asked for now, else what it was started with.

    Args:
        folder: of the run; one that says nothing means English, and the usual places.
        lang: what is asked for now.
        data: likewise.

    Returns:
        The language, and the data folder. One that is not there any more, as on another machine, is None.
    """
    found: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        found = dict(read_json(folder / _STARTED))
    if data is None and found.get("data") and Path(found["data"]).is_dir():
        data = Path(found["data"])
    return ("ja" if (lang or found.get("lang")) == "ja" else "en"), data


def forget_empty(folder: Path) -> None:
    """Take back the folder of a run that failed before it wrote anything, and let `latest` lead where it did before.

    Args:
        folder: as `new_run` made it.
    """
    with contextlib.suppress(OSError):
        if not (folder / CONFIG).exists():
            (folder / _STARTED).unlink(missing_ok=True)
        folder.rmdir()  # refuses a folder that holds something
        if folder.parent.parent != RUNS:
            return  # the user named it, and what lies beside it is none of our business
        pointer = folder.with_name("latest")
        runs = [path.parent for path in folder.parent.glob(f"*/{CONFIG}") if path.parent.name != "latest"]
        if runs:
            _point(pointer, max(runs, key=lambda run: (run / CONFIG).stat().st_mtime).name)
        else:
            pointer.unlink()
            folder.parent.rmdir()


def _refuse_occupied(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise StorageError(f"--out {out} is a file", "a folder", "Choose another --out.")
    if (out / CONFIG).exists():
        raise StorageError(
            f"--out {out} holds a run already",
            "a folder that is new or empty",
            f"Go on with that run by `snn4 resume {out}`, or choose another --out.",
        )
    if out.is_dir() and any(out.iterdir()):
        raise StorageError(f"--out {out} is not empty", "a folder that is new or empty", "Choose another --out.")


def _point(pointer: Path, name: str) -> None:
    """Let `pointer` lead to its sibling `name`: a link, or a text file where links cannot be made."""
    fresh = pointer.with_name(f".{pointer.name}.{os.getpid()}")
    try:
        fresh.symlink_to(name, target_is_directory=True)
        fresh.replace(pointer)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()
        write_text(pointer, name + "\n")


def find_run(folder: Path) -> Path:
    """The run folder that the user means, `runs/digits/latest` included.

    Raises:
        CheckpointError: there is no run.
    """
    if folder.is_file() and folder.name == "latest":
        folder = folder.with_name(folder.read_text(encoding="utf-8").strip())
    if (folder / CONFIG).is_file():
        return folder.parent / folder.readlink() if folder.is_symlink() else folder
    came = f"{folder} holds no {CONFIG}" if folder.is_dir() else f"{folder} is not a folder"
    raise CheckpointError(came, "a run folder", _advice(folder))


def _advice(folder: Path) -> str:
    runs = sorted(run for base in (folder, RUNS) for run in _runs_below(base))
    if not runs:
        return "Make a run with: snn4 run digits"
    return "Did you mean " + " or ".join(str(run) for run in dict.fromkeys(runs[-3:])) + "?"


def _runs_below(base: Path) -> Iterator[Path]:
    """Run folders near a folder; what is not found quickly is not worth the wait."""
    until = time.monotonic() + _SECONDS
    level = [base]
    for _ in range(_LEVELS + 1):
        below: list[Path] = []
        for folder in level:
            if time.monotonic() > until:
                return
            # a folder that cannot be read holds no run of this user; links may lead in circles
            with contextlib.suppress(OSError), os.scandir(folder) as entries:
                if (folder / CONFIG).is_file():
                    yield folder
                below += [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
        level = sorted(below)
