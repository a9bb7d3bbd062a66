"""Digits: 8 x 8 handwritten digits that come with scikit-learn; there is nothing to download."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch

from snn4.core.optional import need
from snn4.data.dataset import Split
from snn4.data.sets.source import Card, Found, Source

__all__ = ["Digits"]


class Digits(Source):
    """The 1797 digits of `sklearn.datasets.load_digits`.

    Pixels are counts from 0 to 16 there and `round(count * 255 / 16)` here, so that they are scaled like other images.
    The test split is every fifth sample of each class, in the order of the set (the 5th, 10th, ...).
    """

    built_in = True
    card = Card(
        name="digits",
        title="Digits (UCI optical recognition, 8 x 8)",
        train=1442,
        test=355,
        shape=(1, 8, 8),
        classes=tuple("0123456789"),
        mean=(0.3052,),
        std=(0.3760,),
        about=(
            "1797 handwritten digits of 13 people, 8 x 8 grey values; embedded in scikit-learn. It has no split of its "
            "own: the test split is every fifth sample of each class, so both splits show the same writers."
        ),
        licence="CC BY 4.0",
        citation=(
            "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits. UCI Machine Learning Repository, 1998. "
            "https://doi.org/10.24432/C50P49"
        ),
        key="alpaydin1998digits",
    )

    def find(self, root: Path) -> Found:
        """Where its files are, by their names."""
        there = importlib.util.find_spec("sklearn") is not None
        return Found(root, () if there else ("the library scikit-learn",), "scikit-learn")

    def read(self, folder: Path, *, verify: bool) -> tuple[Split, Split]:
        """Training and test split."""
        counts, targets = need("sklearn.datasets", "for the data set digits").load_digits(return_X_y=True)
        pixels = (np.asarray(counts, np.int64) * 255 + 8) // 16
        whole = Split(
            torch.from_numpy(pixels.astype(np.uint8)).reshape(-1, 1, 8, 8),
            torch.from_numpy(np.asarray(targets, np.int64)),
        )
        one_hot = torch.nn.functional.one_hot(whole.targets, 10)
        # position of every sample inside its class, from 1
        position = (one_hot.cumsum(0) * one_hot).sum(1)
        test = position % 5 == 0
        return whole.take(torch.nonzero(~test).flatten()), whole.take(torch.nonzero(test).flatten())
