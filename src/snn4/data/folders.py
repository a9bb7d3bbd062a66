"""Where data sets lie, and where what was computed from them may be kept."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder", "data_folder"]


def cache_folder() -> Path:
    """The user's cache: `$XDG_CACHE_HOME/snn4`, else `~/.cache/snn4`. It need not exist."""
    # the standard asks that a relative path be ignored
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if os.path.isabs(named) else Path.home() / ".cache") / "snn4"


def data_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """The folder that data sets are looked for in: `folder`, else `$SNN4_DATA`, else the user's cache.

    Example:
        >>> data_folder("sets").name
        'sets'
    """
    if folder is not None:
        return Path(folder).expanduser()
    named = os.environ.get("SNN4_DATA")
    return Path(named).expanduser() if named else cache_folder()
