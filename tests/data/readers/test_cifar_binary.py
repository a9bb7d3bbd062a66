from __future__ import annotations

import numpy as np
import pytest

from snn4.core.errors import DataFileError
from snn4.data.readers import read_cifar_binary


def test_records_are_a_label_and_three_planes(tmp_path):
    path = tmp_path / "data_batch_1.bin"
    first = bytes([3]) + bytes([1]) * 1024 + bytes([2]) * 1024 + bytes([4]) * 1024
    second = bytes([9]) + bytes(range(256)) * 12
    path.write_bytes(first + second)
    images, labels = read_cifar_binary(path, 2)
    assert labels.tolist() == [3, 9]
    assert labels.dtype == np.int64
    assert [np.unique(images[0, channel]).tolist() for channel in range(3)] == [[1], [2], [4]]
    # row 1 of the red plane begins at byte 32, the green plane at byte 1024 = 4 * 256
    assert images[1, 0, 1, :3].tolist() == [32, 33, 34]
    assert images[1, 1, 0, 5] == 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (bytes(3072), "has 3072 bytes: expected 6146: 2 records of 3073"),
        (bytes(6147), "more than 6146"),
        (bytes(3073) + bytes([10]) + bytes(3072), "holds the label 10 at position 1: expected labels from 0 to 9"),
    ],
)
def test_wrong_files_are_refused(content, message, tmp_path):
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(content)
    with pytest.raises(DataFileError, match=message):
        read_cifar_binary(path, 2)
