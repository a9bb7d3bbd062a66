"""snn4: deep spiking neural networks, trained by every route and compared honestly with their ANN.

from snn4 import nn
net = torch.nn.Sequential(nn.Linear(784, 400), nn.LIF(tau=2.0), nn.Linear(400, 10), nn.LI())
y = net(x)                               # x is (T, B, 784); a call starts at rest
y, state = snn4.run(net, x)              # ... unless you ask for the state and hand it back
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from snn4 import nn
from snn4.core import (
    CheckpointError,
    DataFileError,
    GraphError,
    Learned,
    MissingLibraryError,
    NotFiniteError,
    OptionError,
    ShapeError,
    Snn4Error,
    StateError,
    States,
    StorageError,
    state,
)
from snn4.core.papers import cite
from snn4.through_time import BPTT, Neuron, Stream, checkpoint, explain, run, use_route

if TYPE_CHECKING:
    from snn4 import (
        data,
        models,
        neurons,
        objectives,
        profiling,
        quantization,
        surrogates,
        testing,
        through_time,
        training,
        view,
    )
    from snn4.profiling import profile

__version__ = "0.1.0"

# found on first use, so that `import snn4` stays as light as torch allows
_LAZY_PACKAGES = ("data", "models", "objectives", "profiling", "quantization", "testing", "training", "view", "recipes")
_LAZY_NAMES = {"profile": "snn4.profiling"}


def __getattr__(name: str) -> Any:
    if name in _LAZY_PACKAGES:
        return importlib.import_module(f"snn4.{name}")
    if name in _LAZY_NAMES:
        return getattr(importlib.import_module(_LAZY_NAMES[name]), name)
    raise AttributeError(f"module 'snn4' has no attribute {name!r}")


__all__ = [
    "BPTT",
    "CheckpointError",
    "DataFileError",
    "GraphError",
    "Learned",
    "MissingLibraryError",
    "Neuron",
    "NotFiniteError",
    "OptionError",
    "ShapeError",
    "Snn4Error",
    "StateError",
    "States",
    "StorageError",
    "Stream",
    "checkpoint",
    "cite",
    "data",
    "explain",
    "models",
    "neurons",
    "nn",
    "objectives",
    "profile",
    "profiling",
    "quantization",
    "run",
    "state",
    "surrogates",
    "testing",
    "through_time",
    "training",
    "use_route",
    "view",
]
