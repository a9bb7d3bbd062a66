"""What a data set has to say about itself, so that it can be found, read, fetched, listed and cited."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from snn4.core.errors import DataFileError
from snn4.data.dataset import Split

__all__ = ["Card", "Found", "Remote", "Source", "find_in"]


@dataclass(frozen=True)
class Card:
    """The facts about a data set that need none of its files.

    Args:
        name: what `snn4.data.load` calls it.
        title: its name as people write it.
        train, test: number of samples.
        shape: of one sample.
        classes: the name of every class; the target is the position.
        mean, std: of the training inputs scaled to 0..1, one a channel.
        about: what it shows, how it was split.
        licence: under which terms it may be used.
        citation: what to cite, as text.
        key: the same as a key of `references.bib`.
        aliases: other names it goes by.
    """

    name: str
    title: str
    train: int
    test: int
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    about: str
    licence: str
    citation: str
    key: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Remote:
    """A file that can be downloaded.

    Args:
        name: its name in the data folder.
        urls: where it is to be had, the best address first; `http` or `https`.
        checksum: `md5:...` or `sha256:...` of the file as it is sent.
        size: its length in bytes, where known.
    """

    name: str
    urls: tuple[str, ...]
    checksum: str
    size: int | None = None


@dataclass(frozen=True)
class Found:
    """Where a data set was looked for, and what was missing there: nothing, if `missing` is empty.

    Args:
        folder: the folder that holds the files, or the one that holds most of them.
        missing: what it lacks.
        where: the place in words.
    """

    folder: Path
    missing: tuple[str, ...]
    where: str


class Source(ABC):
    """A data set as files: how it is found, read and fetched. One subclass a family; its instances are registered."""

    card: Card
    # whether it comes with a library and has no files; then `read` takes any folder
    built_in: ClassVar[bool] = False
    # whether `fetch` can get its files
    downloads: ClassVar[bool] = True

    @abstractmethod
    def find(self, root: Path) -> Found:
        """Look for the files under `root` without reading them."""

    @abstractmethod
    def read(self, folder: Path, *, verify: bool) -> tuple[Split, Split]:
        """Read training and test split from the folder that `find` has found.

        Args:
            folder: holds the files.
            verify: hold the content against the published checksums.

        Raises:
            DataFileError: a file is missing, damaged, or (with `verify`) not the published one.
        """

    def read_validation(self, folder: Path, *, verify: bool) -> Split | None:
        """Read the part that is published for validation, from the same folder; `None` where there is none.

        Args:
            folder: holds the files.
            verify: hold the content against the published checksums.

        Raises:
            DataFileError: as `read`.
        """
        return None

    def recognise(self, folder: Path) -> bool:
        """Whether complete-looking files are likely those of this data set and not of one with the same file names."""
        return True

    def fetch(self, root: Path, *, progress: bool = True) -> None:
        """Download what is missing under `root`."""
        raise DataFileError(
            f"the data set {self.card.name} cannot be downloaded",
            "its files in the data folder",
            f"They have to be put there by hand. It is described so: {self.card.about}",
        )


def find_in(root: Path, folders: Sequence[str], missing: Callable[[Path], Sequence[str]]) -> Found:
    """The first of `root / folder` that misses nothing, else the one that misses least.

    Args:
        root: the data folder.
        folders: sub-folders to try in this order; `"."` is the data folder itself.
        missing: what a folder lacks.
    """
    places = [root / name for name in folders]
    tried = [Found(place, tuple(missing(place)), str(place if place.is_dir() else root)) for place in places]
    return min(tried, key=lambda found: len(found.missing))
