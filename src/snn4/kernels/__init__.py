"""Floor 3: the neuron compiler. Any elementwise neuron, from its own `step`, at the machine's speed.

Importing this package registers the kernels, and `snn4.neurons` imports it. What cannot become a kernel runs in the
reference loop, and `snn4.explain` says why; `with snn4.kernels.use("reference"):` runs everything there.
"""

from __future__ import annotations

from snn4.kernels.build import BuildError
from snn4.kernels.choice import use
from snn4.kernels.fused import CPP, CppKernel
from snn4.kernels.memory import keep_memory
from snn4.kernels.triton_kernel import TRITON, TritonKernel
from snn4.kernels.warm import warmup
from snn4.through_time import registry

# the last one is asked first
for kernel in (TRITON, CPP):
    if kernel not in registry.registered():
        registry.register(kernel)

__all__ = ["BuildError", "CppKernel", "TritonKernel", "keep_memory", "use", "warmup"]
