"""snn4: deep spiking neural networks, trained by every route and compared honestly with their ANN.

from snn4 import nn
net = torch.nn.Sequential(nn.Linear(784, 400), nn.LIF(tau=2.0), nn.Linear(400, 10), nn.LI())
y = net(x)                               # x is (T, B, 784); a call starts at rest
y, state = snn4.run(net, x)              # ... unless you ask for the state and hand it back
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snn4 import (
        data,
        kernels,
        models,
        neurons,
        nn,
        objectives,
        profiling,
        quantization,
        recipes,
        surrogates,
        testing,
        through_time,
        timing,
        training,
        view,
    )
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
    from snn4.core.papers import cite
    from snn4.core.quantity import Learned
    from snn4.core.states import States, state
    from snn4.kernels import warmup
    from snn4.profiling import profile
    from snn4.through_time import BPTT, DSR, OTTT, SLTT, EProp, Neuron, Stream, checkpoint, explain, run, use_route

__version__ = "0.1.0"

# Every name is found on first use, so that the command line answers before torch is loaded.
_HOMES = {
    "snn4.core.papers": ("cite",),
    "snn4.core.quantity": ("Learned",),
    "snn4.core.states": ("States", "state"),
    "snn4.kernels": ("warmup",),
    "snn4.profiling": ("profile",),
    "snn4.through_time": (
        "BPTT",
        "DSR",
        "OTTT",
        "SLTT",
        "EProp",
        "Neuron",
        "Stream",
        "checkpoint",
        "explain",
        "run",
        "use_route",
    ),
}
_NAMES = {name: home for home, names in _HOMES.items() for name in names}
_PACKAGES = (
    "data",
    "kernels",
    "models",
    "neurons",
    "nn",
    "objectives",
    "profiling",
    "quantization",
    "recipes",
    "surrogates",
    "testing",
    "through_time",
    "timing",
    "training",
    "view",
)


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        found = importlib.import_module(f"snn4.{name}")
    elif name in _NAMES or name.endswith("Error"):
        home = importlib.import_module(_NAMES.get(name, "snn4.core.errors"))
        if not hasattr(home, name):
            raise AttributeError(f"module 'snn4' has no attribute {name!r}")
        found = getattr(home, name)
        if name == "Neuron":
            importlib.import_module("snn4.kernels")  # who writes a neuron wants it compiled
    else:
        raise AttributeError(f"module 'snn4' has no attribute {name!r}")
    # from now on it is an ordinary attribute, which torch.compile can see as well
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "BPTT",
    "DSR",
    "OTTT",
    "SLTT",
    "CheckpointError",
    "DataFileError",
    "EProp",
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
    "kernels",
    "models",
    "neurons",
    "nn",
    "objectives",
    "profile",
    "profiling",
    "quantization",
    "recipes",
    "run",
    "state",
    "surrogates",
    "testing",
    "through_time",
    "timing",
    "training",
    "use_route",
    "view",
    "warmup",
]
