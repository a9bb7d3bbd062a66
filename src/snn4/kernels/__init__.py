"""Floor 3: the neuron compiler. Any elementwise neuron, from its own `step`, at the machine's speed.

Importing this package registers the kernels, and `snn4.neurons` imports it. What cannot become a kernel runs in the
reference loop, and `snn4.explain` says why; `with snn4.kernels.use("reference"):` runs everything there.
"""

from __future__ import annotations

from snn4.kernels.blocks import pool
from snn4.kernels.build import BuildError, clear_cache
from snn4.kernels.choice import use
from snn4.kernels.fused import CPP, NUMBA, CpuKernel
from snn4.kernels.memory import keep_memory
from snn4.kernels.spikes import saved_as
from snn4.kernels.triton_kernel import TRITON, TritonKernel
from snn4.kernels.warm import warmup
from snn4.through_time import registry

# the last one is asked first
for kernel in (NUMBA, TRITON, CPP):
    if kernel not in registry.registered():
        registry.register(kernel)

__all__ = [
    "BuildError",
    "CpuKernel",
    "TritonKernel",
    "clear_cache",
    "keep_memory",
    "pool",
    "saved_as",
    "use",
    "warmup",
]
