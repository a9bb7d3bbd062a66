from __future__ import annotations

from math import exp

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snn4.core.errors import OptionError, ShapeError
from snn4.data import Direct, Latency, Poisson, Population


@pytest.mark.parametrize(
    ("low", "high", "units", "beta"),
    [(0.0, 1.0, 3, 1.5), (-2.0, 6.0, 7, 1.0), (0.0, 1.0, 12, 2.0)],
)
def test_centres_width_and_activities_are_those_of_the_paper(low, high, units, beta):
    member = Population(Direct(2), units, low, high, beta)
    centres = [low + (2 * i - 3) / 2 * (high - low) / (units - 2) for i in range(1, units + 1)]
    sigma = (high - low) / (beta * (units - 2))
    assert member.centres.tolist() == pytest.approx(centres, abs=1e-6)
    assert member.sigma == pytest.approx(sigma)
    for value in (low, high, 0.3 * low + 0.7 * high):
        expected = [exp(-((value - centre) ** 2) / (2 * sigma**2)) for centre in centres]
        y = member(torch.tensor([[value]]))
        assert y.shape == (2, 1, units)
        assert y[1, 0].tolist() == pytest.approx(expected, abs=1e-5)


@given(value=st.floats(0, 1), units=st.integers(3, 10), beta=st.floats(1, 2))
def test_two_units_tell_the_value(value, units, beta):
    member = Population(Direct(1), units, beta=beta)
    activity = member.activity(torch.tensor([[value]], dtype=torch.float64))[0]
    centres = member.centres
    first, second = activity.topk(2).indices.sort().values
    slope = (centres[second] - centres[first]) / member.sigma**2
    middle = (centres[first] + centres[second]) / 2
    decoded = middle + (activity[second] / activity[first]).log() / slope
    assert decoded.item() == pytest.approx(value, abs=1e-6)
    # the best unit is the nearest one, and the range is covered: no value is further than half a spacing from a centre
    assert (centres - value).abs().argmin() == activity.argmax() or activity.topk(2).values.diff().abs() < 1e-9
    assert activity.max() >= exp(-(beta**2) / 8) - 1e-9


def test_units_of_a_feature_stand_side_by_side():
    member = Population(Direct(1), units=4)
    x = torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    whole = member(x)[0]
    assert whole.shape == (2, 12, 5, 6)
    for feature in range(3):
        alone = member.activity(x[:, feature, 2, 4].unsqueeze(1))
        assert torch.equal(whole[:, 4 * feature : 4 * feature + 4, 2, 4], alone)


def test_the_other_encoder_makes_the_sequence():
    x = torch.tensor([[0.5, 0.1]])
    latency = Population(Latency(8), units=5)
    assert latency.steps == 8
    assert torch.equal(latency(x), Latency(8)(latency.activity(x)))
    poisson = Population(Poisson(8), units=5)
    drawn = [torch.Generator().manual_seed(4) for _ in range(2)]
    assert torch.equal(poisson(x, drawn[0]), Poisson(8)(poisson.activity(x), drawn[1]))


def test_its_own_range_is_checked():
    member = Population(Direct(1), units=3, low=-1.0, high=2.0)
    member(torch.tensor([[-1.0, 2.0]]))
    with pytest.raises(OptionError, match="between -1.5 and 0: expected values between -1 and 2"):
        member(torch.tensor([[-1.5, 0.0]]))
    with pytest.raises(ShapeError, match="adds F"):
        member(torch.zeros(4))
