"""The checks at the doors."""

from __future__ import annotations

import pytest
import torch

from snn4 import NotFiniteError, ShapeError
from snn4.core.checks import check_finite, check_sequence


@pytest.mark.parametrize("features", [None, 1, 2, 3, 4])
def test_the_right_rank_passes(features):
    rank = 3 if features is None else 2 + features
    check_sequence("It", torch.zeros([2] * rank), features)
    if features is None:
        check_sequence("It", torch.zeros(2, 2, 2, 2, 2, 2), None)


@pytest.mark.parametrize(("features", "axes"), [(1, "(T, B, C)"), (2, "(T, B, C, L)"), (3, "(T, B, C, H, W)")])
def test_a_missing_time_axis_is_told(features, axes):
    with pytest.raises(ShapeError) as caught:
        check_sequence("It", torch.zeros([2] * (1 + features)), features)
    assert f"expected {axes}. Is the time axis missing? snn4.data.repeat(x, steps=8) adds it." in str(caught.value)


def test_too_many_axes_are_told():
    with pytest.raises(ShapeError, match="Time comes first, then the batch"):
        check_sequence("It", torch.zeros(2, 2, 2, 2), 1)


def test_zero_steps_and_an_empty_batch():
    with pytest.raises(ShapeError, match="without a time step: expected T >= 1"):
        check_sequence("It", torch.zeros(0, 2, 3))
    check_sequence("It", torch.zeros(2, 0, 3))


def test_integers():
    with pytest.raises(ShapeError, match=r"x\.float\(\)"):
        check_sequence("It", torch.zeros(2, 2, 2, dtype=torch.uint8))
    check_sequence("It", torch.zeros(2, 2, 2, dtype=torch.uint8), floating=False)


def test_finite():
    check_finite("run", torch.ones(3))
    check_finite("run", torch.ones(3, dtype=torch.int64))
    x = torch.ones(2, 3)
    x[1, 2], x[1, 0] = float("nan"), float("inf")
    with pytest.raises(NotFiniteError) as caught:
        check_finite("run", x)
    assert "2 values that are NaN or infinite, the first at index (1, 0)" in str(caught.value)
