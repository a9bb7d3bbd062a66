"""Who runs a neuron over a sequence: kernels, which may refuse a call and say why, or the reference loop.

A kernel is registered with `register`; the newest is asked first. It never changes a result silently: whatever it
computes must agree with the loop over the neuron's own `step`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from torch import Tensor

from snn4.through_time.staged import staged

if TYPE_CHECKING:
    from snn4.through_time.neuron import Neuron

__all__ = ["Kernel", "choose", "first", "register", "registered", "unregister"]


@runtime_checkable
class Kernel(Protocol):
    """An implementation of a neuron over a sequence."""

    @property
    def name(self) -> str:
        """What `snn4.explain` prints."""
        ...

    def refuses(self, neuron: Neuron, xs: Tensor, state: Any) -> str | None:
        """Why this call cannot be taken, or None."""
        ...

    def __call__(self, neuron: Neuron, xs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Outputs and last state.

        A kernel may have two methods more, with the same arguments: `outputs`, which leaves the last state out, and
        `again`, which gives a function for calls like this one from rest (see `snn4.through_time.again`), or None.
        """
        ...


_kernels: list[Kernel] = []


def register(kernel: Kernel) -> None:
    """Let `kernel` be asked before all that are registered so far."""
    _kernels.insert(0, kernel)


def unregister(kernel: Kernel) -> None:
    """Take a kernel out again."""
    _kernels.remove(kernel)


def registered() -> tuple[Kernel, ...]:
    """All kernels, in the order in which they are asked; the reference loop, which comes last, is not among them."""
    return tuple(_kernels)


def first() -> Kernel | None:
    """The kernel that is asked first."""
    return _kernels[0] if _kernels else None


def choose(neuron: Neuron, xs: Tensor, state: Any) -> tuple[Kernel | None, list[tuple[str, str]]]:
    """The first kernel that takes this call (None: the reference loop), and who refused before it, with reasons."""
    stages = staged(neuron, xs, state, choose) if _kernels else None
    if stages is not None:
        return stages, []
    refusals: list[tuple[str, str]] = []
    for kernel in _kernels:
        reason = kernel.refuses(neuron, xs, state)
        if reason is None:
            return kernel, refusals
        refusals.append((kernel.name, reason))
    return None, refusals
