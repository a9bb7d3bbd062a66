from __future__ import annotations

import numpy as np
import pytest
import torch

from snn4.core import optional
from snn4.core.errors import MissingLibraryError
from snn4.data import load


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def test_the_two_splits_are_the_set_of_scikit_learn(digits):
    from sklearn.datasets import load_digits

    counts, labels = load_digits(return_X_y=True)
    seen: dict[int, int] = {}
    parts = {True: ([], []), False: ([], [])}
    for image, label in zip(counts, labels, strict=True):
        seen[int(label)] = seen.get(int(label), 0) + 1
        images, targets = parts[seen[int(label)] % 5 == 0]
        images.append(np.floor(image * 255 / 16 + 0.5).reshape(1, 8, 8))
        targets.append(int(label))
    for split, chosen in ((digits.train, False), (digits.test, True)):
        assert np.array_equal(split.inputs.numpy(), np.array(parts[chosen][0]))
        assert split.targets.tolist() == parts[chosen][1]


def test_sizes_types_and_scale(digits):
    assert (len(digits.train), len(digits.test)) == (1442, 355)
    assert digits.train.inputs.dtype == torch.uint8
    assert digits.train.inputs.shape[1:] == (1, 8, 8)
    # 17 counts, each its own grey value
    assert len(digits.train.inputs.unique()) == 17
    assert digits.train.inputs.max() == 255
    pixels = digits.train.inputs.double() / 255
    assert pixels.mean().item() == pytest.approx(digits.mean[0], abs=5e-5)
    assert pixels.std(correction=0).item() == pytest.approx(digits.std[0], abs=5e-5)


def test_every_class_gives_a_fifth(digits):
    train, test = digits.train.targets.bincount(), digits.test.targets.bincount()
    assert torch.equal(test, (train + test) // 5)


def test_without_scikit_learn_the_error_says_how_to_get_it(monkeypatch):
    def absent(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(optional.importlib, "import_module", absent)
    with pytest.raises(MissingLibraryError, match="snn4\\[data\\]"):
        load("digits")
