"""Data sets, their splits and order, encoders that turn values into spikes, and augmentation.

>>> import snn4.data
>>> digits = snn4.data.load("digits")
>>> train, val = snn4.data.hold_out(digits.train, 0.1, seed=0)
>>> batch = train.take(snn4.data.order(len(train), seed=0, epoch=0)[:32])
>>> x = snn4.data.Latency(steps=8)(snn4.data.unit(batch.inputs))
>>> x.shape
torch.Size([8, 32, 1, 8, 8])
"""

from __future__ import annotations

from snn4.data.augmentation import Augmentation, Compose, Cutout, Flip, Shift, Stretch, compose
from snn4.data.dataset import DataSet, Split
from snn4.data.encoders import Delta, Direct, Encoder, Latency, LogLatency, Phase, Pixels, Poisson, Population, repeat
from snn4.data.folders import cache_folder, data_folder
from snn4.data.recordings import EVENT, Recordings
from snn4.data.scaling import normalise, unit
from snn4.data.sets.adding import adding
from snn4.data.sets.catalogue import Status, available, card, load, load_recordings, names, register
from snn4.data.sets.delayed_recall import delayed_recall
from snn4.data.sets.source import Card, Found, Remote, Source
from snn4.data.sets.yin_yang import yin_yang
from snn4.data.split import hold_out, order

__all__ = [
    "EVENT",
    "Augmentation",
    "Card",
    "Compose",
    "Cutout",
    "DataSet",
    "Delta",
    "Direct",
    "Encoder",
    "Flip",
    "Found",
    "Latency",
    "LogLatency",
    "Phase",
    "Pixels",
    "Poisson",
    "Population",
    "Recordings",
    "Remote",
    "Shift",
    "Source",
    "Split",
    "Status",
    "Stretch",
    "adding",
    "available",
    "cache_folder",
    "card",
    "compose",
    "data_folder",
    "delayed_recall",
    "hold_out",
    "load",
    "load_recordings",
    "names",
    "normalise",
    "order",
    "register",
    "repeat",
    "unit",
    "yin_yang",
]
