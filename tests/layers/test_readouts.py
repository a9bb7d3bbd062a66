"""Readouts, whole and in chunks."""

from __future__ import annotations

import pytest
import torch

from snn4 import ShapeError, Stream, nn, run

READOUTS = {
    "MeanOverTime": lambda x: x.mean(0),
    "MaxOverTime": lambda x: x.max(0).values,
    "LastStep": lambda x: x[-1],
}


def inputs():
    # dyadic, so that sums in any order are exact
    return torch.randint(-64, 64, (8, 3, 5), generator=torch.Generator().manual_seed(0)) / 32


@pytest.mark.parametrize("name", READOUTS)
def test_over_the_whole_sequence(name):
    assert torch.equal(getattr(nn, name)()(inputs()), READOUTS[name](inputs()))


@pytest.mark.parametrize("name", READOUTS)
@pytest.mark.parametrize("lengths", [[1] * 8, [3, 5], [7, 1], [2, 2, 4]])
def test_in_chunks_each_says_what_holds_since_the_start(name, lengths):
    x, state, seen = inputs(), None, 0
    net = torch.nn.Sequential(nn.Identity(), getattr(nn, name)())
    for chunk in x.split(lengths):
        y, state = run(net, chunk, state)
        seen += len(chunk)
        assert torch.equal(y, READOUTS[name](x[:seen]))


def test_the_largest_value_may_be_negative():
    x = -1 - torch.rand(4, 2, 3)
    assert torch.equal(nn.MaxOverTime()(x), x.amax(0))


@pytest.mark.parametrize("name", READOUTS)
def test_gradients_are_those_of_the_formula(name):
    x, y = inputs().requires_grad_(), inputs().requires_grad_()
    getattr(nn, name)()(x).square().sum().backward()
    READOUTS[name](y).square().sum().backward()
    assert torch.allclose(x.grad, y.grad)


@pytest.mark.parametrize("name", READOUTS)
def test_a_missing_time_axis_is_refused(name):
    with pytest.raises(ShapeError, match=name):
        getattr(nn, name)()(torch.zeros(3, 5))


def test_a_stream_of_rates():
    stream = Stream(torch.nn.Sequential(nn.IF(), nn.MeanOverTime()))
    assert stream(torch.ones(4, 1, 1)).item() == 1.0
    assert stream(torch.zeros(4, 1, 1)).item() == 0.5
    stream.reset()
    assert stream(torch.zeros(4, 1, 1)).item() == 0.0


def test_a_long_mean_in_low_precision():
    # a count in bfloat16 stops at 256, where 256 + 1 = 256
    y = nn.MeanOverTime()(torch.ones(1000, 1, 2, dtype=torch.bfloat16))
    assert torch.allclose(y.float(), torch.ones(1, 2), rtol=1e-2)
    net, state = nn.MeanOverTime(), None
    for _ in range(600):
        y, state = run(net, torch.ones(1, 1, 2, dtype=torch.bfloat16), state)
    assert torch.allclose(y.float(), torch.ones(1, 2), rtol=1e-2)
    for _ in range(600):
        y, state = run(net, torch.zeros(1, 1, 2, dtype=torch.bfloat16), state)
    assert torch.allclose(y.float(), torch.full((1, 2), 0.5), rtol=1e-2)


@pytest.mark.parametrize("make", [nn.MeanOverTime, nn.MaxOverTime])
def test_what_is_done_to_an_answer_does_not_reach_the_state(make):
    x = torch.randn(6, 2, 3)
    first, state = run(make(), x[:3])
    first.zero_()
    assert torch.allclose(run(make(), x[3:], state)[0], make()(x))
