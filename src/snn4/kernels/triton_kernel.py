"""The kernel that runs a neuron on a GPU: its own step, printed as Triton."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.kernels.build import BuildError, notice
from snn4.kernels.choice import wish
from snn4.kernels.fused import accepted, launch, unfit
from snn4.kernels.identity import Identity
from snn4.kernels.triton_plan import TritonPlan, triton_plan_for
from snn4.kernels.triton_source import interpreted, no_triton_reason
from snn4.through_time.loop import reference_loop

if TYPE_CHECKING:
    from snn4.through_time import Neuron

__all__ = ["TRITON", "TritonKernel"]

# whether benchmarks/gpu.py has found them right on a GPU; until then nobody gets them unasked
_CHECKED = False
# below, Triton supports only a part of what the kernels use
_CAPABILITY = (7, 0)
# the dtype of the state and of arithmetic, for each dtype of the input
_REAL = {
    torch.float64: torch.float64,
    **dict.fromkeys((torch.float32, torch.bfloat16, torch.float16), torch.float32),
}


class _Local(threading.local):
    """The call that was accepted last, so that a plan is looked up once."""

    # weak: an input must not live longer because somebody asked who would run it
    accepted: tuple[weakref.ref[Neuron], weakref.ref[Tensor], Identity, TritonPlan] | None = None


class TritonKernel:
    """All steps of a layer in one pass over a GPU's memory, in Triton generated from the neuron's own `step`.

    Args:
        device: the kind of device whose tensors it takes. Another than `"cuda"` is for Triton's interpreter.
    """

    def __init__(self, device: str = "cuda") -> None:
        self.device = device
        self._local = _Local()

    @property
    def name(self) -> str:
        """What `snn4.explain` prints."""
        return "triton"

    def refuses(self, neuron: Neuron, xs: Tensor, state: Any) -> str | None:
        """Why this call goes elsewhere, or None. At a neuron's first call this traces it."""
        if torch.compiler.is_compiling():
            return "inside torch.compile, which makes its own kernels"
        wanted = wish()
        if wanted.implementation not in ("auto", self.name):
            return f"use({wanted.implementation!r}) is in force"
        if wanted.implementation == "auto" and not _CHECKED and xs.device.type == self.device:
            return "no GPU has checked these kernels yet; use('triton') runs them all the same"
        reason = self._refuses(neuron, xs, state)
        if reason is not None and wanted.implementation == self.name:
            raise OptionError(
                f"use('triton') is in force, but {type(neuron).__name__} cannot run as a kernel ({reason})",
                "a neuron and a call that the compiler can take, on a GPU",
                "Use 'auto' to fall back on the reference loop.",
            )
        return reason

    def _refuses(self, neuron: Neuron, xs: Tensor, state: Any) -> str | None:
        self._local.accepted = None
        if xs.device.type != self.device:
            return f"the input lies on {xs.device}"
        real = _REAL.get(xs.dtype)
        if real is None:
            return f"the input is {str(xs.dtype).removeprefix('torch.')}"
        if real != xs.dtype and not _narrow(neuron, xs):
            return f"the input is {str(xs.dtype).removeprefix('torch.')} and not spikes under autocast"
        reason = no_triton_reason() or _device_reason(xs.device)
        if reason is not None:
            return reason
        seen = accepted(neuron, xs, state, real)
        if isinstance(seen, str):
            return seen
        if (reason := unfit(seen, xs.device)) is not None:
            return reason
        plan = triton_plan_for(neuron, seen, xs.shape[2:], real, xs.device)
        if isinstance(plan, str):
            return plan
        if plan.broken is not None:
            return plan.broken
        self._local.accepted = (weakref.ref(neuron), weakref.ref(xs), seen, plan)
        return None

    def __call__(self, neuron: Neuron, xs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Outputs and last state."""
        ys, *last = self._run(neuron, xs, state, last=True)
        return ys, type(state)(*last)

    def outputs(self, neuron: Neuron, xs: Tensor, state: Any) -> Tensor:
        """Outputs alone."""
        return self._run(neuron, xs, state, last=False)[0]

    def _run(self, neuron: Neuron, xs: Tensor, state: Any, *, last: bool) -> tuple[Tensor, ...]:
        found = self._local.accepted
        self._local.accepted = None
        if found is None or found[0]() is not neuron or found[1]() is not xs:
            reason = self.refuses(neuron, xs, state)
            found, self._local.accepted = self._local.accepted, None
            if found is None:
                came = f"the kernel of {type(neuron).__name__} was called although it refuses"
                raise OptionError(came, "no call", str(reason))
        _, _, seen, plan = found
        try:
            return launch(neuron, xs, state, seen, plan, last=last)
        except BuildError as problem:
            if wish().implementation == self.name:
                raise
            notice(f"{type(neuron).__name__} runs in the reference loop: {problem.came}")
        ys, after = reference_loop(neuron, xs.to(plan.dtype), state)
        return ys.to(xs.dtype), *after


def _narrow(neuron: Neuron, xs: Tensor) -> bool:
    """Whether input and output may travel in fewer bits than the state: under autocast, where outputs lose none."""
    return torch.is_autocast_enabled(xs.device.type) and neuron.alphabet is not None


def _device_reason(device: torch.device) -> str | None:
    """Why this device cannot run Triton's kernels, or None."""
    if device.type != "cuda":
        return None if interpreted() else f"Triton's interpreter, which {device.type} would need, is off"
    if torch.version.hip is not None:
        return "a GPU of AMD, on which the kernels have not been checked"
    found = torch.cuda.get_device_capability(device)
    return None if found >= _CAPABILITY else f"a GPU of compute capability {found[0]}.{found[1]}"


TRITON = TritonKernel()
