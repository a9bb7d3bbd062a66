"""`snn4 doctor`: what this machine has, and what would be missing for what."""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import snn4
from snn4.cli.options import parse
from snn4.cli.tables import console
from snn4.core.optional import need

__all__ = ["doctor"]

_LIBRARIES = {
    "safetensors": "checkpoints",
    "scikit-learn": "the digits data set",
    "matplotlib": "pictures and the report",
    "tyro": "the command line",
    "rich": "progress bars and tables",
    "numba": "compiled neurons without a C++ compiler",
    "triton": "compiled neurons on a GPU",
}
_COMPILERS = ("g++", "clang++", "nvcc")


@dataclasses.dataclass(frozen=True)
class Doctor:
    """Tell versions, compilers, GPU, optional libraries, data sets and folders of this machine."""

    clear_kernels: bool = False
    """Remove all compiled kernels first."""


def doctor(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: the words after `snn4 doctor`.
    """
    options = parse(Doctor, args, "snn4 doctor")
    if options.clear_kernels:
        from snn4.kernels import clear_cache

        removed = clear_cache()
        console().print(f"{removed.kernels} compiled kernels removed, {removed.size / 2**20:.1f} MiB")
    table = need("rich.table", "to print tables").Table(title="snn4 doctor", show_header=False)
    for part in (_versions, _libraries, _compilers, _kernels, _devices, _data, _folders):
        for name, found in part():
            table.add_row(name, found)
        table.add_section()
    console().print(table)


def _versions() -> Iterator[tuple[str, str]]:
    yield "snn4", snn4.__version__
    yield "Python", f"{platform.python_version()} on {platform.platform()}"
    for library in ("torch", "numpy", "jaxtyping"):
        yield library, metadata.version(library)


def _libraries() -> Iterator[tuple[str, str]]:
    for library, purpose in _LIBRARIES.items():
        try:
            yield library, metadata.version(library)
        except metadata.PackageNotFoundError:
            yield library, f"missing, needed for {purpose}: pip install {library}"


def _compilers() -> Iterator[tuple[str, str]]:
    for compiler in _COMPILERS:
        path = shutil.which(compiler)
        yield compiler, _first_line([path, "--version"]) if path else "not found"


def _kernels() -> Iterator[tuple[str, str]]:
    from snn4.kernels import build
    from snn4.kernels.numba_build import no_numba_reason

    compiler, reason = build.find_compiler(), build.no_compiler_reason()
    if compiler is not None and reason is None:
        threads = "" if compiler.threads else ", on one thread: only gcc shares the OpenMP of torch"
        told = f"C++ kernels by {compiler.path}{threads}"
    else:
        told = f"no C++ kernels: {reason}; " + (
            "kernels by Numba" if no_numba_reason() is None else f"none by Numba: {no_numba_reason()}"
        )
    yield "neurons run as", told
    kept, folder = build.cache_size(), build.cache_folder()
    held = f"{kept.kernels} kernels, {kept.size / 2**20:.1f} MiB"
    yield "kernel cache", f"{folder} ({_state(folder)}): {held}; --clear-kernels empties it"


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return f"there, but does not answer ({type(error).__name__})"
    # nvcc tells its version in its last but one line, the compilers for the CPU in their first
    lines = done.stdout.strip().splitlines() or [""]
    return next((line for line in lines if "release" in line), lines[0])


def _devices() -> Iterator[tuple[str, str]]:
    import torch

    yield "CPU", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads for torch"
    if not torch.cuda.is_available():
        yield "GPU", "none that torch can use"
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        yield f"GPU {index}", f"{about.name}, {about.total_memory / 2**30:.0f} GiB"


def _data() -> Iterator[tuple[str, str]]:
    from snn4.data import available, data_folder

    yield "data folder", f"{data_folder()} ({_state(data_folder())}; --data or SNN4_DATA chooses another)"
    for status in available():
        yield f"data set {status.card.name}", status.where if status.found else "not there; --download fetches it"


def _folders() -> Iterator[tuple[str, str]]:
    from snn4.data import cache_folder

    yield "cache folder", f"{cache_folder()} ({_state(cache_folder())})"
    yield "runs go to", f"{Path('runs').resolve()} ({_state(Path('runs'))})"


def _state(folder: Path) -> str:
    """Whether files can be written to a folder, or could once it is made."""
    folder = folder.resolve()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    writable = os.access(there, os.W_OK)
    if there == folder:
        return "writable" if writable else "read only"
    return "made when needed" if writable else f"cannot be made: {there} is read only"
