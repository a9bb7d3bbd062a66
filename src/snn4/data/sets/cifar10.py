"""CIFAR-10 in each of the forms that it is found in: binary, python, and the compact `.medxz`."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from snn4.core.errors import DataFileError, StorageError
from snn4.core.files import atomic, make_folder
from snn4.data.dataset import Split
from snn4.data.folders import cache_folder
from snn4.data.readers.cifar_binary import read_cifar_binary
from snn4.data.readers.cifar_python import read_cifar_python
from snn4.data.readers.labels import check_labels
from snn4.data.readers.medxz import read_medxz
from snn4.data.readers.packed import broken, unpack
from snn4.data.sets.source import Card, Found, Remote, Source, find_in

__all__ = ["CIFAR10", "Cifar10"]

_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEST = ("test_batch",)
# what tells the forms apart: the ending of a batch, and what lies beside the batches; the fastest to read first
_FORMS = {".bin": (), "": (), ".medxz": ("labels.npz",)}
_MOST_LABELS = 1 << 24
_ARCHIVED = "cifar-10-batches-bin"
_ELSEWHERE = "Choose another one with --data or SNN4_DATA."

_Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


@dataclass(frozen=True)
class Digest:
    """sha256 of the decoded images, (N, 3, 32, 32), and of the labels, one byte each."""

    images: str
    labels: str


@dataclass(frozen=True)
class Cifar10(Source):
    """Six batches of images.

    The `.medxz` form takes some seconds to decode; the result is kept in the user's cache folder, and what lies there
    is used only while its checksum is right.

    Args:
        card: what it is.
        folders: sub-folders of the data folder that it may lie in.
        remote: the archive of the binary form.
        train, test: checksums.
        batch: images in a batch.
    """

    card: Card
    folders: tuple[str, ...]
    remote: Remote
    train: Digest
    test: Digest
    batch: int = 10_000

    def find(self, root: Path) -> Found:
        """Where its files are, by their names."""
        return find_in(root, (*self.folders, "."), lambda folder: _form(folder)[1])

    def read(self, folder: Path, *, verify: bool) -> tuple[Split, Split]:
        """Training and test split."""
        ending, missing = _form(folder)
        if missing:
            raise broken(folder, "does not hold the data set", f"also {', '.join(missing)}", "Put them there.")
        splits: list[Split] = []
        for names, which, digest in ((_TRAIN, "train", self.train), (_TEST, "test", self.test)):
            paths = [folder / f"{name}{ending}" for name in names]
            if ending == ".medxz":
                arrays = self._compact(paths, which, digest)
            else:
                read = read_cifar_binary if ending else read_cifar_python
                images, labels = zip(*(read(path, self.batch) for path in paths), strict=True)
                arrays = np.concatenate(images), np.concatenate(labels)
            if verify:
                _check(arrays, digest, paths[0] if len(paths) == 1 else folder, which)
            splits.append(Split(torch.from_numpy(arrays[0]), torch.from_numpy(arrays[1])))
        return splits[0], splits[1]

    def fetch(self, root: Path, *, progress: bool = True) -> None:
        """Download what is missing."""
        from snn4.data.download import fetch

        archive = fetch(self.remote, root, progress=progress)
        _extract(archive, make_folder(root / _ARCHIVED, _ELSEWHERE))
        with contextlib.suppress(OSError):
            archive.unlink()

    def _compact(self, paths: list[Path], which: str, digest: Digest) -> _Arrays:
        count = self.batch * len(paths)
        table = paths[0].parent / "labels.npz"
        try:
            # from memory, because numpy leaves a file open that is not the archive it seems to be
            with np.load(io.BytesIO(unpack(table, limit=_MOST_LABELS)), allow_pickle=False) as members:
                stored = np.asarray(members[f"y_{which}"])
        except (TypeError, ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile) as cause:
            raise broken(table, f"cannot be read ({cause})", "a numpy archive with y_train and y_test") from cause
        if stored.dtype != np.uint8:
            raise broken(table, f"holds y_{which} of type {stored.dtype}", "uint8")
        labels = check_labels(stored, count, len(self.card.classes), table)
        kept = cache_folder() / "cifar10-decoded" / f"{which}.npy"
        images = _kept(kept, (count, 3, 32, 32), digest)
        if images is None:
            images = np.concatenate([read_medxz(path, self.batch) for path in paths])
            # other content than the published one is not kept: the next reading could not tell it from a damaged cache
            if hashlib.sha256(images).hexdigest() == digest.images:
                _keep(kept, images)
        return images, labels


def _form(folder: Path) -> tuple[str, list[str]]:
    """The ending of the batches in a folder, and which files are missing for that form."""

    def lacks(ending: str) -> list[str]:
        names = [f"{name}{ending}" for name in (*_TRAIN, *_TEST)] + list(_FORMS[ending])
        return [name for name in names if not (folder / name).is_file()]

    ending = min(_FORMS, key=lambda form: len(lacks(form)))
    return ending, lacks(ending)


def _check(arrays: _Arrays, digest: Digest, path: Path, which: str) -> None:
    contents = (("images", arrays[0], digest.images), ("labels", arrays[1].astype(np.uint8), digest.labels))
    for what, array, expected in contents:
        came = hashlib.sha256(np.ascontiguousarray(array)).hexdigest()
        if came != expected:
            raise broken(
                path,
                f"holds other {what} of the {which} split than the published ones: sha256 {came} decoded",
                f"sha256 {expected}",
                "Delete its batches and get them again (`snn4 run cifar10 --download`), or read them as they are with "
                "verify=False.",
            )


def _kept(path: Path, shape: tuple[int, ...], digest: Digest) -> NDArray[np.uint8] | None:
    """The decoded images from the cache, unless they are not there or not whole."""
    try:
        with path.open("rb") as file:
            images = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape != shape:
        return None
    return images if hashlib.sha256(np.ascontiguousarray(images)).hexdigest() == digest.images else None


def _keep(path: Path, images: NDArray[np.uint8]) -> None:
    try:
        make_folder(path.parent, _ELSEWHERE)
        with atomic(path) as file:
            np.save(file, images, allow_pickle=False)
    except StorageError as cause:
        warnings.warn(
            f"The decoded images of CIFAR-10 could not be kept ({cause.came}); they will be decoded again next time. "
            "Set XDG_CACHE_HOME to a folder that can be written.",
            stacklevel=2,
        )


def _extract(archive: Path, folder: Path) -> None:
    """Copy the six batches out of the archive; nothing else in it is looked at."""
    wanted = {f"{name}.bin" for name in (*_TRAIN, *_TEST)}
    try:
        with tarfile.open(archive, "r:gz") as members:
            for member in members:
                name = member.name.rsplit("/", 1)[-1]
                content = members.extractfile(member) if name in wanted and member.isfile() else None
                if content is None:
                    continue
                with atomic(folder / name) as file:
                    while chunk := content.read(1 << 20):
                        file.write(chunk)
                wanted.discard(name)
    except (tarfile.TarError, EOFError, zlib.error) as cause:
        raise broken(archive, f"is damaged ({cause})", "a whole tar archive") from cause
    if wanted:
        raise DataFileError(f"{archive} lacks {', '.join(sorted(wanted))}", "six batches of CIFAR-10", "Delete it.")


CIFAR10 = Cifar10(
    card=Card(
        name="cifar10",
        title="CIFAR-10",
        train=50_000,
        test=10_000,
        shape=(3, 32, 32),
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        about="60 000 photographs, 32 x 32 pixels, red, green, blue, ten balanced classes, with the published split.",
        licence="no formal licence: free for research, with citation",
        citation="A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images. University of Toronto, 2009.",
        key="krizhevsky2009cifar",
        aliases=("cifar-10",),
    ),
    folders=(
        "cifar10",
        "cifar-10-batches-bin",
        "cifar-10-batches-py",
        "cifar10/cifar-10-batches-bin",
        "cifar10/cifar-10-batches-py",
    ),
    remote=Remote(
        "cifar-10-binary.tar.gz",
        ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
        "md5:c32a1d4ab5d03f1284b67883e8d87530",
        170_052_171,
    ),
    train=Digest(
        images="9d5c2eddadb0deff02c14c350c0385aab7b1d5ff1edfeb4997c8dc8644960111",
        labels="2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    ),
    test=Digest(
        images="177777c33ba79825320efa646ad04a94bdc3c80e4ebe3bd21724f8cdfd4b9d56",
        labels="cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
    ),
)
