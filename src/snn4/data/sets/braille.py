"""Braille letters, felt by a tactile finger tip with twelve taxels.

Paper: [mullercleve2022braille]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from snn4.data.dataset import Split
from snn4.data.readers.labels import check_labels
from snn4.data.sets.events import NumpyFiles, consistent, load_arrays
from snn4.data.sets.source import Card

__all__ = ["BRAILLE", "Braille"]

_FILE = "braille_tactile.npz"
_STEPS, _TAXELS = 76, 12
# of the 50 repetitions of each letter, those that test
_TEST_FROM = 40


@dataclass(frozen=True)
class Braille(NumpyFiles):
    """1350 sequences in one numpy archive. Read as pressure, 0 untouched to 255."""

    def read(self, folder: Path, *, verify: bool) -> tuple[Split, Split]:
        """Training and test split. Sequences of 77 steps lose their last one."""
        if verify:
            self.check(folder)
        path = folder / _FILE
        found = load_arrays(path, {"taxel": 2, "offsets": 1, "label": 1, "repetition": 1})
        with consistent(path, "sequences with their labels"):
            offsets, taxel, repetition = found["offsets"].astype(np.int64), found["taxel"], found["repetition"]
            label = check_labels(found["label"], len(offsets) - 1, len(self.card.classes), path)
            if taxel.shape[1] != _TAXELS or (taxel.size and (int(taxel.min()) < 0 or int(taxel.max()) > 255)):
                raise ValueError(f"readings of shape {taxel.shape} from {taxel.min()} to {taxel.max()}")
            if repetition.shape != label.shape or (int(offsets[0]), int(offsets[-1])) != (0, len(taxel)):
                raise ValueError(f"offsets from {offsets[0]} to {offsets[-1]} and {len(repetition)} repetitions")
            rows = offsets[:-1, None] + np.arange(_STEPS)
            if bool((np.diff(offsets) < _STEPS).any()):
                raise ValueError(f"a sequence of less than {_STEPS} steps")
            # the sensor sends 255 at rest and less where it is touched
            touch = 255 - taxel.astype(np.uint8)[rows]
            test = repetition >= _TEST_FROM
            train, held = (Split(torch.from_numpy(touch[w]), torch.from_numpy(label[w])) for w in (~test, test))
        return train, held


BRAILLE = Braille(
    card=Card(
        name="braille",
        title="Braille letters, tactile",
        train=1080,
        test=270,
        shape=(_STEPS, 12),
        classes=("space", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        mean=(0.0,),
        std=(1.0,),
        about=(
            "A tactile sensor of 12 taxels slides over printed Braille: space and A to Z, 50 repetitions, 76 steps. "
            "There is no official split: repetitions 40 to 49 test."
        ),
        licence="CC BY 4.0",
        citation=(
            "S. F. Müller-Cleve et al.: Braille Letter Reading: A Benchmark for Spatio-Temporal Pattern Recognition on "
            "Neuromorphic Hardware. Frontiers in Neuroscience 16:951164, 2022."
        ),
        key="mullercleve2022braille",
    ),
    folders=("braille-tactile", "braille", "."),
    sha256=((_FILE, "f2d9d56cf2c69ab7c9d0d2c8ef6104656129355b4b5144cf5d066a09dc1cc571"),),
)
