"""QTDB ECG: which wave of the heart beat each step of a two-lead recording belongs to.

Paper: [laguna1997qtdb, yin2021accurate]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from snn4.data.dataset import Split
from snn4.data.readers.packed import broken
from snn4.data.sets.events import NumpyFiles, load_arrays
from snn4.data.sets.source import Card

__all__ = ["ECG", "Ecg"]

_FILE = "qtdb_ecg.npz"
_STEPS, _CHANNELS, _CLASSES, _UNLABELLED = 1301, 4, 6, 255


@dataclass(frozen=True)
class Ecg(NumpyFiles):
    """759 sequences in one numpy archive, with a class a step; -1 where the source has none.

    The source marks the end of each sequence with -1 in channel 0 of the last step; it is read as no spike.
    """

    def read(self, folder: Path, *, verify: bool) -> tuple[Split, Split]:
        """Training and test split; inputs (N, 1301, 4) of 0 and 1, targets (N, 1301)."""
        if verify:
            self.check(folder)
        path = folder / _FILE
        found = load_arrays(path, {"x_train": 3, "y_train": 2, "x_test": 3, "y_test": 2})
        splits: list[Split] = []
        for part in ("train", "test"):
            x, y = found[f"x_{part}"].astype(np.int16), found[f"y_{part}"].astype(np.int64)
            if x.shape[1:] != (_STEPS, _CHANNELS) or y.shape != x.shape[:2] or not len(x):
                expected = f"(N, {_STEPS}, {_CHANNELS}) and (N, {_STEPS})"
                raise broken(path, f"holds arrays of shapes {x.shape} and {y.shape}", expected)
            y[y == _UNLABELLED] = -1
            if int(y.max()) >= _CLASSES or int(y.min()) < -1:
                raise broken(path, f"holds the class {int(y.max())}", f"0 to {_CLASSES - 1}, or {_UNLABELLED} for none")
            splits.append(Split(torch.from_numpy((x > 0).astype(np.uint8)), torch.from_numpy(y)))
        return splits[0], splits[1]


ECG = Ecg(
    card=Card(
        name="ecg",
        title="QTDB ECG waves",
        train=618,
        test=141,
        shape=(_STEPS, _CHANNELS),
        classes=tuple(f"wave {n}" for n in range(_CLASSES)),
        mean=(0.0,),
        std=(1.0,),
        about=(
            "Two-lead ECG of the QT database as level crossings, up and down, with one of six waves (P, PQ, QR, RS, "
            "ST, TP; the source does not say which number is which) at each of 1301 steps. 8 % of the training and "
            "10 % of the test steps have no label: -1."
        ),
        licence="MIT (preparation), Open Data Commons Attribution 1.0 (QT database)",
        citation=(
            "P. Laguna et al.: A Database for Evaluation of Algorithms for Measurement of QT and Other Waveform "
            "Intervals in the ECG. Computers in Cardiology, 1997. B. Yin, F. Corradi, S. Bohté: Accurate and "
            "efficient time-domain classification with adaptive spiking recurrent neural networks. Nature Machine "
            "Intelligence 3, 2021."
        ),
        key="yin2021accurate",
        aliases=("qtdb", "qtdb-ecg"),
    ),
    folders=("qtdb-ecg", "ecg", "."),
    sha256=((_FILE, "5e4fac742c7f54ddad8516227405f1661225189734f79ff16538a667f9bcb7f7"),),
)
