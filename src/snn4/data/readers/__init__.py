"""Readers of the file formats that data sets come in. Each refuses what is damaged and says what to do."""

from __future__ import annotations

from snn4.data.readers.cifar_binary import read_cifar_binary
from snn4.data.readers.cifar_python import read_cifar_python
from snn4.data.readers.idx import read_idx
from snn4.data.readers.medxz import read_medxz

__all__ = ["read_cifar_binary", "read_cifar_python", "read_idx", "read_medxz"]
