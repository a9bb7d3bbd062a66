from __future__ import annotations

from math import ceil, exp, inf, log

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from snn4.data import Latency, LogLatency

ENCODERS = [Latency(1), Latency(2), Latency(9), LogLatency(1, 1.0), LogLatency(9, 0.5), LogLatency(9, 4.0)]
VALUES = st.floats(0, 1, width=32)


@pytest.mark.parametrize("encoder", ENCODERS, ids=repr)
@given(values=st.lists(VALUES, min_size=1, max_size=20))
def test_larger_values_come_no_later_and_each_spikes_at_most_once(encoder, values):
    x = torch.tensor([sorted(values)])
    spikes, times = encoder(x), encoder.times(x)
    assert (spikes.sum(0) <= 1).all()
    assert (times[:, 1:] <= times[:, :-1]).all()
    assert torch.equal(spikes.sum(0) == 0, times == inf)
    assert (times[x == 0] == inf).all()
    for neuron, time in enumerate(times[0].tolist()):
        if time < inf:
            assert spikes[int(time), 0, neuron] == 1


@given(value=VALUES, steps=st.integers(2, 64))
def test_linear_latency_is_right_to_half_a_step(value, steps):
    assume(value > 0)
    encoder = Latency(steps)
    x = torch.tensor([value])
    assert abs(encoder.times(x).item() - (1 - value) * (steps - 1)) <= 0.5 + 1e-4
    assert abs(encoder.decode(encoder(x)).item() - value) <= 0.5 / (steps - 1) + 1e-6


@given(value=st.floats(2.0**-100, 1, width=32), steps=st.integers(1, 40), tau=st.floats(0.2, 20))
def test_logarithmic_latency_is_the_rounded_up_logarithm(value, steps, tau):
    exact = -tau * log(value)
    # next to a whole number, float32 and float64 may fall on different sides
    assume(abs(exact - round(exact)) > 1e-4 * max(1, exact))
    encoder = LogLatency(steps, tau)
    x = torch.tensor([value])
    assert encoder.times(x).item() == (ceil(exact) if ceil(exact) < steps else inf)
    decoded = encoder.decode(encoder(x)).item()
    if ceil(exact) < steps:
        assert value * exp(-1 / tau) * (1 - 1e-5) < decoded <= value * (1 + 1e-5)
    else:
        assert decoded == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("encoder", [Latency(1), Latency(12), LogLatency(12, 3.0), LogLatency(7, 0.7)], ids=repr)
def test_what_is_decoded_is_encoded_to_the_same_step(encoder, dtype):
    spikes = torch.eye(encoder.steps, dtype=dtype).unsqueeze(1)
    if isinstance(encoder, Latency) and encoder.steps > 1:
        # the last step stands for 0, which is silent
        spikes = spikes[:, :, :-1]
    assert torch.equal(encoder(encoder.decode(spikes)), spikes)


def test_hand_worked_times():
    x = torch.tensor([1.0, 0.75, 0.5, 0.3, 0.0])
    # (1 - 0.3) * 4 = 2.8
    assert Latency(5).times(x).tolist() == [0, 1, 2, 3, inf]
    # thresholds 1, 0.3679, 0.1353, 0.0498
    y = torch.tensor([1.0, 0.5, 0.2, 0.1, 0.04, 0.0])
    assert LogLatency(4, 1.0).times(y).tolist() == [0, 1, 2, 3, inf, inf]


def test_silence_decodes_to_zero():
    for encoder in ENCODERS:
        assert encoder.decode(torch.zeros(encoder.steps, 2, 3)).abs().sum() == 0
