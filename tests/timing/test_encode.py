"""Encoders of spike times: hand-worked times, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snn4.core.errors import NotFiniteError, OptionError, ShapeError
from snn4.timing import DropSpikes, Framed, Latency, from_events

INF = float("inf")
KIND = [("t", "i8"), ("x", "i2"), ("y", "i2"), ("p", "i1")]


def test_latency_is_early_for_large_values_and_silent_for_zero():
    x = torch.tensor([[[1.0, 0.75], [0.25, 0.0]]])
    assert Latency(0.8)(x).tolist() == [[[0.0], [pytest.approx(0.2)], [pytest.approx(0.6)], [INF]]]


def test_the_silent_values_are_those_up_to_the_threshold():
    x = torch.tensor([[0.1, 0.2, 0.3]])
    assert torch.isinf(Latency(1.0, threshold=0.2)(x)).flatten().tolist() == [True, True, False]
    assert Latency(1.0, threshold=-1.0)(torch.zeros(1, 1)).item() == 1.0


def test_inverted_latency_with_a_bias_spike_is_that_of_the_yin_yang_task():
    times = Latency(0.6, threshold=-1.0, invert=True, bias=0.1)(torch.tensor([[0.0, 0.5, 1.0, 0.5]]))
    assert times.flatten().tolist() == pytest.approx([0.0, 0.3, 0.6, 0.3, 0.1])


@pytest.mark.parametrize(
    ("x", "error"),
    [
        (torch.tensor([[1.1]]), ShapeError),
        (torch.tensor([[-0.1]]), ShapeError),
        (torch.tensor([[1]]), ShapeError),
        (torch.tensor([0.5]), ShapeError),
        (torch.tensor([[float("nan")]]), NotFiniteError),
    ],
)
def test_latency_refuses_what_is_no_value(x, error):
    with pytest.raises(error):
        Latency()(x)


@pytest.mark.parametrize("options", [{"t_in": 0.0}, {"t_in": INF}, {"bias": -0.1}])
def test_latency_refuses_options_out_of_range(options):
    with pytest.raises(OptionError):
        Latency(**options)


def test_events_become_times_of_their_pixels():
    # (t, x, y, p), not in order; 2 polarities, 2 x 3 pixels: neuron = p * 6 + y * 3 + x
    recording = np.array([(300, 2, 0, 0), (100, 2, 0, 0), (200, 0, 1, 1), (150, 2, 0, 0), (900, 1, 0, 0)], KIND)
    times, dropped = from_events(recording, (2, 2, 3), duration=400, window=2.0, max_spikes=2, start=100)
    assert times.shape == (12, 2)
    assert dropped == 1
    assert times[2].tolist() == [0.0, 0.25]
    assert times[9].tolist() == [0.5, INF]
    assert torch.isinf(times[[0, 1, 3, 4, 5, 6, 7, 8, 10, 11]]).all()


def test_no_event_is_silence():
    times, dropped = from_events(np.zeros(0, KIND), (1, 2, 2), duration=1.0)
    assert torch.isinf(times).all()
    assert dropped == 0


@pytest.mark.parametrize(
    ("recording", "options", "error"),
    [
        (np.zeros(1, KIND), {"duration": 0}, OptionError),
        (np.zeros(1, KIND), {"duration": 1, "max_spikes": 0}, OptionError),
        (np.zeros(1, [("t", "i8")]), {"duration": 1}, ShapeError),
        (np.array([(0, 5, 0, 0)], KIND), {"duration": 1}, ShapeError),
        (np.array([(0, 0, -1, 0)], KIND), {"duration": 1}, ShapeError),
    ],
)
def test_events_that_do_not_fit_are_refused(recording, options, error):
    with pytest.raises(error):
        from_events(recording, (1, 2, 2), **options)


def test_dropped_spikes_are_a_share_and_the_rest_stays_in_order():
    times = torch.rand(200, 10, 5).sort(2).values
    dropped = DropSpikes(0.3)(times)
    lost = torch.isinf(dropped).float().mean().item()
    assert abs(lost - 0.3) < 5 * (0.3 * 0.7 / times.numel()) ** 0.5
    assert (dropped[:, :, 1:] >= dropped[:, :, :-1]).all()
    kept = dropped[torch.isfinite(dropped)]
    assert torch.isin(kept, times).all()
    assert DropSpikes(0.3).eval()(times) is times
    with pytest.raises(OptionError):
        DropSpikes(1.0)


def test_a_frame_is_one_call():
    net = Framed(torch.nn.Linear(3, 2))
    x = torch.rand(1, 4, 3)
    assert torch.equal(net(x)[0], net.body(x[0]))
    with pytest.raises(ShapeError, match="no time steps"):
        net(x.expand(2, -1, -1))
