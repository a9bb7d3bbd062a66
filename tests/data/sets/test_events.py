"""Data sets of spikes: small ones, written from the description of their formats, and the real ones where at hand."""

from __future__ import annotations

import hashlib
import lzma
import re
from dataclasses import replace

import numpy as np
import pytest

from snn4.core.errors import DataFileError, OptionError
from snn4.data import hold_out, load, load_recordings
from snn4.data.sets.braille import BRAILLE
from snn4.data.sets.ecg import ECG
from snn4.data.sets.nmnist import NMNIST
from snn4.data.sets.radar import RADAR
from snn4.data.sets.shd import SHD

GENERATOR = np.random.default_rng(1)


def stream(bins, first, last):
    """Channels that fired in each bin, one byte a spike."""
    out = []
    for channels in bins:
        at = first
        for channel in sorted(c for c in channels if first <= c < last):
            skip = channel - at
            while skip >= 254:
                out.append(254)
                skip -= 254
            out.append(skip)
            at = channel + 1
        out.append(255)
    return bytes(out)


def write_shd(folder, recordings):
    """`recordings` of each part: (label, speaker, bins), where bins lists the channels that fired in each."""
    folder.mkdir(parents=True, exist_ok=True)
    meta = {}
    for part, some in recordings.items():
        bins = [b for _, _, bins in some for b in bins]
        streams = [stream(bins, *edges) for edges in ((0, 250), (250, 475), (475, 700))]
        (folder / f"shd_{part}.xz").write_bytes(lzma.compress(b"".join(streams)))
        meta |= {
            f"{part}_label": np.array([label for label, _, _ in some], np.uint8),
            f"{part}_speaker": np.array([speaker for _, speaker, _ in some], np.uint8),
            f"{part}_n_bins": np.array([len(bins) for _, _, bins in some], np.uint16),
            f"{part}_n_spikes": np.array([sum(map(len, bins)) for _, _, bins in some], np.uint32),
            f"{part}_stream_lengths": np.array([len(s) for s in streams], np.int64),
        }
    np.savez(folder / "shd_meta.npz", **meta)


def draw_bins(count):
    return [set(GENERATOR.choice(700, GENERATOR.integers(0, 30), replace=False).tolist()) for _ in range(count)]


def test_shd_streams_are_decoded(tmp_path):
    # the corners of the format: the first and last channel of each stream, long silences, empty bins
    corners = [{0, 249, 250, 474, 475, 699}, set(), {253, 254, 699}, {0}, set()]
    parts = {
        "train": [(3, 1, corners), (17, 4, draw_bins(9)), (0, 0, [set()])],
        "test": [(19, 5, draw_bins(4))],
    }
    write_shd(tmp_path, parts)
    for part, read in zip(("train", "test"), SHD.recordings(tmp_path, verify=False), strict=True):
        assert read.targets.tolist() == [label for label, _, _ in parts[part]]
        assert read.group.tolist() == [speaker for _, speaker, _ in parts[part]]
        for k, (_, _, bins) in enumerate(parts[part]):
            found = [(int(e["t"]), int(e["x"])) for e in read[k]]
            assert found == [(1000 * b, c) for b, channels in enumerate(bins) for c in sorted(channels)]


def test_shd_that_does_not_fit_its_table_is_refused(tmp_path):
    write_shd(tmp_path, {"train": [(3, 1, draw_bins(5))], "test": [(3, 1, draw_bins(5))]})
    content = lzma.decompress((tmp_path / "shd_train.xz").read_bytes())
    (tmp_path / "shd_train.xz").write_bytes(lzma.compress(content[:-3]))
    with pytest.raises(DataFileError, match=f"unpacks to {len(content) - 3} bytes: expected {len(content)}"):
        SHD.recordings(tmp_path, verify=False)
    (tmp_path / "shd_train.xz").write_bytes(lzma.compress(content[:-1] + b"\x00"))
    with pytest.raises(DataFileError, match="bins: expected 5"):
        SHD.recordings(tmp_path, verify=False)
    # three bytes that skip beyond the last channel, in a file of the right length
    (tmp_path / "shd_train.xz").write_bytes(lzma.compress(b"\xfe" * 3 + content[3:]))
    with pytest.raises(DataFileError, match="holds the channel|bins: expected 5"):
        SHD.recordings(tmp_path, verify=False)
    (tmp_path / "shd_meta.npz").write_bytes(b"PK damaged")
    with pytest.raises(DataFileError, match="shd_meta.npz cannot be read"):
        SHD.recordings(tmp_path, verify=False)


def write_nmnist(folder, recordings, test):
    folder.mkdir(parents=True, exist_ok=True)
    code, dt = [], []
    for events in recordings:
        before = 0
        for t, x, y, p in events:
            code.append(x * 68 + y * 2 + p)
            dt.append(t - before)
            before = t
    code, dt = np.array(code, np.uint16), np.array(dt, np.uint16)
    np.savez(
        folder / "nmnist_1100.npz",
        code_hi=(code >> 8).astype(np.uint8),
        code_lo=(code & 255).astype(np.uint8),
        dt_hi=(dt >> 8).astype(np.uint8),
        dt_lo=(dt & 255).astype(np.uint8),
        offsets=np.concatenate([[0], np.cumsum([len(e) for e in recordings])]).astype(np.uint32),
        label=np.arange(len(recordings), dtype=np.uint8),
        is_test=np.array(test),
    )


def test_nmnist_events_are_unpacked(tmp_path):
    recordings = [[(0, 33, 0, 1), (40_000, 0, 33, 0), (40_001, 5, 6, 1)], [], [(300, 1, 2, 0), (300, 33, 33, 1)]]
    write_nmnist(tmp_path, recordings, [False, True, False])
    train, test = NMNIST.recordings(tmp_path, verify=False)
    assert [train.targets.tolist(), test.targets.tolist()] == [[0, 2], [1]]
    for read, expected in ((train[0], recordings[0]), (train[1], recordings[2]), (test[0], [])):
        assert [tuple(int(e[f]) for f in ("t", "x", "y", "p")) for e in read] == expected
    frames = NMNIST.read(tmp_path, verify=False)[0].inputs
    assert frames.shape == (2, 10, 2, 34, 34)
    assert frames[0, 0, 1, 0, 33] == frames[0, 1, 0, 33, 0] == frames[0, 1, 1, 6, 5] == 1
    assert frames.sum() == 5


def write_radar(folder, **change):
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        "t": np.array([10, 150, 7, 20_000], np.uint16),
        "channel": np.array([5, 0, 2, 2], np.uint8),
        "offsets": np.array([0, 2, 4], np.uint32),
        "label": np.array([11, 3], np.uint8),
        "train_idx": np.array([1], np.uint16),
        "test_idx": np.array([0], np.uint16),
    }
    np.savez(folder / "neuroradar_gesture.npz", **(arrays | change))


def test_radar_times_are_tenths_of_a_millisecond(tmp_path):
    write_radar(tmp_path)
    train, test = RADAR.recordings(tmp_path, verify=False)
    assert train.targets.tolist() == [3]
    assert test.targets.tolist() == [11]
    assert test[0]["t"].tolist() == [1000, 15_000]
    assert test[0]["x"].tolist() == [5, 0]
    frames = RADAR.read(tmp_path, verify=False)[1].inputs[0]
    assert frames[0].tolist() == [0, 0, 0, 0, 0, 1]
    assert frames[1].tolist() == [1, 0, 0, 0, 0, 0]


def test_an_inconsistent_archive_is_refused(tmp_path):
    write_radar(tmp_path, channel=np.array([5, 0, 2, 6], np.uint8))
    with pytest.raises(DataFileError, match="is inconsistent .*addresses from 0 to 6"):
        RADAR.recordings(tmp_path, verify=False)
    write_radar(tmp_path, train_idx=np.array([2], np.uint16))
    with pytest.raises(DataFileError, match="is inconsistent"):
        RADAR.recordings(tmp_path, verify=False)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"label": np.array([12, 3], np.uint8)}, "the label 12 at position 0: expected labels from 0 to 11"),
        ({"label": np.array([0, -5], np.int16)}, "the label -5 at position 1"),
        ({"label": np.array([[1], [2]], np.uint8)}, "holds label of uint8 and shape"),
        ({"label": np.array([1, 2, 3], np.uint8)}, "labels of shape"),
        ({"t": np.array([10, 150, np.nan, 20_000])}, "holds t of float64"),
        ({"train_idx": np.array([1, 1], np.uint16)}, "chosen twice"),
        ({"train_idx": np.array([0], np.uint16)}, "chosen twice"),
        ({"offsets": np.array(4, np.uint32)}, "holds offsets of uint32 and shape ()"),
    ],
)
def test_a_damaged_radar_archive_says_where(tmp_path, change, told):
    write_radar(tmp_path, **change)
    with pytest.raises(DataFileError, match=re.escape(told)):
        RADAR.recordings(tmp_path, verify=False)


def test_damaged_nmnist_says_where(tmp_path):
    events = [[(0, 34, 0, 1)], [(5, 1, 1, 0)]]
    write_nmnist(tmp_path, events, [False, True])
    with pytest.raises(DataFileError, match="x = 34 of 34"):
        NMNIST.recordings(tmp_path, verify=False)
    write_nmnist(tmp_path, [[(5, 1, 1, 0)]] * 11, [False] * 11)
    with pytest.raises(DataFileError, match="the label 10"):
        NMNIST.recordings(tmp_path, verify=False)
    whole = dict(np.load(tmp_path / "nmnist_1100.npz"))
    np.savez(tmp_path / "nmnist_1100.npz", **(whole | {"code_lo": whole["code_lo"][:-1]}))
    with pytest.raises(DataFileError, match="is inconsistent .*broadcast"):
        NMNIST.recordings(tmp_path, verify=False)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"label": np.array([4, 27, 0], np.uint8)}, "the label 27"),
        ({"taxel": np.zeros((228, 11), np.uint8)}, "readings of shape (228, 11)"),
        ({"taxel": np.zeros(228, np.uint8)}, "holds taxel of uint8 and shape (228,)"),
        ({"taxel": np.full((228, 12), -3, np.int16)}, "from -3 to -3"),
        ({"offsets": np.array([-76, 0, 76, 152], np.int64)}, "offsets from -76 to 152"),
        ({"repetition": np.array([0, 40], np.uint8)}, "2 repetitions"),
    ],
)
def test_damaged_braille_says_where(tmp_path, change, told):
    write_braille(tmp_path, [76, 76, 76])
    whole = dict(np.load(tmp_path / "braille_tactile.npz"))
    np.savez(tmp_path / "braille_tactile.npz", **(whole | change))
    with pytest.raises(DataFileError, match=re.escape(told)):
        BRAILLE.read(tmp_path, verify=False)


def test_an_ecg_without_samples_is_refused(tmp_path):
    x, y = np.zeros((0, 1301, 4), np.int8), np.zeros((0, 1301), np.uint8)
    np.savez(tmp_path / "qtdb_ecg.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.raises(DataFileError, match="holds arrays of shapes"):
        ECG.read(tmp_path, verify=False)


def test_other_content_than_the_published_is_refused_unless_asked_for(tmp_path):
    write_radar(tmp_path / "neuroradar-gesture")
    with pytest.raises(DataFileError, match="other content than the published.*verify=False"):
        load_recordings("radar", tmp_path)
    with pytest.raises(DataFileError, match="other content than the published"):
        load("radar", tmp_path)
    assert len(load_recordings("radar", tmp_path, verify=False)[0]) == 1
    content = (tmp_path / "neuroradar-gesture" / "neuroradar_gesture.npz").read_bytes()
    own = replace(RADAR, sha256=(("neuroradar_gesture.npz", hashlib.sha256(content).hexdigest()),))
    assert len(own.recordings(tmp_path / "neuroradar-gesture", verify=True)[1]) == 1


def test_what_is_not_there_says_where_it_was_looked_for(tmp_path):
    for read in (load, load_recordings):
        with pytest.raises(DataFileError, match="Spiking Heidelberg.*shd_meta.npz.*Put them there, or set SNN4_DATA"):
            read("shd", tmp_path)
    with pytest.raises(DataFileError, match="cannot be downloaded"):
        load("shd", tmp_path, download=True)
    with pytest.raises(OptionError, match="'mnist' has no events: expected one of nmnist-1100, shd, radar"):
        load_recordings("mnist", tmp_path)


def write_braille(folder, lengths):
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.arange(sum(lengths) * 12).reshape(-1, 12) % 256
    np.savez(
        folder / "braille_tactile.npz",
        taxel=rows.astype(np.uint8),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.uint32),
        label=np.array([4, 26, 0], np.uint8),
        repetition=np.array([0, 40, 39], np.uint8),
    )
    return rows


def test_braille_is_read_as_pressure(tmp_path):
    rows = write_braille(tmp_path, [76, 77, 76])
    train, test = BRAILLE.read(tmp_path, verify=False)
    assert train.targets.tolist() == [4, 0]
    assert test.targets.tolist() == [26]
    assert np.array_equal(test.inputs[0].numpy(), 255 - rows[76:152])
    assert np.array_equal(train.inputs[1].numpy(), 255 - rows[153:])
    write_braille(tmp_path, [76, 75, 77])
    with pytest.raises(DataFileError, match="sequence of less than 76 steps"):
        BRAILLE.read(tmp_path, verify=False)


def test_ecg_has_a_class_a_step(tmp_path):
    x = GENERATOR.integers(0, 2, (3, 1301, 4)).astype(np.int8)
    x[:, -1, 0] = -1
    y = GENERATOR.integers(0, 6, (3, 1301)).astype(np.uint8)
    y[:, -5:] = 255
    np.savez(tmp_path / "qtdb_ecg.npz", x_train=x, y_train=y, x_test=x[:1], y_test=y[:1])
    train, test = ECG.read(tmp_path, verify=False)
    assert train.inputs.shape == (3, 1301, 4)
    assert np.array_equal(train.inputs.numpy(), np.maximum(x, 0))
    assert np.array_equal(train.targets[:, :-5].numpy(), y[:, :-5])
    assert (train.targets[:, -5:] == -1).all()
    assert len(test) == 1
    kept, held = hold_out(train, 1 / 3, seed=0)
    assert (len(kept), len(held)) == (2, 1)
    y[0, 0] = 6
    np.savez(tmp_path / "qtdb_ecg.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.raises(DataFileError, match="the class 6: expected 0 to 5"):
        ECG.read(tmp_path, verify=False)


# what the data sets' authors, or the preparation of the files, say of them
REAL = {
    "nmnist-1100": (1000, 100, 4_518_827, 336_040),
    "radar": (1920, 480, 112_338, 1_533_000),
}


@pytest.mark.parametrize("name", REAL)
def test_the_real_recordings(name, real_data):
    train, test = load_recordings(name, real_data)
    count, held, events, longest = REAL[name]
    assert (len(train), len(test)) == (count, held)
    assert len(train.t) + len(test.t) == events
    assert int(max(train.t.max(), test.t.max())) == pytest.approx(longest, abs=1000)


def test_the_real_sequences(real_data):
    ecg = load("ecg", real_data)
    counts = np.bincount(ecg.train.targets.flatten().numpy() + 1)
    assert counts.tolist() == [65785, 100530, 49485, 46503, 35776, 242792, 263147]
    braille = load("braille", real_data)
    assert (len(braille.train), len(braille.test)) == (1080, 270)
    assert np.bincount(braille.test.targets.numpy()).tolist() == [10] * 27


@pytest.mark.slow
def test_the_real_speech(real_data):
    train, test = load_recordings("shd", real_data)
    assert (len(train), len(test)) == (8156, 2264)
    assert len(train.t) + len(test.t) == 79_353_962
    assert not set(train.group.tolist()) & {4, 5}
    assert np.bincount(test.targets).tolist() == (
        [103, 108, 105, 102, 116, 110, 109, 109, 114, 103, 122, 121, 121, 120, 115, 112, 118, 121, 123, 112]
    )
