"""Yin-Yang: three classes in a plane that no linear layer divides; small enough to try an idea in a minute.

A big circle of radius 1/2 around (1/2, 1/2) holds the classes yin (0), yang (1) and dot (2). With dl and dr the
distances of (x, y) from the dots' centres (1/4, 1/2) and (3/4, 1/2):

    dot    dl < 1/10 or dr < 1/10
    yang   otherwise, dr <= 1/10, or 1/10 < dl <= 1/4, or (y > 1/2 and dr > 1/4)
    yin    otherwise

A sample is (x, y, 1 - x, 1 - y). To draw one: choose its class, then points of the unit square until one has it.

Paper: [kriener2022yinyang]
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor

from snn4.core.errors import DataFileError, OptionError
from snn4.data.dataset import Split
from snn4.data.sets.source import Card, Found, Source, find_in

__all__ = ["YinYang", "yin_yang"]

_CIRCLE, _DOT = 0.5, 0.1
_FILE = "yin_yang_publication.npz"
# the publication's splits, each from a seed of its own; (samples, seed)
_PUBLISHED = {"train": (5000, 42), "val": (1000, 41), "test": (1000, 40)}


def yin_yang(samples: int, generator: Generator) -> Split:
    """Fresh samples of the Yin-Yang task.

    Args:
        samples: how many.
        generator: of the random numbers.

    Raises:
        OptionError: no sample.

    Example:
        >>> split = yin_yang(100, torch.Generator().manual_seed(0))
        >>> split
        Split(100 samples of (4,) float32)
        >>> sorted(set(split.targets.tolist()))
        [0, 1, 2]
    """
    if samples < 1:
        raise OptionError(f"yin_yang got samples={samples}", "at least 1")
    wanted = torch.randint(3, (samples,), generator=generator)
    points = torch.empty(samples, 2, dtype=torch.float64)
    open_ = torch.arange(samples)
    while len(open_):
        tried = torch.rand(len(open_), 2, dtype=torch.float64, generator=generator)
        found = torch.from_numpy(_classes(tried.numpy())) == wanted[open_]
        points[open_[found]] = tried[found]
        open_ = open_[~found]
    return Split(torch.cat([points, 1 - points], 1).float(), wanted)


def _classes(points: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The class of each point (x, y), -1 outside of the circle. Shape (N, 2) -> (N,)."""
    x, y = points[:, 0], points[:, 1]
    left, right = np.hypot(x - 0.25, y - 0.5), np.hypot(x - 0.75, y - 0.5)
    yang = (right <= _DOT) | ((left > _DOT) & (left <= _CIRCLE / 2)) | ((y > 0.5) & (right > _CIRCLE / 2))
    found = np.where((left < _DOT) | (right < _DOT), 2, yang.astype(np.int64))
    return np.where(np.hypot(x - 0.5, y - 0.5) > _CIRCLE, -1, found)


def _published(samples: int, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """A split of the publication, number for number: numpy's generator, in the order in which it was drawn."""
    numbers = np.random.RandomState(seed)
    inputs, targets = np.empty((samples, 4)), np.empty(samples, np.int64)
    for row in range(samples):
        wanted = numbers.randint(3)
        while True:
            point = numbers.rand(2)
            if _classes(point[None])[0] == wanted:
                break
        inputs[row], targets[row] = (*point, *(1 - point)), wanted
    return inputs, targets


class YinYang(Source):
    """The splits of the publication: read from its file where that is at hand, else computed, to the same numbers.

    The 1000 samples that were published for validation are the data set's own `validation`.
    """

    built_in = True
    card = Card(
        name="yinyang",
        title="Yin-Yang (publication split)",
        train=5000,
        test=1000,
        shape=(4,),
        classes=("yin", "yang", "dot"),
        mean=(0.5,),
        std=(0.2337,),
        about=(
            "Points of a plane with three classes that a linear layer cannot divide, given as (x, y, 1 - x, 1 - y); "
            "5000 to train, 1000 to validate, 1000 to test, as published."
        ),
        licence="MIT",
        citation="L. Kriener, J. Goeltz, M. A. Petrovici: The Yin-Yang dataset. NICE 2022.",
        key="kriener2022yinyang",
        aliases=("yin-yang",),
    )

    def find(self, root: Path) -> Found:
        """Where its file is, or that it will be computed."""
        folders = ("yin-yang", "yinyang", ".")
        found = find_in(root, folders, lambda folder: () if (folder / _FILE).is_file() else (_FILE,))
        return found if not found.missing else Found(root, (), "its definition")

    def read(self, folder: Path, *, verify: bool) -> tuple[Split, Split]:
        """Training and test split."""
        return self._part(folder, "train", verify), self._part(folder, "test", verify)

    def read_validation(self, folder: Path, *, verify: bool) -> Split:
        """The samples that were published for validation."""
        return self._part(folder, "val", verify)

    def _part(self, folder: Path, name: str, verify: bool) -> Split:
        samples, seed = _PUBLISHED[name]
        path = folder / _FILE
        if not path.is_file():
            inputs, targets = _published(samples, seed)
        else:
            inputs, targets = _from_file(path, name)
            if verify and not (len(targets) == samples and np.array_equal(_classes(inputs[:, :2]), targets)):
                raise DataFileError(
                    f"{path} holds other points than the published ones in {name!r}",
                    f"{samples} points, each with the class of its place",
                    "Delete the file: snn4 computes the same numbers.",
                )
        split: tuple[Tensor, Tensor] = torch.from_numpy(inputs).float(), torch.from_numpy(targets)
        return Split(*split)


def _from_file(path: Path, name: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    try:
        # opened here, because numpy leaves a file open that turns out to be no archive
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            inputs = np.asarray(arrays[f"x_{name}"], np.float64)
            targets = np.asarray(arrays[f"y_{name}"], np.int64)
        if inputs.ndim != 2 or inputs.shape[1] != 4 or targets.shape != inputs.shape[:1]:
            raise ValueError(f"x_{name} of shape {inputs.shape}, y_{name} of shape {targets.shape}")
    except (OSError, ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile) as cause:
        raise DataFileError(
            f"{path} cannot be read ({cause})",
            "the arrays x_train, y_train, x_val, y_val, x_test and y_test",
            "Delete the file: snn4 computes the same numbers.",
        ) from cause
    return inputs, targets
