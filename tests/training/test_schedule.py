from __future__ import annotations

import math

import pytest

from snn4.core.errors import OptionError
from snn4.training import FitConfig, learning_rate


def test_cosine_is_its_closed_form():
    config = FitConfig(epochs=4, learning_rate=0.3)
    for step in range(40):
        expected = 0.3 * math.cos(math.pi * step / 80) ** 2  # (1 + cos 2x) / 2 = cos^2 x
        assert learning_rate(config, step, 10) == pytest.approx(expected, rel=1e-12)


def test_warm_up_is_a_line_that_ends_where_the_cosine_begins():
    config = FitConfig(epochs=3, learning_rate=1.0, warmup_epochs=1)
    assert [learning_rate(config, step, 4) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert learning_rate(config, 8, 4) == pytest.approx(0.5)
    assert 0 < learning_rate(config, 11, 4) < 0.04


def test_a_fraction_of_an_epoch_and_nothing_but_warm_up():
    assert learning_rate(FitConfig(epochs=1, warmup_epochs=0.5, learning_rate=1.0), 1, 10) == pytest.approx(0.4)
    config = FitConfig(epochs=2, warmup_epochs=2, learning_rate=1.0)
    assert [learning_rate(config, step, 2) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]


def test_constant_stays():
    config = FitConfig(epochs=2, learning_rate=0.1, schedule="constant", warmup_epochs=0.5)
    assert [learning_rate(config, step, 4) for step in range(8)] == [0.05] + [0.1] * 7


def test_all_wrong_options_are_told_at_once():
    with pytest.raises(OptionError, match=r"batch_size=0, learning_rate=-1, schedule='step', ema=1.5"):
        FitConfig(batch_size=0, learning_rate=-1, schedule="step", ema=1.5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"optimiser": "adam"},
        {"weight_decay": -0.1},
        {"momentum": 1.0},
        {"warmup_epochs": 11},
        {"clip_norm": 0.0},
        {"patience": 0},
        {"ema": 0.0},
        {"checkpoint_seconds": -1},
        {"checkpoint_steps": 0},
    ],
)
def test_each_option_has_bounds(wrong):
    with pytest.raises(OptionError, match=next(iter(wrong))):
        FitConfig(**wrong)
