from __future__ import annotations

import pickletools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snn4.core.errors import DataFileError
from snn4.data.readers import read_cifar_python

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 3072), np.uint8)
FILES = ["a.png", "b.png", "c.png"]


@pytest.fixture
def whole(python_batch):
    return python_batch(PIXELS, [6, 9, 0], FILES, "training batch 1 of 5")


def test_a_batch_is_read(whole, tmp_path):
    path = tmp_path / "data_batch_1"
    path.write_bytes(whole)
    images, labels = read_cifar_python(path, 3)
    assert images.shape == (3, 3, 32, 32)
    assert np.array_equal(images.reshape(3, 3072), PIXELS)
    assert labels.tolist() == [6, 9, 0]
    images[:] = 0


def test_nothing_of_a_file_is_run(tmp_path):
    path = tmp_path / "data_batch_1"
    mark = tmp_path / "ran"
    command = f"touch {mark}".encode()
    programs = [
        b"cos\nsystem\n(S'" + command + b"'\ntR.",
        b"\x80\x02cposix\nsystem\nU" + bytes([len(command)]) + command + b"\x85R.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c" + bytes([len(command)]) + command + b"\x85R.",
        b"\x80\x02}(U\x04dataU\x01xU\x06labelscbuiltins\nopen\nU" + bytes([len(command)]) + command + b"\x85Ru.",
    ]
    for program in programs:
        path.write_bytes(program)
        with pytest.raises(DataFileError, match="Nothing in it was run"):
            read_cifar_python(path, 3)
    assert not mark.exists()


CASES = {
    "empty": (lambda b: b"", "is empty"),
    "truncated": (lambda b: b[:-100], "is not a batch of CIFAR-10"),
    "no end": (lambda b: b[:-1], "is not a batch of CIFAR-10"),
    "text": (lambda b: b"<html>", "is not a batch of CIFAR-10"),
    "another function": (lambda b: b.replace(b"_reconstruct\n", b"_rec0nstruct\n"), "names 'numpy.core.multi"),
    "another class": (lambda b: b.replace(b"ndarray\n", b"memmap0\n"), "it names 'numpy memmap0'"),
    "another type": (lambda b: b.replace(b"U\x02u1", b"U\x02i1"), "'data' other than"),
    "another shape": (lambda b: b.replace(b"K\x03M\x00\x0c", b"K\x04M\x00\x0c"), "'data' other than"),
    "column order": (lambda b: b.replace(b"tb\x89T", b"tb\x88T"), "'data' other than"),
    "no data": (lambda b: b.replace(b"U\x04data", b"U\x04dat0"), "does not hold a dictionary"),
    "not a dictionary": (lambda b: b"\x80\x02]q\x01.", "does not hold a dictionary"),
    "a label above 9": (lambda b: b.replace(b"(K\x06K\x09", b"(K\x06K\x0a"), "label 10 at position 1"),
    "a label that is text": (lambda b: b.replace(b"(K\x06K\x09K\x00e", b"(K\x06K\x09U\x010e"), "'labels' other than"),
    "too few labels": (lambda b: b.replace(b"(K\x06K\x09K\x00e", b"(K\x06K\x09e"), "expected 3 labels"),
}


@pytest.mark.parametrize("case", CASES)
def test_anything_else_is_refused(case, whole, tmp_path):
    change, message = CASES[case]
    changed = change(whole)
    assert changed != whole
    path = tmp_path / "data_batch_1"
    path.write_bytes(changed)
    with pytest.raises(DataFileError, match=message):
        read_cifar_python(path, 3)


def test_another_count_is_refused(whole, tmp_path):
    path = tmp_path / "data_batch_1"
    path.write_bytes(whole)
    with pytest.raises(DataFileError, match="a numpy array of 4 x 3072 bytes"):
        read_cifar_python(path, 4)


CODES = sorted(code.code.encode("latin-1") for code in pickletools.opcodes)


@settings(max_examples=300)
@given(st.lists(st.sampled_from(CODES) | st.binary(max_size=4), max_size=30).map(b"".join))
def test_no_program_does_more_than_be_refused(program):
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(program)
        file.flush()
        with pytest.raises(DataFileError):
            read_cifar_python(file.name, 3)
