from __future__ import annotations

import hashlib
import io
import lzma
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from snn4.core.errors import DataFileError
from snn4.data import cache_folder, load
from snn4.data.readers import read_cifar_python, read_medxz
from snn4.data.sets import cifar10
from snn4.data.sets.cifar10 import CIFAR10, Cifar10, Digest
from snn4.data.sets.source import Remote

NAMES = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
# grey images: with R = G = B the residuals of two planes are 0, and the green one is easily made by hand
GREY = np.random.default_rng(0).integers(0, 256, 12, np.uint8)
LABELS = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 3, 7], np.uint8)
IMAGES = np.broadcast_to(GREY[:, None, None, None], (12, 3, 32, 32)).copy()


def sha(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


@pytest.fixture
def small() -> Cifar10:
    """CIFAR-10 as if it had been published with two images a batch."""
    return replace(
        CIFAR10,
        batch=2,
        train=Digest(sha(IMAGES[:10]), sha(LABELS[:10])),
        test=Digest(sha(IMAGES[10:]), sha(LABELS[10:])),
    )


def batches():
    for k, name in enumerate(NAMES):
        yield name, IMAGES[2 * k : 2 * k + 2].reshape(2, -1), LABELS[2 * k : 2 * k + 2]


def binary(pixels, labels) -> bytes:
    return b"".join(bytes([label]) + row.tobytes() for label, row in zip(labels, pixels, strict=True))


@pytest.fixture
def write(python_batch):
    def write(folder, form):
        folder.mkdir(parents=True, exist_ok=True)
        for name, pixels, labels in batches():
            if form == "binary":
                (folder / f"{name}.bin").write_bytes(binary(pixels, labels))
            elif form == "python":
                (folder / name).write_bytes(python_batch(pixels, [int(v) for v in labels], ["a.png"] * 2, name))
            else:
                # of a plane of one value, all but the first residual are 0
                stored = np.zeros((3, 2, 32, 32), np.uint8)
                first = (pixels[:, 0].astype(int) + 128) % 256 - 128
                stored[0, :, 0, 0] = np.where(first >= 0, 2 * first, -2 * first - 1)
                (folder / f"{name}.medxz").write_bytes(lzma.compress(stored.tobytes()))
        if form == "medxz":
            np.savez(folder / "labels.npz", y_train=LABELS[:10], y_test=LABELS[10:])

    return write


PLACES = {
    "binary": ("cifar10", "cifar-10-batches-bin", "."),
    "python": ("cifar10", "cifar-10-batches-py", "cifar10/cifar-10-batches-py"),
    "medxz": ("cifar10", "."),
}


@pytest.mark.parametrize(("form", "place"), [(form, place) for form in PLACES for place in PLACES[form]])
def test_every_form_gives_the_same_set(form, place, small, write, tmp_path):
    write(tmp_path / place, form)
    found = small.find(tmp_path)
    assert not found.missing
    train, test = small.read(found.folder, verify=True)
    assert np.array_equal(train.inputs.numpy(), IMAGES[:10])
    assert np.array_equal(test.inputs.numpy(), IMAGES[10:])
    assert train.targets.tolist() == LABELS[:10].tolist()
    assert test.targets.tolist() == [3, 7]


def test_decoded_images_are_kept_and_used(small, write, tmp_path, monkeypatch):
    write(tmp_path, "medxz")
    small.read(tmp_path, verify=True)
    kept = cache_folder() / "cifar10-decoded"
    assert sorted(path.name for path in kept.iterdir()) == ["test.npy", "train.npy"]
    monkeypatch.setattr(cifar10, "read_medxz", None)
    assert np.array_equal(small.read(tmp_path, verify=True)[0].inputs.numpy(), IMAGES[:10])


@pytest.mark.parametrize("damage", ["truncated", "changed", "another array", "a pickle"])
def test_a_damaged_cache_is_made_anew(damage, small, write, tmp_path):
    write(tmp_path, "medxz")
    small.read(tmp_path, verify=True)
    path = cache_folder() / "cifar10-decoded" / "train.npy"
    whole = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(whole[:-1])
    elif damage == "changed":
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif damage == "another array":
        np.save(path, np.zeros(3))
    else:
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    assert np.array_equal(small.read(tmp_path, verify=True)[0].inputs.numpy(), IMAGES[:10])
    assert path.read_bytes() == whole


def test_a_cache_that_cannot_be_written_costs_only_time(small, write, tmp_path, monkeypatch):
    write(tmp_path / "sets", "medxz")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="could not be kept.*XDG_CACHE_HOME"):
        train, _ = small.read(tmp_path / "sets", verify=True)
    assert np.array_equal(train.inputs.numpy(), IMAGES[:10])


@pytest.mark.parametrize("form", PLACES)
def test_another_content_is_refused_unless_it_is_asked_for(form, small, write, tmp_path):
    other = replace(small, test=Digest(sha(IMAGES[10:]), "0" * 64), train=Digest("1" * 64, sha(LABELS[:10])))
    write(tmp_path, form)
    with pytest.raises(DataFileError, match="other images of the train split.*1111.*verify=False"):
        other.read(tmp_path, verify=True)
    assert len(other.read(tmp_path, verify=False)[0]) == 10
    assert not (cache_folder() / "cifar10-decoded" / "train.npy").exists()
    with pytest.raises(DataFileError, match="other labels of the test split.*0000"):
        replace(other, train=small.train).read(tmp_path, verify=True)


def test_wrong_labels_are_refused(small, write, tmp_path):
    write(tmp_path, "medxz")
    table = tmp_path / "labels.npz"
    cases = {
        "label 11 at position 9": {"y_train": np.append(LABELS[:9], np.uint8(11)), "y_test": LABELS[10:]},
        "expected 10 labels": {"y_train": LABELS[:9], "y_test": LABELS[10:]},
        "of type float64": {"y_train": LABELS[:10].astype(float), "y_test": LABELS[10:]},
        "cannot be read": {"y_test": LABELS[10:]},
    }
    for message, arrays in cases.items():
        np.savez(table, **arrays)
        with pytest.raises(DataFileError, match=message):
            small.read(tmp_path, verify=False)
    for content in (b"", b"garbage", b"PK\x03\x04garbage"):
        table.write_bytes(content)
        with pytest.raises(DataFileError, match=r"labels\.npz (cannot be read|is empty)"):
            small.read(tmp_path, verify=False)
    np.save(tmp_path / "array", LABELS)
    (tmp_path / "array.npy").rename(table)
    with pytest.raises(DataFileError, match=r"labels\.npz cannot be read"):
        small.read(tmp_path, verify=False)
    np.savez(table, y_train=np.array([{}] * 10), y_test=LABELS[10:], allow_pickle=True)
    with pytest.raises(DataFileError, match=r"labels\.npz cannot be read"):
        small.read(tmp_path, verify=False)


def archive(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        link = tarfile.TarInfo("elsewhere/data_batch_1.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def remote(content: bytes, server) -> Remote:
    server.content = content
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return Remote("cifar-10-binary.tar.gz", (server.address,), f"md5:{digest}", len(content))


def test_the_archive_is_downloaded_and_only_its_batches_are_taken(small, server, tmp_path):
    members = {f"cifar-10-batches-bin/{name}.bin": binary(pixels, labels) for name, pixels, labels in batches()}
    members["../../outside.bin"] = b"x"
    members["cifar-10-batches-bin/readme.html"] = b"x"
    source = replace(small, remote=remote(archive(members), server))
    root = tmp_path / "a" / "b"
    source.fetch(root, progress=False)
    assert [path.name for path in root.iterdir()] == ["cifar-10-batches-bin"]
    assert sorted(p.name for p in (root / "cifar-10-batches-bin").iterdir()) == sorted(f"{name}.bin" for name in NAMES)
    assert not (tmp_path / "outside.bin").exists()
    train, _ = source.read(source.find(root).folder, verify=True)
    assert np.array_equal(train.inputs.numpy(), IMAGES[:10])


def test_an_archive_that_lacks_a_batch_is_refused(small, server, tmp_path):
    content = archive({"cifar-10-batches-bin/test_batch.bin": b"x"})
    with pytest.raises(DataFileError, match=r"lacks data_batch_1\.bin"):
        replace(small, remote=remote(content, server)).fetch(tmp_path, progress=False)
    with pytest.raises(DataFileError, match="is damaged"):
        replace(small, remote=remote(content[:-30], server)).fetch(tmp_path, progress=False)


def test_the_real_test_batch_in_two_forms(real_data, python_batch, tmp_path):
    folder = real_data / "cifar10"
    if not (folder / "test_batch.medxz").is_file():
        pytest.skip("reads the .medxz form of CIFAR-10, which is not in this data folder")
    images = read_medxz(folder / "test_batch.medxz", 10_000)
    published = "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04"
    assert sha(images.transpose(0, 2, 3, 1)) == published
    with np.load(folder / "labels.npz") as members:
        labels = [int(label) for label in members["y_test"]]
    files = lzma.open(folder / "filenames.txt.xz").read().decode().split()[50_000:]
    # the published python batch, byte for byte: its md5 says so
    batch = python_batch(images.reshape(10_000, 3072), labels, files, "testing batch 1 of 1")
    assert hashlib.md5(batch, usedforsecurity=False).hexdigest() == "40351d587109b95175f43aff81a1287e"
    path = tmp_path / "test_batch"
    path.write_bytes(batch)
    read, targets = read_cifar_python(path, 10_000)
    assert np.array_equal(read, images)
    assert targets.tolist() == labels


@pytest.mark.slow
def test_the_whole_real_set(real_data):
    data = load("cifar10", real_data)
    assert (len(data.train), len(data.test)) == (50_000, 10_000)
    assert data.train.targets.bincount().tolist() == [5000] * 10
    assert data.test.targets.bincount().tolist() == [1000] * 10
    pixels = data.train.inputs.double() / 255
    assert pixels.mean((0, 2, 3)).tolist() == pytest.approx(data.mean, abs=1e-4)
    assert pixels.std((0, 2, 3)).tolist() == pytest.approx(data.std, abs=1e-4)
