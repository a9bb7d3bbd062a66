"""NeuroRadar: hand gestures as spikes of a neuromorphic radar.

Paper: [zheng2023neuroradar]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snn4.data.readers.labels import check_labels
from snn4.data.recordings import Recordings
from snn4.data.sets.events import Bins, EventSource, consistent, load_arrays
from snn4.data.sets.source import Card

__all__ = ["RADAR", "Radar"]

_FILE = "neuroradar_gesture.npz"


@dataclass(frozen=True)
class Radar(EventSource):
    """2400 recordings of six channels in one numpy archive."""

    def recordings(self, folder: Path, *, verify: bool) -> tuple[Recordings, Recordings]:
        """Training and test recordings."""
        if verify:
            self.check(folder)
        path = folder / _FILE
        found = load_arrays(path, dict.fromkeys(("t", "channel", "offsets", "label", "train_idx", "test_idx"), 1))
        with consistent(path, "recordings with their labels"):
            every = Recordings(
                # stored in units of 0.1 ms
                t=found["t"].astype(np.int64) * 100,
                address=found["channel"].astype(np.int64),
                offsets=found["offsets"].astype(np.int64),
                targets=check_labels(found["label"], len(found["offsets"]) - 1, len(self.card.classes), path),
                shape=(6,),
            )
            chosen = np.concatenate([found["train_idx"], found["test_idx"]])
            if len(np.unique(chosen)) < len(chosen):
                raise ValueError("a recording is chosen twice")
            return every.take(found["train_idx"]), every.take(found["test_idx"])


RADAR = Radar(
    card=Card(
        name="radar",
        title="NeuroRadar gestures",
        train=1920,
        test=480,
        shape=(128, 6),
        classes=tuple(f"gesture {n}" for n in range(1, 13)),
        mean=(0.0,),
        std=(1.0,),
        about=(
            "12 hand gestures, 2400 recordings of about 1.5 s by a neuromorphic radar with six channels; frames of "
            "12 ms. There is no official split: this is the 80/20 permutation of the authors' script."
        ),
        licence="MIT, Copyright (c) 2024 Kai Zheng",
        citation=(
            "K. Zheng, K. Qian, T. Woodford, X. Zhang: NeuroRadar: A Neuromorphic Radar Sensor for Low-Power IoT "
            "Systems. SenSys 2023."
        ),
        key="zheng2023neuroradar",
        aliases=("neuroradar",),
    ),
    folders=("neuroradar-gesture", "neuroradar", "."),
    sha256=((_FILE, "4f2fb42f7c24ebf0394638cf0df8b569704f91bfe9848540bbae14aa6b88a5ab"),),
    bins=Bins(steps=128, dt=12_000),
)
