"""Trace a neuron's own `step` and its derivative once, and split it in two.

What depends on input or state must be elementwise and becomes a `StepGraph`. What depends on the neuron's tensors alone
(a time constant that becomes a decay) runs once a call in torch itself: before the kernel, and, for the gradient, after
it, from sums over time and elements that the kernel has made.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor
from torch.func import functional_call

from snn4.kernels.identity import HOOKS, Identity, identity
from snn4.kernels.record import Recorder, Recording
from snn4.kernels.split import Refused, Splitter, Traced
from snn4.kernels.torch_facts import Stepper
from snn4.through_time.contract import answered

if TYPE_CHECKING:
    from snn4.through_time import Neuron

__all__ = ["trace", "traced_step"]

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


class _Answering(Stepper):
    """A step that gives what the loop asks for: a kernel serves nobody whom the loop would refuse."""

    def forward(self, x: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, ...]:
        before = self.neuron.State(*state)
        y, new = answered(self.neuron, self.neuron.step(x, before), before)
        return (y, *new)


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
                _WithDerivative(_Answering(neuron)),
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


def _copy(neuron: Neuron) -> Neuron:
    """A copy that shares tensors, without the hooks on the neuron itself, which look at calls and not at steps."""
    memo: dict[int, Any] = {id(vars(neuron)[name]): OrderedDict() for name in HOOKS}
    # a tensor that somebody has put in a parameter's place for one call cannot be copied, and need not be
    memo.update((id(t), t) for t in (*neuron.parameters(), *neuron.buffers()))
    return copy.deepcopy(neuron, memo)


Found = TypeVar("Found")


def _undisturbed(make: Callable[[], Found]) -> Found:
    """Do it in a thread of its own: none of the caller's modes, hooks, transforms, autocast or default device is there.

    What torch.utils.checkpoint, a counter or the first call inside `torch.inference_mode` leaves in the caller's thread
    would otherwise decide whether a neuron can be traced, once and for all.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(make).result()


def traced_step(neuron: Neuron, seen: Identity, features: Sequence[int], dtype: torch.dtype) -> Traced | str:
    """The neuron's step, traced in a copy that is thrown away; or why it cannot be."""
    return _undisturbed(lambda: _traced(neuron, seen, features, dtype))


def _traced(neuron: Neuron, seen: Identity, features: Sequence[int], dtype: torch.dtype) -> Traced | str:
    learned = [name for name, tensor in seen.tensors.items() if tensor.requires_grad]
    rest = [name for name in seen.tensors if name not in learned]
    tensors = {n: seen.tensors[n] for n in (*learned, *rest)}
    try:
        # a copy: a step that stores things in its module would leave the trace's own tensors in the user's neuron
        twin = _copy(neuron)
        before = identity(twin).key
        traced = trace(twin, tensors, features, dtype, learned)
    except Refused as reason:
        return str(reason)
    except (RuntimeError, TypeError, AttributeError) as problem:
        return f"it cannot be copied to be traced ({problem})"
    try:
        changed = identity(twin).key != before
    except Refused:
        changed = True
    if changed:
        return f"{type(neuron).__name__}.step changes its module"
    return traced
