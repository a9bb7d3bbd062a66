from __future__ import annotations

import pytest
import torch

from snn4.core.errors import OptionError, ShapeError
from snn4.data import DataSet, Split

CASES = {
    "lengths": (torch.zeros(3, 2), torch.zeros(2, dtype=torch.int64), "inputs of shape \\(3, 2\\) and 2 targets"),
    "type of targets": (torch.zeros(3, 2), torch.zeros(3), "type float32"),
    "rank of targets": (torch.zeros(3, 2), torch.zeros(3, 1, 1, dtype=torch.int64), "shape \\(3, 1, 1\\)"),
    "type of inputs": (torch.zeros(3, 2, dtype=torch.int32), torch.zeros(3, dtype=torch.int64), "type int32"),
    "no features": (torch.zeros(3), torch.zeros(3, dtype=torch.int64), "features"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_split_refuses_what_does_not_belong_together(case):
    inputs, targets, message = CASES[case]
    with pytest.raises(ShapeError, match=message):
        Split(inputs, targets)


def test_take_copies_in_the_order_asked_for():
    split = Split(torch.arange(6.0).reshape(3, 2), torch.tensor([5, 6, 7]))
    taken = split.take([2, 0, 2])
    assert taken.inputs.tolist() == [[4, 5], [0, 1], [4, 5]]
    assert taken.targets.tolist() == [7, 5, 7]
    taken.inputs.zero_()
    assert split.inputs.sum() == 15
    assert len(split.take([])) == 0


def test_a_data_set_prints_what_it_is():
    split = Split(torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64))
    text = repr(DataSet("toy", split, split, ("a", "b"), (0.0,), (1.0,)))
    assert text == "DataSet(toy: 3 train, 3 test, (2,) float32, 2 classes)"


def test_take_knows_a_mask_and_refuses_what_names_no_sample():
    split = Split(torch.arange(10.0)[:, None], torch.arange(10) % 3)
    for mask in (split.targets == 2, (split.targets == 2).tolist(), (split.targets == 2).numpy()):
        assert split.take(mask).inputs.flatten().tolist() == [2, 5, 8]
    assert split.take([]).inputs.shape == (0, 1)
    assert split.take([-1]).inputs.item() == 9
    for wrong in ([True, False], [0.0, 1.0], [10], [-11]):
        with pytest.raises(OptionError, match="places from 0 to 9, or a mask of 10"):
            split.take(wrong)
