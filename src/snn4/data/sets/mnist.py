"""MNIST and its kin: four IDX files, images and labels of a training and a test split."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from snn4.core.errors import DataFileError
from snn4.data.dataset import Split
from snn4.data.readers.idx import read_idx
from snn4.data.readers.labels import check_labels
from snn4.data.readers.packed import broken, unpack
from snn4.data.sets.source import Card, Found, Remote, Source, find_in

__all__ = ["FASHION", "MNIST", "IdxImages"]

_PARTS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


@dataclass(frozen=True)
class IdxImages(Source):
    """A data set in the four files of MNIST: `train-images-idx3-ubyte` and so on.

    A file may also be named with a dot (`train-images.idx3-ubyte`), as some unpackers do, and be packed (`.gz`, `.xz`).

    Args:
        card: what it is.
        folders: sub-folders of the data folder that it may lie in.
        md5: checksum of every file, unpacked.
        remotes: where the files can be downloaded, into the first of `folders`.
    """

    card: Card
    folders: tuple[str, ...]
    md5: Mapping[str, str]
    remotes: tuple[Remote, ...] = ()

    def find(self, root: Path) -> Found:
        """Where its files are, by their names."""
        return find_in(
            root,
            (*self.folders, "."),
            lambda folder: [f"{part}-ubyte" for part in _PARTS if _path(folder, part) is None],
        )

    def recognise(self, folder: Path) -> bool:
        """Whether the smallest of the files, whose names all kin share, has the right content."""
        path = _path(folder, _PARTS[3])
        if path is None:
            return False
        try:
            content = unpack(path, limit=1 << 24)
        except DataFileError:
            # damaged, but whose else; reading it will say so
            return True
        return hashlib.md5(content, usedforsecurity=False).hexdigest() == self.md5[_PARTS[3]]

    def read(self, folder: Path, *, verify: bool) -> tuple[Split, Split]:
        """Training and test split."""
        train, test = (self._split(folder, *pair, verify) for pair in (_PARTS[:2], _PARTS[2:]))
        return train, test

    def fetch(self, root: Path, *, progress: bool = True) -> None:
        """Download what is missing."""
        from snn4.data.download import fetch

        if not self.remotes:
            super().fetch(root, progress=progress)
        folder = root / self.folders[0]
        for remote in self.remotes:
            fetch(remote, folder, progress=progress)

    def _split(self, folder: Path, images: str, labels: str, verify: bool) -> Split:
        paths = _path(folder, images), _path(folder, labels)
        if paths[0] is None or paths[1] is None:
            raise broken(folder, "does not hold the data set", f"{images}-ubyte and {labels}-ubyte", "Put them there.")
        pixels = read_idx(paths[0], 3, md5=self.md5[images] if verify else None)
        classes = read_idx(paths[1], 1, md5=self.md5[labels] if verify else None)
        if pixels.shape[1:] != self.card.shape[1:] or not len(pixels):
            expected = f"at least one, of {self.card.shape[1:]} pixels"
            raise broken(paths[0], f"holds {len(pixels)} images of {pixels.shape[1:]} pixels", expected)
        targets = check_labels(classes, len(pixels), len(self.card.classes), paths[1])
        return Split(torch.from_numpy(pixels).unsqueeze(1), torch.from_numpy(targets))


def _path(folder: Path, part: str) -> Path | None:
    """The file of `part` under any of its names; the one that is fastest to read first."""
    stem, kind = part.rsplit("-", 1)
    names = (f"{stem}{dash}{kind}-ubyte{packing}" for packing in ("", ".gz", ".xz") for dash in "-.")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _remotes(addresses: tuple[str, ...], checksums: tuple[str, ...], sizes: tuple[int, ...]) -> tuple[Remote, ...]:
    names = [f"{part}-ubyte.gz" for part in _PARTS]
    return tuple(
        Remote(name, tuple(address + name for address in addresses), f"md5:{checksum}", size)
        for name, checksum, size in zip(names, checksums, sizes, strict=True)
    )


MNIST = IdxImages(
    card=Card(
        name="mnist",
        title="MNIST",
        train=60_000,
        test=10_000,
        shape=(1, 28, 28),
        classes=tuple("0123456789"),
        mean=(0.1307,),
        std=(0.3081,),
        about="70 000 handwritten digits, 28 x 28 grey values, with the published split.",
        licence="CC BY-SA 3.0",
        citation=(
            "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition. "
            "Proceedings of the IEEE 86(11), 2278-2324, 1998."
        ),
        key="lecun1998gradient",
    ),
    folders=("mnist", "MNIST", "MNIST/raw"),
    md5=dict(
        zip(
            _PARTS,
            (
                "6bbc9ace898e44ae57da46a324031adb",
                "a25bea736e30d166cdddb491f175f624",
                "2646ac647ad5339dbf082846283269ea",
                "27ae3e4e09519cfbb04c329615203637",
            ),
            strict=True,
        )
    ),
    remotes=_remotes(
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        (
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
        (9_912_422, 28_881, 1_648_877, 4_542),
    ),
)

FASHION = IdxImages(
    card=Card(
        name="fashion",
        title="Fashion-MNIST",
        train=60_000,
        test=10_000,
        shape=(1, 28, 28),
        classes=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        mean=(0.2860,),
        std=(0.3530,),
        about="70 000 articles of clothing, 28 x 28 grey values, ten balanced classes, with the published split.",
        licence="MIT",
        citation=(
            "H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning "
            "Algorithms. arXiv:1708.07747, 2017."
        ),
        key="xiao2017fashion",
        aliases=("fashion-mnist", "fashionmnist"),
    ),
    folders=("fashion-mnist", "fashion", "FashionMNIST", "FashionMNIST/raw"),
    md5=dict(
        zip(
            _PARTS,
            (
                "f4a8712d7a061bf5bd6d2ca38dc4d50a",
                "9018921c3c673c538a1fc5bad174d6f9",
                "8181f5470baa50b63fa0f6fddb340f0a",
                "15d484375f8d13e6eb1aabb0c3f46965",
            ),
            strict=True,
        )
    ),
    remotes=_remotes(
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
        (26_421_880, 29_515, 4_422_102, 5_148),
    ),
)
