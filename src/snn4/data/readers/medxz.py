"""`.medxz`: RGB images without loss in about half the room, by median-edge prediction and xz.

The parts of the code, in the order of coding:

    planes    p0 = G, p1 = R - G, p2 = B - G
    guess     median(a, b, a + b - c), from the left (a), upper (b) and upper-left (c) neighbour in the same plane;
              on the top row b = c = a, on the left column a = c = b, in the corner all are 0
    residual  value - guess, wrapped to -128..127, stored as 2r where r >= 0 and -2r - 1 where r < 0
    bytes     [plane][image][row][column], packed with xz
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snn4.data.readers.packed import broken, unpack

__all__ = ["decode_residuals", "read_medxz"]


def read_medxz(path: str | os.PathLike[str], count: int, height: int = 32, width: int = 32) -> NDArray[np.uint8]:
    """Read one `.medxz` file.

    Args:
        path: the file.
        count: how many images it must hold.
        height, width: their size in pixels.

    Shape:
        (count, 3, height, width), uint8, channels red, green, blue.

    Raises:
        DataFileError: missing, damaged, truncated, or of another length.
    """
    path = Path(path)
    size = 3 * count * height * width
    content = unpack(path, limit=size)
    if len(content) != size:
        raise broken(path, f"has {len(content)} bytes unpacked", f"{size}: {count} images of 3 x {height} x {width}")
    return decode_residuals(np.frombuffer(content, np.uint8).reshape(3, count, height, width))


def decode_residuals(stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels from stored residuals: (3, N, H, W), planes, to (N, 3, H, W), colours. All images advance together."""
    _, count, height, width = stored.shape
    # image last: the pixels of one position lie side by side
    folded = np.ascontiguousarray(stored.transpose(2, 3, 0, 1)).astype(np.int16)
    residual = np.where(folded & 1, -(folded >> 1) - 1, folded >> 1)
    nothing = np.zeros((3, count), np.int16)
    image = np.empty((height, width, 3, count), np.uint8)
    above: list[NDArray[np.int16]] = []
    for y in range(height):
        row: list[NDArray[np.int16]] = []
        for x in range(width):
            if x and y:
                a, b = row[-1], above[x]
                guess = np.clip(a + b - above[x - 1], np.minimum(a, b), np.maximum(a, b))
            else:
                # a border has one neighbour only, and the median of three equal values is that value
                guess = row[-1] if x else above[0] if y else nothing
            value = guess + residual[y, x]
            # what was stored modulo 256 comes back through the colours, which lie in 0..255
            value[0] &= 255
            colour = image[y, x]
            colour[1] = value[0]
            colour[0] = (value[1] + value[0]) & 255
            colour[2] = (value[2] + value[0]) & 255
            value[1] = colour[0] - value[0]
            value[2] = colour[2] - value[0]
            row.append(value)
        above = row
    return np.ascontiguousarray(image.transpose(3, 2, 0, 1))
