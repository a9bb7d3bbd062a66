from __future__ import annotations

import lzma

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from snn4.core.errors import DataFileError
from snn4.data.readers.medxz import decode_residuals, read_medxz


def encode(images: np.ndarray) -> np.ndarray:
    """Residuals (3, N, H, W) of images (N, 3, H, W), one pixel after the other, from the description of the code."""
    count, _, height, width = images.shape
    stored = np.zeros((3, count, height, width), np.uint8)
    for n in range(count):
        red, green, blue = images[n].astype(int)
        for plane, values in enumerate((green, red - green, blue - green)):
            for y in range(height):
                for x in range(width):
                    left = int(values[y, x - 1]) if x else None
                    upper = int(values[y - 1, x]) if y else None
                    if left is None and upper is None:
                        guess = 0
                    elif left is None or upper is None:
                        guess = upper if left is None else left
                    else:
                        corner = int(values[y - 1, x - 1])
                        guess = sorted((left, upper, left + upper - corner))[1]
                    residual = (int(values[y, x]) - guess + 128) % 256 - 128
                    stored[plane, n, y, x] = 2 * residual if residual >= 0 else -2 * residual - 1
    return stored


@settings(max_examples=30)
@given(arrays(np.uint8, st.tuples(st.just(2), st.just(3), st.integers(1, 5), st.integers(1, 5))))
def test_decoding_undoes_encoding(images):
    assert np.array_equal(decode_residuals(encode(images)), images)


def test_hand_worked_image():
    # G = 10 12 / 7 30, R - G = -10 0 / 0 0, B - G = 0 0 / 0 225
    image = np.array([[[0, 12], [7, 30]], [[10, 12], [7, 30]], [[10, 12], [7, 255]]], np.uint8)[None]
    # G: 10 - 0, 12 - 10, 7 - 10, 30 - median(7, 12, 9) = 21; R - G: -10, 0 - -10, 0 - -10, 0 - median(0, 0, 10);
    # B - G: 225 wraps to -31
    stored = [[[20, 4], [5, 42]], [[19, 20], [20, 0]], [[0, 0], [0, 61]]]
    assert encode(image)[:, 0].tolist() == stored
    assert np.array_equal(decode_residuals(np.array(stored, np.uint8)[:, None]), image)


def test_files_are_read_and_wrong_ones_refused(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 4, 5), np.uint8)
    path = tmp_path / "batch.medxz"
    path.write_bytes(lzma.compress(encode(images).tobytes()))
    assert np.array_equal(read_medxz(path, 3, 4, 5), images)
    with pytest.raises(DataFileError, match="has 180 bytes unpacked: expected 240: 4 images"):
        read_medxz(path, 4, 4, 5)
    with pytest.raises(DataFileError, match="more than 120 bytes"):
        read_medxz(path, 2, 4, 5)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataFileError, match="truncated or damaged"):
        read_medxz(path, 3, 4, 5)
