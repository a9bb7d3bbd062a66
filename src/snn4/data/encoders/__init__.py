"""Encoders: values, or sequences of values, to what a spiking network takes. One code a file."""

from __future__ import annotations

from snn4.data.encoders.delta import Delta
from snn4.data.encoders.direct import Direct, repeat
from snn4.data.encoders.encoder import Encoder
from snn4.data.encoders.latency import Latency, LogLatency
from snn4.data.encoders.phase import Phase
from snn4.data.encoders.pixels import Pixels
from snn4.data.encoders.poisson import Poisson
from snn4.data.encoders.population import Population

__all__ = ["Delta", "Direct", "Encoder", "Latency", "LogLatency", "Phase", "Pixels", "Poisson", "Population", "repeat"]
