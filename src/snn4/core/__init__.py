"""Floor 0: state, quantities, checks, errors, files, papers. It knows nothing of spikes."""

from __future__ import annotations

from snn4.core.errors import (
    CheckpointError,
    DataFileError,
    GraphError,
    MissingLibraryError,
    NotFiniteError,
    OptionError,
    ShapeError,
    Snn4Error,
    StateError,
    StorageError,
)
from snn4.core.quantity import Learned, Quantified
from snn4.core.state import States, state

__all__ = [
    "CheckpointError",
    "DataFileError",
    "GraphError",
    "Learned",
    "MissingLibraryError",
    "NotFiniteError",
    "OptionError",
    "Quantified",
    "ShapeError",
    "Snn4Error",
    "StateError",
    "States",
    "StorageError",
    "state",
]
