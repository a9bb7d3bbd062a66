"""The data sets that are known by name."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from snn4.core.errors import DataFileError, OptionError, suggest
from snn4.data.dataset import DataSet
from snn4.data.folders import data_folder
from snn4.data.recordings import Recordings
from snn4.data.sets.braille import BRAILLE
from snn4.data.sets.cifar10 import CIFAR10
from snn4.data.sets.digits import Digits
from snn4.data.sets.ecg import ECG
from snn4.data.sets.events import EventSource
from snn4.data.sets.mnist import FASHION, MNIST
from snn4.data.sets.nmnist import NMNIST
from snn4.data.sets.radar import RADAR
from snn4.data.sets.shd import SHD
from snn4.data.sets.source import Card, Found, Source
from snn4.data.sets.yin_yang import YinYang

__all__ = ["Status", "available", "card", "load", "load_recordings", "names", "register"]

_SOURCES: dict[str, Source] = {}


@dataclass(frozen=True)
class Status:
    """Whether a data set is at hand.

    Args:
        card: what it is.
        found: whether `load` will find its files; they have not been read.
        where: the place where it was found, or the one where it was looked for.
        missing: what is missing there.
    """

    card: Card
    found: bool
    where: str
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        state = f"found in {self.where}" if self.found else f"not found in {self.where}"
        return f"{self.card.name}: {state}"


def register(source: Source) -> None:
    """Make a data set known, under the name and the aliases of its card.

    Raises:
        OptionError: a name is taken.
    """
    for name in (source.card.name, *source.card.aliases):
        if _find(name) is not None:
            raise OptionError(f"register got a data set named {name!r}", "a name that is not taken", "Choose another.")
    _SOURCES[source.card.name] = source


def names() -> tuple[str, ...]:
    """The names that `load` takes, without aliases.

    Example:
        >>> names()
        ('digits', 'mnist', 'fashion', 'cifar10', 'yinyang', 'nmnist-1100', 'shd', 'braille', 'radar', 'ecg')
    """
    return tuple(_SOURCES)


def card(name: str) -> Card:
    """The facts about a data set, without reading it.

    Raises:
        OptionError: there is no such data set.

    Example:
        >>> card("fashion-mnist").classes[:2]
        ('T-shirt/top', 'Trouser')
    """
    return _source(name).card


def available(folder: str | os.PathLike[str] | None = None) -> tuple[Status, ...]:
    """Which data sets are at hand, one row each. Files are looked for, not read through.

    Args:
        folder: the data folder; else `$SNN4_DATA`, else the user's cache.

    Example:
        >>> print(available()[0])
        digits: found in scikit-learn
    """
    rows: list[Status] = []
    for source in _SOURCES.values():
        found = _look(source, data_folder(folder))
        rows.append(Status(source.card, not found.missing, found.where, found.missing))
    return tuple(rows)


def load(
    name: str,
    folder: str | os.PathLike[str] | None = None,
    *,
    download: bool = False,
    verify: bool = True,
    progress: bool = True,
) -> DataSet:
    """Read a data set.

    Args:
        name: one of `names()`, or an alias.
        folder: the data folder; else `$SNN4_DATA`, else the user's cache. The files lie in it directly or in a
            sub-folder named for the data set.
        download: get the files into the data folder where they are missing. Without it nothing is ever downloaded.
        verify: hold the content against the published checksums, also of files that were downloaded before.
        progress: show how the download gets on.

    Raises:
        OptionError: there is no such data set.
        DataFileError: it is not there, damaged, or not the published one; or the download failed.
        StorageError: the data folder cannot be written.
        MissingLibraryError: `digits` without scikit-learn.

    Example:
        >>> digits = load("digits")
        >>> digits.train.inputs.shape, digits.train.inputs.dtype
        (torch.Size([1442, 1, 8, 8]), torch.uint8)
    """
    source = _source(name)
    facts, root = source.card, data_folder(folder)
    found = _look(source, root) if verify else source.find(root)
    if found.missing and download and not source.built_in:
        source.fetch(root, progress=progress)
        found = source.find(root)
    if found.missing and not source.built_in:
        raise _absent(source, found, root)
    try:
        train, test = source.read(found.folder, verify=verify)
        validation = source.read_validation(found.folder, verify=verify)
    except DataFileError as cause:
        if source.built_in or not source.downloads:
            raise
        advice = f"{cause.advice} `snn4 run {facts.name} --download` gets what is missing.".lstrip()
        raise DataFileError(cause.came, cause.expected, advice) from cause
    return DataSet(
        name=facts.name,
        train=train,
        test=test,
        validation=validation,
        classes=facts.classes,
        mean=facts.mean,
        std=facts.std,
        about=facts.about,
        licence=facts.licence,
        citation=facts.citation,
        key=facts.key,
    )


def load_recordings(
    name: str, folder: str | os.PathLike[str] | None = None, *, verify: bool = True
) -> tuple[Recordings, Recordings]:
    """Read a data set of events as recordings, to cut into frames of one's own, or to use as they are.

    Args:
        name: a data set of events: `"nmnist-1100"`, `"shd"` or `"radar"`.
        folder: the data folder; else `$SNN4_DATA`, else the user's cache.
        verify: hold the files against the published checksums.

    Returns:
        Training and test recordings.

    Raises:
        OptionError: there is no such data set, or it has no events.
        DataFileError: it is not there, damaged, or not the published one.

    Example:
        >>> train, test = load_recordings("radar")        # doctest: +SKIP
        >>> train.binned(steps=50, dt=30_000)              # doctest: +SKIP
        Split(1920 samples of (50, 6) uint8)
    """
    source = _source(name)
    if not isinstance(source, EventSource):
        known = [s.card.name for s in _SOURCES.values() if isinstance(s, EventSource)]
        raise OptionError(f"the data set {name!r} has no events", f"one of {', '.join(known)}", "Use snn4.data.load.")
    found = source.find(data_folder(folder))
    if found.missing:
        raise _absent(source, found, data_folder(folder))
    return source.recordings(found.folder, verify=verify)


def _absent(source: Source, found: Found, root: Path) -> DataFileError:
    facts = source.card
    get = f"Get them with `snn4 run {facts.name} --download`, or set" if source.downloads else "Put them there, or set"
    return DataFileError(
        f"{facts.title} was not found in {found.where} (missing: {', '.join(found.missing)})",
        f"its files in {root}, or in its sub-folder {facts.name}",
        f"{get} SNN4_DATA to the folder that holds them.",
    )


def _look(source: Source, root: Path) -> Found:
    """Where the files are, if they are this set's own."""
    found = source.find(root)
    if found.missing or source.recognise(found.folder):
        return found
    return replace(found, missing=(f"the files of {source.card.title}; those there are of another set",))


def _find(name: str) -> Source | None:
    wanted = name.lower()
    return next((s for s in _SOURCES.values() if wanted in (s.card.name, *s.card.aliases)), None)


def _source(name: str) -> Source:
    source = _find(name)
    if source is None:
        known = [known for s in _SOURCES.values() for known in (s.card.name, *s.card.aliases)]
        raise OptionError(f"the data set {name!r} is not known", "one of snn4.data.names()", suggest(name, known))
    return source


for _known in (Digits(), MNIST, FASHION, CIFAR10, YinYang(), NMNIST, SHD, BRAILLE, RADAR, ECG):
    register(_known)
