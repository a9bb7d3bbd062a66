"""Floor 0: state, quantities, checks, errors, files, papers. It knows nothing of spikes.

Its names are found on first use: `snn4.core.errors` alone does not need torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from snn4.core.states import States, state

_HOMES = {"Learned": "quantity", "Quantified": "quantity", "States": "states", "state": "states"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'snn4.core' has no attribute {name!r}")
    return getattr(importlib.import_module(f"snn4.core.{_HOMES.get(name, 'errors')}"), name)


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
