"""Where a result was made: versions, machine and commit, without a name or a path of anyone."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

__all__ = ["environment"]

_LIBRARIES = ("torch", "numpy", "safetensors", "triton")


def environment() -> dict[str, Any]:
    """What a reader needs to make the numbers again, as JSON for environment.json.

    Example:
        >>> sorted(environment())
        ['commit', 'cores', 'cpu', 'gpu', 'platform', 'python', 'threads', 'versions']
    """
    return {
        "versions": {name: version for name in ("snn4", *_LIBRARIES) if (version := _version(name)) is not None},
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "commit": _commit(),
    }


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    """The processor's name as Linux tells it, else as Python does."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (text.partition(":")[2].strip() for text in lines if text.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit of snn4's own checkout, with `+` where files were changed; None for an installed snn4."""
    here = Path(__file__).resolve()
    # a file that git does not track lies in somebody else's checkout, for instance in a virtual environment
    if _git(here.parent, "ls-files", "--error-unmatch", here.name) is None:
        return None
    commit = _git(here.parent, "rev-parse", "HEAD")
    changed = _git(here.parent, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}+" if commit and changed else commit


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
