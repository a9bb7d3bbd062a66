"""Trace a neuron's own `step` and its derivative once, and split it in two.

What depends on input or state must be elementwise and becomes a `StepGraph`. What depends on the neuron's tensors alone
(a time constant that becomes a decay) runs once a call in torch itself: before the kernel, and, for the gradient, after
it, from sums over time and elements that the kernel has made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import functional_call

from snn4.kernels.record import Recorder, Recording
from snn4.kernels.split import Refused, Splitter, Traced
from snn4.kernels.torch_facts import Stepper

if TYPE_CHECKING:
    from snn4.through_time import Neuron

__all__ = ["trace"]

# the batch of the trace: not 1, so that sums over the batch show
_BATCH = 2


class _Seed(torch.autograd.Function):
    """A number whose gradient by each input is given.

    torch.autograd.grad takes gradients of tensors as well, but loads symbolic mathematics to look at them.
    """

    @staticmethod
    def forward(ctx: Any, grads: list[Tensor], *_outs: Tensor) -> Tensor:
        ctx.grads = grads
        return torch.zeros((), device="cpu")

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Any, ...]:
        return (None, *ctx.grads)


class _WithDerivative(torch.nn.Module):
    """The step and its vector-Jacobian product."""

    def __init__(self, inner: Stepper) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, state: list[Tensor], grads: list[Tensor], learned: list[Tensor]) -> list[Any]:
        outs: tuple[Any, ...] = self.inner(x, state)
        if any(not isinstance(out, Tensor) or out.shape != x.shape for out in outs):
            owner = type(self.inner.neuron).__name__
            raise Refused(f"{owner}.step gives a value that is not shaped like its input")
        pairs = [(out, grad) for out, grad in zip(outs, grads, strict=True) if out.requires_grad]
        wanted = [x, *state, *learned]
        found: Any = [None] * len(wanted)
        if pairs:
            # as the loop sums: out of place, each gradient in the order in which it comes
            loss: Any = _Seed.apply([g for _, g in pairs], *(o for o, _ in pairs))
            found = torch.autograd.grad(loss, wanted, create_graph=True, allow_unused=True)
        wide = 1 + len(state)
        same = [torch.zeros_like(w) if g is None else g for g, w in zip(found[:wide], wanted, strict=False)]
        return [*outs, *same, *found[wide:]]


def trace(
    neuron: Neuron,
    tensors: Mapping[str, Tensor],
    features: Sequence[int],
    dtype: torch.dtype,
    learned: Sequence[str],
) -> Traced:
    """Trace `neuron.step` on features of this shape.

    Args:
        neuron: whose step.
        tensors: its parameters and buffers by path.
        features: the shape of one sample.
        dtype: of input and state.
        learned: the tensors whose gradient is wanted.

    Raises:
        Refused: with the reason.
    """
    recording, names = _recorded(neuron, tensors, features, dtype, learned)
    count = len(neuron.State._fields)
    return Splitter(type(neuron).__name__, neuron, recording, count, names, learned, (_BATCH, *features), dtype).split()


def _recorded(
    neuron: Neuron, tensors: Mapping[str, Tensor], features: Sequence[int], dtype: torch.dtype, learned: Sequence[str]
) -> tuple[Recording, list[str]]:
    names = [*learned, *(n for n in tensors if n not in learned)]
    fields, shape = len(neuron.State._fields), (_BATCH, *features)
    # numbers of one input each, so that no two of them are one tensor
    x = torch.full(shape, 0.5, dtype=dtype, device="cpu", requires_grad=True)
    state = [torch.full(shape, 0.25, dtype=dtype, device="cpu", requires_grad=True) for _ in range(fields)]
    grads = [torch.full(shape, 0.125, dtype=dtype, device="cpu") for _ in range(fields + 1)]
    values = [
        torch.full(tensors[n].shape, 0.5, dtype=tensors[n].dtype, device="cpu", requires_grad=n in learned)
        for n in names
    ]
    # the derivative of a surrogate reads its tensors in backward: the values stay in place until that is done
    given = {f"inner.neuron.{n}": v for n, v in zip(names, values, strict=True)}
    recorder = Recorder()
    for name, tensor in zip(_names(fields, len(values)), (x, *state, *grads, *values), strict=True):
        recorder.give(tensor, name)
    try:
        with recorder:
            outs = functional_call(
                _WithDerivative(Stepper(neuron)),
                given,
                (x, state, grads, values[: len(learned)]),
                tie_weights=False,
            )
        return recorder.finish(outs), names
    except Refused:
        raise
    except Exception as problem:
        said = str(problem).strip().splitlines() or [type(problem).__name__]
        raise Refused(f"{type(neuron).__name__}.step cannot be traced ({said[0]})") from problem


def _names(fields: int, tensors: int) -> list[str]:
    return [
        "x",
        *(f"state{k}" for k in range(fields)),
        *(f"grad{k}" for k in range(fields + 1)),
        *(f"value{k}" for k in range(tensors)),
    ]
