"""SHD, regenerated: spoken digits as spikes of a model cochlea, computed anew from the original audio.

Paper: [cramer2022heidelberg]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn4.data.readers.packed import broken, unpack
from snn4.data.recordings import Recordings
from snn4.data.sets.events import Bins, EventSource, load_arrays
from snn4.data.sets.source import Card

__all__ = ["SHD", "Shd"]

_META = "shd_meta.npz"
_CHANNELS = 700
# the three streams of a file hold the channels from here on
_FIRST = (0, 250, 475)
_SKIP, _END = 254, 255
_DIGITS = ("zero one two three four five six seven eight nine", "null eins zwei drei vier fünf sechs sieben acht neun")


@dataclass(frozen=True)
class Shd(EventSource):
    """10 420 recordings of 700 channels, in 1 ms bins, as packed byte streams. The speaker is the `group`.

    Reading both splits takes some 20 s and 4 GiB.
    """

    def recordings(self, folder: Path, *, verify: bool) -> tuple[Recordings, Recordings]:
        """Training and test recordings."""
        if verify:
            self.check(folder)
        train, test = (self._part(folder, part) for part in ("train", "test"))
        return train, test

    def _part(self, folder: Path, part: str) -> Recordings:
        names = ("label", "speaker", "n_bins", "n_spikes", "stream_lengths")
        found = load_arrays(folder / _META, {f"{part}_{name}": 1 for name in names})
        meta: dict[str, NDArray[Any]] = {name: found[f"{part}_{name}"].astype(np.int64) for name in names}
        path = folder / f"shd_{part}.xz"
        raw = np.frombuffer(unpack(path), np.uint8)
        if len(raw) != int(meta["stream_lengths"].sum()):
            raise broken(path, f"unpacks to {len(raw)} bytes", f"{int(meta['stream_lengths'].sum())}")
        edges = np.concatenate([[0], np.cumsum(meta["n_bins"])])
        offsets = np.concatenate([[0], np.cumsum(meta["n_spikes"])])
        streams = np.split(raw, np.cumsum(meta["stream_lengths"])[:-1])
        pieces: list[NDArray[np.int64]] = []
        for stream, first in zip(streams, _FIRST, strict=True):
            bins, channels = _decode(stream, first)
            ended = int((stream == _END).sum())
            if ended != int(edges[-1]):
                raise broken(path, f"holds {ended} bins", f"{int(edges[-1])}")
            if len(channels) and int(channels.max()) >= _CHANNELS:
                raise broken(path, f"holds the channel {int(channels.max())}", f"0 to {_CHANNELS - 1}")
            pieces.append(bins * _CHANNELS + channels)
        keys = np.sort(np.concatenate(pieces))
        if len(keys) != offsets[-1]:
            raise broken(path, f"holds {len(keys)} spikes", f"{int(offsets[-1])}")
        bins = keys // _CHANNELS
        t = (bins - np.repeat(edges[:-1], meta["n_spikes"])).astype(np.int32) * np.int32(1000)
        address = (keys % _CHANNELS).astype(np.uint16)
        return Recordings(t, address, offsets, meta["label"], (_CHANNELS,), meta["speaker"])


def _decode(stream: NDArray[np.uint8], first: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Bin and channel of every spike of one stream.

    A byte below 254 skips so many silent channels and then fires one; 254 skips 254; 255 ends a bin.
    """
    end, skip = stream == _END, stream == _SKIP
    forward = stream.astype(np.int64) + 1
    forward[skip], forward[end] = _SKIP, 0
    reached = np.cumsum(forward)
    start = np.concatenate([[0], reached[end]])
    spikes = ~(end | skip)
    bins = np.cumsum(end)[spikes]
    return bins, reached[spikes] - start[bins] + first - 1


SHD = Shd(
    card=Card(
        name="shd",
        title="Spiking Heidelberg Digits, regenerated",
        train=8156,
        test=2264,
        shape=(100, 140),
        classes=tuple(word for words in _DIGITS for word in words.split()),
        mean=(0.0,),
        std=(1.0,),
        about=(
            "Spoken digits, English and German, as spikes of a model cochlea with 700 channels; frames of 14 ms, "
            "five channels joined. Not the published file: computed anew from the same audio with the published "
            "model, so single spikes differ. The test split holds speakers 4 and 5, who are in no other, and 424 "
            "recordings of the others."
        ),
        licence="CC BY 4.0",
        citation=(
            "B. Cramer, Y. Stradmann, J. Schemmel, F. Zenke: The Heidelberg Spiking Data Sets for the Systematic "
            "Evaluation of Spiking Neural Networks. IEEE TNNLS 33(7), 2744-2757, 2022."
        ),
        key="cramer2022heidelberg",
        aliases=("shd-regenerated",),
    ),
    folders=("shd-regenerated", "shd", "."),
    sha256=(
        (_META, "d8c460a77027c3b2bc7ddcdc3a1733359310c1cbde41391848e48c391ffd6e37"),
        ("shd_test.xz", "a4248213067b0a3442133df07ea10f938b74141ce6267d58b366ed20187b8c24"),
        ("shd_train.xz", "071fb98d1b176f479c59b3de11dffa768be98b18d0badf2fb8211def654dd55b"),
    ),
    bins=Bins(steps=100, dt=14_000, pool=5),
)
