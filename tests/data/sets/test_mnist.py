from __future__ import annotations

import gzip
import hashlib
import lzma
from dataclasses import replace

import numpy as np
import pytest
import torch

from snn4.core.errors import DataFileError
from snn4.data import available, load
from snn4.data.sets import catalogue
from snn4.data.sets.mnist import FASHION, MNIST, IdxImages
from snn4.data.sets.source import Remote

PARTS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
GENERATOR = np.random.default_rng(0)
ARRAYS = {
    "train-images-idx3": GENERATOR.integers(0, 256, (5, 28, 28), np.uint8),
    "train-labels-idx1": np.array([3, 1, 4, 1, 5], np.uint8),
    "t10k-images-idx3": GENERATOR.integers(0, 256, (2, 28, 28), np.uint8),
    "t10k-labels-idx1": np.array([9, 2], np.uint8),
}


@pytest.fixture
def small(idx) -> IdxImages:
    """MNIST as if it had been published with seven images."""
    md5 = {part: hashlib.md5(idx(array), usedforsecurity=False).hexdigest() for part, array in ARRAYS.items()}
    return replace(MNIST, md5=md5)


def write(folder, idx, name="{part}-ubyte", pack=bytes, arrays=ARRAYS):
    folder.mkdir(parents=True, exist_ok=True)
    for part, array in arrays.items():
        stem, kind = part.rsplit("-", 1)
        (folder / name.format(part=part, stem=stem, kind=kind)).write_bytes(pack(idx(array)))


@pytest.mark.parametrize("place", ["mnist", "MNIST/raw", "."])
@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("{part}-ubyte", bytes),
        ("{stem}.{kind}-ubyte", bytes),
        ("{part}-ubyte.gz", gzip.compress),
        ("{stem}.{kind}-ubyte.xz", lzma.compress),
    ],
)
def test_every_usual_name_and_place_is_found(place, name, pack, small, idx, tmp_path):
    write(tmp_path / place, idx, name, pack)
    found = small.find(tmp_path)
    assert not found.missing
    train, test = small.read(found.folder, verify=True)
    assert train.inputs.shape == (5, 1, 28, 28)
    assert np.array_equal(train.inputs[:, 0].numpy(), ARRAYS["train-images-idx3"])
    assert train.targets.tolist() == [3, 1, 4, 1, 5]
    assert np.array_equal(test.inputs[:, 0].numpy(), ARRAYS["t10k-images-idx3"])
    assert test.targets.tolist() == [9, 2]
    assert test.inputs.dtype == torch.uint8


def test_another_content_is_refused_unless_it_is_asked_for(small, idx, tmp_path):
    write(tmp_path / "mnist", idx, arrays=ARRAYS | {"train-images-idx3": np.zeros((5, 28, 28), np.uint8)})
    with pytest.raises(
        DataFileError, match="train-images-idx3-ubyte has other content than the published.*verify=False"
    ):
        small.read(tmp_path / "mnist", verify=True)
    assert len(small.read(tmp_path / "mnist", verify=False)[0]) == 5
    with pytest.raises(DataFileError, match="those there are of another set.*snn4 run mnist --download"):
        load("mnist", tmp_path)
    assert len(load("mnist", tmp_path, verify=False).train) == 5


WRONG = {
    "a label above 9": ({"train-labels-idx1": np.array([3, 1, 10, 1, 5], np.uint8)}, "label 10 at position 2"),
    "too few labels": ({"train-labels-idx1": np.array([3, 1], np.uint8)}, "shape \\(2,\\): expected 5 labels"),
    "another size": ({"t10k-images-idx3": np.zeros((2, 27, 28), np.uint8)}, "images of \\(27, 28\\) pixels"),
    "no images": ({"t10k-images-idx3": np.zeros((0, 28, 28), np.uint8)}, "holds 0 images"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_content_is_refused_also_unverified(case, idx, tmp_path):
    changed, message = WRONG[case]
    write(tmp_path / "mnist", idx, arrays=ARRAYS | changed)
    with pytest.raises(DataFileError, match=message):
        load("mnist", tmp_path, verify=False)


def test_a_damaged_file_says_which_and_what_to_do(idx, tmp_path):
    write(tmp_path / "mnist", idx)
    path = tmp_path / "mnist" / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataFileError, match="Delete it and get it again. `snn4 run mnist --download`") as refusal:
        load("mnist", tmp_path, verify=False)
    assert str(path) in str(refusal.value)


def test_a_missing_file_is_named(idx, tmp_path):
    write(tmp_path / "mnist", idx)
    (tmp_path / "mnist" / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataFileError, match=r"missing: train-labels-idx1-ubyte\)"):
        load("mnist", tmp_path)


def test_the_kin_of_a_set_is_not_mistaken_for_it(small, idx, tmp_path):
    write(tmp_path, idx)
    assert small.recognise(tmp_path)
    assert not FASHION.recognise(tmp_path)
    row = next(row for row in available(tmp_path) if row.card.name == "fashion")
    assert not row.found
    assert "those there are of another set" in row.missing[0]
    with pytest.raises(DataFileError, match="Fashion-MNIST was not found"):
        load("fashion", tmp_path)


def test_what_is_missing_is_downloaded_and_then_read(small, idx, server, tmp_path):
    remotes = []
    for part, array in ARRAYS.items():
        packed = gzip.compress(idx(array))
        server.files[f"{part}-ubyte.gz"] = packed
        digest = hashlib.md5(packed, usedforsecurity=False).hexdigest()
        remotes.append(Remote(f"{part}-ubyte.gz", (f"{server.address}{part}-ubyte.gz",), f"md5:{digest}", len(packed)))
    source = replace(small, remotes=tuple(remotes))
    source.fetch(tmp_path, progress=False)
    assert sorted(path.name for path in (tmp_path / "mnist").iterdir()) == sorted(f"{part}-ubyte.gz" for part in PARTS)
    train, _ = source.read(source.find(tmp_path).folder, verify=True)
    assert train.targets.tolist() == [3, 1, 4, 1, 5]
    source.fetch(tmp_path, progress=False)
    assert len(server.asked) == 4


def test_load_downloads_only_when_it_is_asked_to(small, idx, server, tmp_path, monkeypatch):
    fetched = []
    monkeypatch.setattr(catalogue, "_SOURCES", {"mnist": small})

    def fetch(self, root, *, progress=True):
        fetched.append((root, progress))
        write(root / "mnist", idx)

    monkeypatch.setattr(IdxImages, "fetch", fetch)
    # its kin lies in the data folder itself
    write(tmp_path, idx, arrays=ARRAYS | {"t10k-labels-idx1": np.array([0, 0], np.uint8)})
    with pytest.raises(DataFileError, match="of another set"):
        load("mnist", tmp_path)
    assert fetched == []
    assert len(load("mnist", tmp_path, download=True, progress=False).train) == 5
    assert fetched == [(tmp_path, False)]
    load("mnist", tmp_path, download=True)
    assert len(fetched) == 1


@pytest.mark.parametrize("source", [MNIST, FASHION], ids=lambda source: source.card.name)
def test_every_file_has_two_addresses_and_a_checksum(source):
    assert [remote.name for remote in source.remotes] == [f"{part}-ubyte.gz" for part in PARTS]
    for remote in source.remotes:
        assert len(remote.urls) == 2
        assert all(url.endswith(f"/{remote.name}") for url in remote.urls)
        assert len(remote.checksum) == len("md5:") + 32
        assert remote.size
    assert set(source.md5) == set(PARTS)


@pytest.mark.parametrize("name", ["mnist", "fashion"])
def test_the_real_set(name, real_data):
    data = load(name, real_data)
    assert (len(data.train), len(data.test)) == (60_000, 10_000)
    pixels = data.train.inputs.double() / 255
    assert pixels.mean().item() == pytest.approx(data.mean[0], abs=1e-4)
    assert pixels.std().item() == pytest.approx(data.std[0], abs=1e-4)
    totals = (data.train.targets.bincount() + data.test.targets.bincount()).tolist()
    counts = {"mnist": [6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958], "fashion": [7000] * 10}
    assert totals == counts[name]
