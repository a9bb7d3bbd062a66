from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snn4.core.errors import ShapeError
from snn4.data import Delta

# multiples of 1/32: exact in float32, so the law can be held to the last bit
SIGNALS = st.lists(st.integers(-200, 200), min_size=1, max_size=30)
LEVELS = st.integers(1, 64).map(lambda k: 2 ** (k % 4) / 32)


def by_hand(signal: list[Fraction], threshold: Fraction, limit: int | None) -> list[tuple[int, int]]:
    reference, events = signal[0], []
    for value in signal:
        up = down = 0
        while value - reference >= threshold and (limit is None or up < limit):
            reference += threshold
            up += 1
        while reference - value >= threshold and (limit is None or down < limit):
            reference -= threshold
            down += 1
        events.append((up, down))
    return events


def column(values: list[float]) -> torch.Tensor:
    return torch.tensor(values).reshape(-1, 1, 1)


@given(signal=SIGNALS, threshold=LEVELS, limit=st.none() | st.integers(1, 3))
def test_events_are_those_of_the_definition(signal, threshold, limit):
    values = [k / 32 for k in signal]
    encoder = Delta(len(values), threshold, limit)
    events = encoder(column(values))[:, 0]
    exact = by_hand([Fraction(k, 32) for k in signal], Fraction(threshold), limit)
    assert [tuple(step) for step in events.tolist()] == exact
    assert not events[0].any()


@given(signal=SIGNALS, threshold=LEVELS)
def test_the_reconstruction_is_less_than_a_threshold_away(signal, threshold):
    x = column([k / 32 for k in signal])
    encoder = Delta(len(signal), threshold)
    error = encoder.decode(encoder(x), x[0]) - x
    assert error.abs().max() < threshold


@given(steps=st.lists(st.integers(-8, 8), min_size=1, max_size=40))
def test_one_event_a_step_follows_a_signal_that_is_slow_enough(steps):
    # at most one threshold a step: 8 / 32
    x = column([sum(steps[: k + 1]) / 32 for k in range(len(steps))])
    encoder = Delta(len(steps), 0.25, limit=1)
    events = encoder(x)
    assert set(events.unique().tolist()) <= {0.0, 1.0}
    assert (encoder.decode(events, x[0]) - x).abs().max() < 0.25


def test_a_jump_above_the_limit_is_caught_up_later():
    x = column([0.0, 3.0, 3.0, 3.0, 3.0])
    assert Delta(5, 1.0, limit=1)(x)[:, 0, 0].tolist() == [0, 1, 1, 1, 0]
    assert Delta(5, 1.0, limit=2)(x)[:, 0, 0].tolist() == [0, 2, 1, 0, 0]
    assert Delta(5, 1.0)(x)[:, 0, 0].tolist() == [0, 3, 0, 0, 0]


def test_a_long_drift_gathers_no_error():
    x = column([k * 0.001 for k in range(5000)])
    encoder = Delta(5000, 0.01)
    assert (encoder.decode(encoder(x), x[0]) - x).abs().max() < 0.01 * 1.01


def test_up_channels_stand_before_down_channels():
    x = torch.zeros(2, 1, 3, 2)
    x[1, 0, 0, 1], x[1, 0, 2, 0] = 1.0, -2.0
    events = Delta(2, 1.0)(x)
    assert events.shape == (2, 1, 6, 2)
    assert torch.nonzero(events).tolist() == [[1, 0, 0, 1], [1, 0, 5, 0]]
    assert events[1, 0, 5, 0] == 2


@pytest.mark.parametrize("shape", [(4, 2, 3), (5, 2), (5,)])
def test_only_sequences_of_its_length(shape):
    with pytest.raises(ShapeError, match=r"expected a sequence \(5, B, C"):
        Delta(5, 0.1)(torch.zeros(shape))
