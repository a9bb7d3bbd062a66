from __future__ import annotations

import gzip
import hashlib
import lzma

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snn4.core.errors import DataFileError
from snn4.data.readers import read_idx
from snn4.data.readers.packed import unpack

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
PACKINGS = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("name", ["images", "images.gz"])
def test_every_packing_is_read_whatever_the_name(packing, name, idx, tmp_path):
    path = tmp_path / name
    path.write_bytes(PACKINGS[packing](idx(IMAGES)))
    digest = hashlib.md5(idx(IMAGES), usedforsecurity=False).hexdigest()
    read = read_idx(path, 3, md5=digest)
    assert read.dtype == np.uint8
    assert np.array_equal(read, IMAGES)
    read[:] = 0


def test_the_header_is_the_one_of_the_format(tmp_path):
    # 2049 for labels: three labels 5, 0, 4, as the published file begins
    path = tmp_path / "labels"
    path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
    assert read_idx(path, 1).tolist() == [5, 0, 4]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 39))
def test_no_part_of_a_file_passes_for_the_whole(cut, idx, tmp_path_factory):
    whole = idx(IMAGES)
    path = tmp_path_factory.mktemp("cut") / "images"
    path.write_bytes(whole[:cut])
    with pytest.raises(DataFileError, match="Delete it"):
        read_idx(path, 3)


@pytest.mark.parametrize("packing", [".gz", ".xz"])
def test_truncated_and_damaged_packings_are_refused(packing, idx, tmp_path):
    generator = np.random.default_rng(0)
    whole = PACKINGS[packing](idx(generator.integers(0, 256, (20, 8, 8), np.uint8)))
    path = tmp_path / f"images{packing}"
    for content in (whole[: len(whole) // 2], whole[:-1], whole[:40] + b"\x00\xff\x00" + whole[43:]):
        path.write_bytes(content)
        with pytest.raises(DataFileError, match="truncated|damaged|cannot be read"):
            read_idx(path, 3)


GARBAGE = {
    "empty": (b"", "is empty"),
    "text": (b"<!DOCTYPE html> not found", "begins with the bytes 3c 21 44 4f"),
    "garbage behind a gzip head": (b"\x1f\x8b" + b"\x07" * 60, "cannot be read|damaged"),
    "garbage behind an xz head": (b"\xfd7zXZ\x00" + b"\x07" * 60, "damaged"),
    "floating point": (bytes([0, 0, 13, 3]) + bytes(60), "expected an IDX file of bytes with 3 axes: 00 00 08 03"),
    "labels": (bytes([0, 0, 8, 1]) + bytes(60), "00 00 08 01"),
    "only the magic": (bytes([0, 0, 8, 3]), "4 bytes unpacked"),
    "one byte more": (bytes([0, 0, 8, 3]) + bytes([0, 0, 0, 1] * 3) + bytes(2), "has 18 bytes unpacked: expected 17"),
    "a huge promise": (bytes([0, 0, 8, 3]) + b"\xff" * 12 + bytes(9), "4294967295"),
}


@pytest.mark.parametrize("case", GARBAGE)
def test_garbage_is_refused_with_what_came_and_what_was_expected(case, tmp_path):
    content, message = GARBAGE[case]
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(DataFileError, match=message) as refusal:
        read_idx(path, 3)
    assert str(path) in str(refusal.value)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(DataFileError, match="is not there"):
        read_idx(tmp_path / "absent", 3)
    with pytest.raises(DataFileError, match="cannot be read"):
        read_idx(tmp_path, 3)


def test_another_content_is_told_from_the_published_one(idx, tmp_path):
    path = tmp_path / "images"
    path.write_bytes(idx(IMAGES))
    with pytest.raises(DataFileError, match=f"md5 {'0' * 32}") as refusal:
        read_idx(path, 3, md5="0" * 32)
    assert hashlib.md5(idx(IMAGES), usedforsecurity=False).hexdigest() in str(refusal.value)


@pytest.mark.parametrize("pack", PACKINGS.values())
def test_a_small_file_cannot_unpack_to_a_large_one(pack, tmp_path):
    path = tmp_path / "bomb"
    path.write_bytes(pack(bytes(1 << 22)))
    with pytest.raises(DataFileError, match="more than 1000000 bytes"):
        unpack(path, limit=1_000_000)
    assert len(unpack(path, limit=1 << 22)) == 1 << 22
