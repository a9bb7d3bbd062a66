"""Yin-Yang: its definition by hand, its published splits number for number, and damaged files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snn4.core.errors import DataFileError, OptionError
from snn4.data import load, yin_yang
from snn4.data.sets.yin_yang import _classes


@pytest.mark.parametrize(
    ("x", "y", "label"),
    [
        (0.25, 0.5, 2),
        (0.75, 0.59, 2),
        (0.25, 0.7, 1),
        (0.75, 0.7, 0),
        (0.5, 0.95, 1),
        (0.5, 0.05, 0),
        (0.1, 0.4, 1),
        (0.9, 0.6, 0),
        (0.01, 0.01, -1),
    ],
)
def test_classes_of_points_by_hand(x, y, label):
    assert _classes(np.array([[x, y]]))[0] == label


def test_the_computed_splits_are_those_of_the_publication(tmp_path):
    data = load("yinyang", tmp_path)
    # counts and first sample as the publication has them
    assert data.train.targets.bincount().tolist() == [1681, 1702, 1617]
    assert data.validation.targets.bincount().tolist() == [316, 336, 348]
    assert data.test.targets.bincount().tolist() == [350, 316, 334]
    assert torch.allclose(data.train.inputs[:, 0] + data.train.inputs[:, 2], torch.ones(5000))
    # the first draws of numpy's seed 42: randint(3) is 2, points until one is in a dot
    numbers = np.random.RandomState(42)
    assert numbers.randint(3) == 2
    point = numbers.rand(2)
    while min(np.hypot(point[0] - 0.25, point[1] - 0.5), np.hypot(point[0] - 0.75, point[1] - 0.5)) >= 0.1:
        point = numbers.rand(2)
    assert data.train.inputs[0, :2].tolist() == pytest.approx(point.tolist(), abs=1e-7)
    assert data.train.targets[0] == 2


def test_a_file_is_read_where_there_is_one(tmp_path):
    whole = load("yinyang", tmp_path)
    arrays = {}
    for name, split in (("train", whole.train), ("val", whole.validation), ("test", whole.test)):
        arrays |= {f"x_{name}": split.inputs.double().numpy(), f"y_{name}": split.targets.numpy().astype(np.uint8)}
    folder = tmp_path / "yin-yang"
    folder.mkdir()
    np.savez(folder / "yin_yang_publication.npz", **arrays)
    again = load("yinyang", tmp_path)
    assert torch.equal(again.train.inputs, whole.train.inputs)
    assert again.test.targets.dtype == torch.int64
    arrays["y_test"][0] = (arrays["y_test"][0] + 1) % 3
    np.savez(folder / "yin_yang_publication.npz", **arrays)
    with pytest.raises(DataFileError, match="other points"):
        load("yinyang", tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nothing", b"\x80\x04N."])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "yin_yang_publication.npz").write_bytes(content)
    with pytest.raises(DataFileError, match="cannot be read"):
        load("yinyang", tmp_path)


def test_fresh_samples_follow_their_generator_and_the_definition():
    one, two = (yin_yang(300, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one.inputs, two.inputs)
    assert np.array_equal(_classes(one.inputs[:, :2].double().numpy()), one.targets.numpy())
    assert min(one.targets.bincount(minlength=3)) > 70
    with pytest.raises(OptionError):
        yin_yang(0, torch.Generator())
