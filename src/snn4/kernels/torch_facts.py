"""The few private facts of torch that decide whether a call may leave it, asked for in one place."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

if TYPE_CHECKING:
    from snn4.through_time import Neuron

__all__ = ["Stepper", "from_dlpack", "threads", "transformed", "watched"]


def _private(*path: str) -> Callable[..., Any] | None:
    found: Any = torch
    for name in path:
        found = getattr(found, name, None)
    return cast("Callable[..., Any] | None", found)


_transform = _private("_C", "_functorch", "peek_interpreter_stack")
_modes = _private("_C", "_len_torch_dispatch_stack")
_tracing = _private("_C", "_get_tracing_state")


# of a capsule, without looking for other ways to get at the memory; fifty times a step it can be felt
from_dlpack: Callable[[Any], Tensor] = _private("_C", "_from_dlpack") or torch.from_dlpack


def transformed() -> str | None:
    """Which transformation of functions is under way that needs each operation; None for none."""
    if _transform is not None and _transform() is not None:
        return "inside a torch.func transform (vmap, grad, jvp ...)"
    if torch.autograd.forward_ad._current_level >= 0:  # pyright: ignore[reportPrivateUsage]
        return "inside forward-mode differentiation"
    return None


def watched() -> str | None:
    """Who looks at, or changes, each operation at the moment, and would not see a kernel; None for nobody."""
    if reason := transformed():
        return reason
    if _modes is not None and _modes():
        return "inside a torch dispatch mode (fake tensors, make_fx, counters ...)"
    if _tracing is not None and _tracing() is not None:
        return "inside torch.jit tracing"
    return None


class Stepper(torch.nn.Module):
    """A neuron whose forward is one step, for `torch.func.functional_call`."""

    def __init__(self, neuron: Neuron) -> None:
        super().__init__()
        self.neuron = neuron

    def forward(self, x: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Output and new state fields, one behind the other."""
        y, new = self.neuron.step(x, self.neuron.State(*state))
        return (y, *new)


_forked = False


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def threads() -> int:
    """How many threads a kernel may use: torch's setting; one in a forked process.

    The threads of OpenMP do not survive a fork: the first parallel region of the child would wait for them for ever.
    """
    return 1 if _forked else torch.get_num_threads()
