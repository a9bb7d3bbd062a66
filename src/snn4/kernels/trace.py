"""Trace a neuron's own `step` and its derivative once, and split it in two.

What depends on input or state must be elementwise and becomes a `StepGraph`. What depends on the neuron's tensors alone
(a time constant that becomes a decay) runs once a call in torch itself: before the kernel, and, for the gradient, after
it, from sums over time and elements that the kernel has made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import functional_call, vjp

from snn4.kernels.lowering import decompositions
from snn4.kernels.split import Refused, Splitter, Traced
from snn4.kernels.torch_facts import Stepper
from snn4.through_time.autograd import saved_tensor_hooks

if TYPE_CHECKING:
    from snn4.through_time import Neuron

__all__ = ["trace"]

# the batch of the trace: not 1, so that sums over the batch show
_BATCH = 2


class _WithDerivative(torch.nn.Module):
    """The step and its vector-Jacobian product."""

    def __init__(self, inner: Stepper) -> None:
        super().__init__()
        self.inner = inner

    def forward(
        self,
        x: Tensor,
        state: list[Tensor],
        grads: tuple[Tensor, ...],
        wanted: dict[str, Tensor],
        rest: dict[str, Tensor],
    ) -> tuple[Any, Any]:
        def step(x: Tensor, state: list[Tensor], wanted: dict[str, Tensor]) -> Any:
            outs: tuple[Any, ...] = functional_call(self.inner, {**rest, **wanted}, (x, state), tie_weights=False)
            if any(not isinstance(out, Tensor) or out.shape != x.shape for out in outs):
                owner = type(self.inner.neuron).__name__
                raise Refused(f"{owner}.step gives a value that is not shaped like its input")
            return outs

        result: tuple[Any, ...] = vjp(step, x, state, wanted)
        return result[0], result[1](grads)


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
    if saved_tensor_hooks() is not None:
        # torch.func does not work where saved tensors are packed (checkpoints, snn4.kernels.saved_as); they are packed
        # thread by thread
        with ThreadPoolExecutor(1) as thread:
            module, names = thread.submit(_make, neuron, tensors, features, dtype, learned).result()
    else:
        module, names = _make(neuron, tensors, features, dtype, learned)
    count = len(neuron.State._fields)
    return Splitter(type(neuron).__name__, neuron, module, count, names, learned, (_BATCH, *features), dtype).split()


def _make(
    neuron: Neuron, tensors: Mapping[str, Tensor], features: Sequence[int], dtype: torch.dtype, learned: Sequence[str]
) -> tuple[torch.fx.GraphModule, list[str]]:
    from torch.fx.experimental.proxy_tensor import make_fx

    outer = _WithDerivative(Stepper(neuron))
    names = [*learned, *(n for n in tensors if n not in learned)]

    def joint(x: Tensor, state: list[Tensor], grads: list[Tensor], values: list[Tensor]) -> Any:
        given = {f"neuron.{n}": v for n, v in zip(names, values, strict=True)}
        wanted = {f"neuron.{n}": given[f"neuron.{n}"] for n in learned}
        rest = {n: v for n, v in given.items() if n not in wanted}
        # twice: the derivative of a surrogate reads its tensors after the inner call has put them back
        inside = {f"inner.{n}": v for n, v in given.items()}
        return functional_call(outer, inside, (x, state, tuple(grads), wanted, rest), tie_weights=False)

    fields = len(neuron.State._fields)
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False):
        shape = (_BATCH, *features)
        x = torch.full(shape, 0.5, dtype=dtype, device="cpu")
        state = [torch.full(shape, 0.25, dtype=dtype, device="cpu") for _ in range(fields)]
        grads = [torch.full(shape, 0.125, dtype=dtype, device="cpu") for _ in range(fields + 1)]
        values = [torch.full(tensors[n].shape, 0.5, dtype=tensors[n].dtype, device="cpu") for n in names]
        try:
            module = make_fx(joint, decomposition_table=decompositions())(x, state, grads, values)
        except Refused:
            raise
        except Exception as problem:
            said = str(problem).strip().splitlines() or [type(problem).__name__]
            raise Refused(f"{type(neuron).__name__}.step cannot be traced ({said[0]})") from problem
    module.graph.eliminate_dead_code()
    return module, names
