"""N-MNIST, a subset: event-camera recordings of the first 1000 training and 100 test digits.

Paper: [orchard2015nmnist]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snn4.data.readers.labels import check_labels
from snn4.data.recordings import Recordings
from snn4.data.sets.events import Bins, EventSource, consistent, load_arrays
from snn4.data.sets.source import Card

__all__ = ["NMNIST", "Nmnist"]

_FILE = "nmnist_1100.npz"
_SIDE = 34


@dataclass(frozen=True)
class Nmnist(EventSource):
    """All events in one numpy archive: two bytes of address, two bytes of time since the event before."""

    def recordings(self, folder: Path, *, verify: bool) -> tuple[Recordings, Recordings]:
        """Training and test recordings."""
        if verify:
            self.check(folder)
        names = ("code_hi", "code_lo", "dt_hi", "dt_lo", "offsets", "label", "is_test")
        path = folder / _FILE
        found = load_arrays(path, dict.fromkeys(names, 1))
        with consistent(path, "recordings with their labels"):
            code = found["code_hi"].astype(np.int64) << 8 | found["code_lo"].astype(np.int64)
            dt = found["dt_hi"].astype(np.int64) << 8 | found["dt_lo"].astype(np.int64)
            offsets = found["offsets"].astype(np.int64)
            # time counts from the beginning of each recording
            total = np.concatenate([[0], np.cumsum(dt)])
            t = total[1:] - np.repeat(total[offsets[:-1]], np.diff(offsets))
            x, y, p = code // (2 * _SIDE), code % (2 * _SIDE) // 2, code & 1
            if len(x) and int(x.max()) >= _SIDE:
                raise ValueError(f"an event at x = {x.max()} of {_SIDE}")
            every = Recordings(
                t=t,
                address=(p * _SIDE + y) * _SIDE + x,
                offsets=offsets,
                targets=check_labels(found["label"], len(offsets) - 1, len(self.card.classes), path),
                shape=(2, _SIDE, _SIDE),
            )
            test = found["is_test"].astype(bool)
            return every.take(np.flatnonzero(~test)), every.take(np.flatnonzero(test))


NMNIST = Nmnist(
    card=Card(
        name="nmnist-1100",
        title="N-MNIST, first 1000 + 100 recordings",
        train=1000,
        test=100,
        shape=(10, 2, _SIDE, _SIDE),
        classes=tuple("0123456789"),
        mean=(0.0, 0.0),
        std=(1.0, 1.0),
        about=(
            "MNIST digits seen by a moving ATIS event camera, 34 x 34 pixels, two polarities, about 300 ms each; "
            "frames of 34 ms. The first 1000 training and the first 100 test recordings: not comparable with results "
            "on all of N-MNIST."
        ),
        licence="CC BY-SA 4.0",
        citation=(
            "G. Orchard, A. Jayawant, G. Cohen, N. Thakor: Converting Static Image Datasets to Spiking Neuromorphic "
            "Datasets Using Saccades. Frontiers in Neuroscience 9:437, 2015."
        ),
        key="orchard2015nmnist",
        aliases=("nmnist",),
    ),
    folders=("nmnist-1100", "nmnist", "."),
    sha256=((_FILE, "49a2449d942311a24e88ce1cc17bee178e26d85f6c35685c02638465d8ba7884"),),
    bins=Bins(steps=10, dt=34_000),
)
