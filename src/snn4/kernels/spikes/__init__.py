"""Spikes as what they are: bits in memory, events in sums."""

from __future__ import annotations

from snn4.kernels.spikes.bits import Packed, pack, unpack
from snn4.kernels.spikes.pool import pool_spikes
from snn4.kernels.spikes.saving import saved_as

__all__ = ["Packed", "pack", "pool_spikes", "saved_as", "unpack"]
