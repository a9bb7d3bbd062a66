from __future__ import annotations

import numpy as np
import pytest

from snn4.core.errors import OptionError, ShapeError
from snn4.data import Recordings
from snn4.data import recordings as module


def drawn(seed=0, count=7, shape=(2, 5, 4), most=40, longest=9000):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(0, most, count)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    t = np.concatenate([np.sort(generator.integers(0, longest, n)) for n in lengths])
    address = generator.integers(0, np.prod(shape), offsets[-1])
    return Recordings(t, address, offsets, generator.integers(0, 3, count), shape, np.arange(count))


def counted(recordings, steps, dt, pool=1, limit=255):
    """Frames, event by event."""
    shape = recordings.shape
    spatial = shape[-2:] if len(shape) == 3 else shape
    kept = shape[: len(shape) - len(spatial)]
    frames = np.zeros((len(recordings), steps, *kept, *(-(-n // pool) for n in spatial)), np.int64)
    for k in range(len(recordings)):
        for event in recordings[k]:
            step = int(event["t"] // dt)
            if step < steps:
                x, y = event["x"] // pool, event["y"] // pool
                place = (event["p"], y, x) if len(shape) == 3 else (x,)
                frames[(k, step, *place)] += 1
    return np.minimum(frames, limit)


@pytest.mark.parametrize("shape", [(2, 5, 4), (7,)])
@pytest.mark.parametrize("pool", [1, 2, 3])
@pytest.mark.parametrize(("values", "limit"), [("counts", 255), ("binary", 1)])
def test_frames_hold_what_counting_event_by_event_finds(shape, pool, values, limit):
    recordings = drawn(shape=shape)
    split = recordings.binned(4, dt=1700, pool=pool, values=values)
    assert np.array_equal(split.inputs.numpy(), counted(recordings, 4, 1700, pool, limit))
    assert split.targets.tolist() == recordings.targets.tolist()


def test_blocks_change_nothing(monkeypatch):
    recordings = drawn(count=30)
    whole = recordings.binned(5, dt=1800).inputs
    for block in (1, 64, 300, 1000):
        monkeypatch.setattr(module, "_BLOCK", block)
        assert np.array_equal(recordings.binned(5, dt=1800).inputs, whole)


def test_counts_stop_at_255():
    recordings = Recordings(np.zeros(300, int), np.zeros(300, int), np.array([0, 300]), np.array([0]), (2,))
    assert recordings.binned(1, dt=1).inputs.flatten().tolist() == [255, 0]


def test_take_keeps_the_recordings():
    recordings = drawn()
    chosen = recordings.take([5, 0, 5])
    for new, old in enumerate([5, 0, 5]):
        assert np.array_equal(chosen[new], recordings[old])
    assert chosen.group.tolist() == [5, 0, 5]
    assert chosen.targets.tolist() == recordings.targets[[5, 0, 5]].tolist()
    assert len(recordings.take([])) == 0


def test_late_is_what_binning_leaves_out():
    recordings = drawn()
    left = recordings.binned(3, dt=1000).inputs.sum().item()
    assert recordings.late(3, dt=1000) == pytest.approx(1 - left / len(recordings.t))
    assert recordings.late(9, dt=1000) == 0


def test_no_events_at_all():
    empty = Recordings(np.zeros(0, int), np.zeros(0, int), np.array([0, 0]), np.array([1]), (3,))
    assert empty.binned(2, dt=10).inputs.tolist() == [[[0, 0, 0], [0, 0, 0]]]
    assert empty.late(1, dt=1) == 0
    assert len(empty[0]) == 0
    with pytest.raises(IndexError, match="recording 1 of 1"):
        empty[1]


GOOD = {"t": [0, 5, 1], "address": [0, 1, 2], "offsets": [0, 2, 3], "targets": [0, 1]}
WRONG = {
    "offsets": ({"offsets": [0, 2, 4]}, "offsets from 0 to 4"),
    "falling offsets": ({"offsets": [0, 4, 3]}, "offsets that rise"),
    "targets": ({"targets": [0]}, "3 offsets and 1 targets"),
    "addresses": ({"address": [0, 1, 3]}, "addresses from 0 to 3: expected 0 to 2"),
    "a negative address": ({"address": [0, -1, 2]}, "addresses from -1"),
    "order": ({"t": [5, 0, 1]}, "fall within a recording"),
    "a negative time": ({"t": [-1, 0, 1]}, "negative"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_belong_together_is_refused(case):
    change, message = WRONG[case]
    arrays = {name: np.array(values) for name, values in (GOOD | change).items()}
    with pytest.raises(ShapeError, match=message):
        Recordings(**arrays, shape=(3,))


def test_time_may_fall_between_recordings():
    assert len(Recordings(**{name: np.array(values) for name, values in GOOD.items()}, shape=(3,))) == 2


@pytest.mark.parametrize("wrong", [{"steps": 0, "dt": 1}, {"steps": 1, "dt": 0}, {"steps": 1, "dt": 1, "pool": 0}])
def test_impossible_bins_are_refused(wrong):
    with pytest.raises(OptionError, match="binned got"):
        drawn().binned(**wrong)


def test_take_knows_a_mask():
    made = Recordings(np.array([0, 3, 1]), np.array([0, 1, 2]), np.array([0, 2, 2, 3]), np.array([7, 8, 9]), (3,))
    assert made.take(np.array([True, False, True])).targets.tolist() == [7, 9]
    for wrong in (np.array([True]), np.array([0.5]), [3]):
        with pytest.raises(OptionError, match="places from 0 to 2, or a mask of 3"):
            made.take(wrong)
