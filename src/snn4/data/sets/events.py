"""What data sets of events share: they are read as recordings, and as frames where a plain tensor is asked for."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
import zlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snn4.core.errors import DataFileError
from snn4.data.dataset import Split
from snn4.data.readers.packed import broken, unpack
from snn4.data.recordings import Recordings
from snn4.data.sets.source import Card, Found, Source, find_in

__all__ = ["Bins", "EventSource", "NumpyFiles", "consistent", "load_arrays"]

_LIMIT = 1 << 28


@dataclass(frozen=True)
class Bins:
    """How `snn4.data.load` cuts recordings into frames.

    Args:
        steps: frames a recording.
        dt: length of a step in microseconds.
        pool: neighbouring channels, or pixels in either direction, that become one.
    """

    steps: int
    dt: float
    pool: int = 1


@dataclass(frozen=True)
class NumpyFiles(Source):
    """A data set in files of fixed names, with published checksums.

    Args:
        card: what it is.
        folders: sub-folders of the data folder that it may lie in.
        sha256: checksum of each file.
    """

    downloads = False

    card: Card
    folders: tuple[str, ...]
    sha256: tuple[tuple[str, str], ...]

    def find(self, root: Path) -> Found:
        """Where its files are, by their names."""
        names = [name for name, _ in self.sha256]
        return find_in(root, self.folders, lambda folder: [n for n in names if not (folder / n).is_file()])

    def check(self, folder: Path) -> None:
        """Hold the files against their checksums.

        Raises:
            DataFileError: a file is missing or has other content.
        """
        for name, expected in self.sha256:
            path = folder / name
            try:
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as cause:
                raise broken(path, f"cannot be read ({cause.strerror})", "a readable file") from cause
            if found != expected:
                came = "has other content than the published file"
                raise broken(path, came, f"sha256 {expected}", "verify=False reads it anyway.")


@dataclass(frozen=True)
class EventSource(NumpyFiles):
    """A data set of recordings.

    Args:
        bins: how `load` makes frames of them.
    """

    bins: Bins

    @abstractmethod
    def recordings(self, folder: Path, *, verify: bool) -> tuple[Recordings, Recordings]:
        """Training and test recordings from the folder that `find` has found.

        Raises:
            DataFileError: a file is missing, damaged, or (with `verify`) not the published one.
        """

    def read(self, folder: Path, *, verify: bool) -> tuple[Split, Split]:
        """Training and test split as frames."""
        train, test = (
            r.binned(self.bins.steps, dt=self.bins.dt, pool=self.bins.pool)
            for r in self.recordings(folder, verify=verify)
        )
        return train, test


@contextmanager
def consistent(path: Path, expected: str) -> Iterator[None]:
    """What fails inside, because numbers of a file do not fit each other, is the file's fault.

    Raises:
        DataFileError: anything of numbers, shapes or indices was wrong inside.
    """
    try:
        yield
    except DataFileError:
        raise
    except (ValueError, IndexError, TypeError, OverflowError) as cause:
        raise broken(path, f"is inconsistent ({cause})", expected) from cause


def load_arrays(path: str | os.PathLike[str], axes: Mapping[str, int]) -> dict[str, NDArray[np.integer]]:
    """Members of a numpy archive, never unpickled: whole numbers, or True and False.

    Args:
        path: the archive.
        axes: the name of each member, and how many axes it has.

    Raises:
        DataFileError: missing, damaged, without one of the names, or with something else under it.
    """
    names = list(axes)
    path = Path(path)
    # from memory, because numpy leaves a file open that is not the archive it seems to be
    content = io.BytesIO(unpack(path, limit=_LIMIT))
    try:
        with np.load(content, allow_pickle=False) as members:
            found = {name: np.asarray(members[name]) for name in names}
    except (TypeError, ValueError, KeyError, EOFError, OSError, zlib.error, zipfile.BadZipFile) as cause:
        if isinstance(cause, DataFileError):
            raise
        raise broken(path, f"cannot be read ({cause})", f"a numpy archive with {', '.join(names)}") from cause
    for name, array in found.items():
        if array.dtype.kind not in "iub" or array.ndim != axes[name]:
            came = f"holds {name} of {array.dtype} and shape {array.shape}"
            raise broken(path, came, f"whole numbers along {axes[name]} {'axes' if axes[name] > 1 else 'axis'}")
    return found
