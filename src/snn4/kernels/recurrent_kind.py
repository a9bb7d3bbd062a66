"""The neurons of one kind in a recurrent layer: their traced step, and what the host does around it."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from snn4.kernels.host import needed_calls, run_calls
from snn4.kernels.split import Traced
from snn4.kernels.trace import traced_step

if TYPE_CHECKING:
    from snn4.kernels.identity import Identity
    from snn4.through_time import Neuron

__all__ = ["Array", "Kind", "kind_of"]

Array: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"
_TRACES = 256


class Kind:
    """Neurons of one kind in a recurrent layer.

    Args:
        traced: their step.
        label: their name.
        size: how many.
    """

    def __init__(self, traced: Traced, label: str, size: int) -> None:
        self.traced, self.graph, self.label, self.size = traced, traced.graph, label, size
        graph = traced.graph
        forward = {a for op in graph.needed((graph.y, *graph.new_states, *graph.saved())) for a in op.args}
        forward |= {graph.y, *graph.new_states, *graph.saved()}
        named = zip(graph.parameters, traced.inputs, strict=True)
        self.early = needed_calls(traced.calls, [i for p, i in named if p.name in forward])
        done = {call.out for call in self.early}
        self.late = [call for call in traced.calls if call.out not in done]

    def rows(self, values: dict[str, Tensor], width: int, dtype: torch.dtype) -> list[Tensor | None]:
        """The parameters as a kernel reads them; None for those whose value is not made yet."""
        rows: list[Tensor | None] = []
        for p, source in zip(self.graph.parameters, self.traced.inputs, strict=True):
            value = values.get(source)
            if value is None:
                rows.append(None)
                continue
            value = value.detach().to(dtype)
            if not p.per_neuron:
                rows.append(value.contiguous())
                continue
            row = torch.empty(width, dtype=dtype, device="cpu")
            row[: self.size] = value.reshape(-1)
            # as the last neuron: whatever the step does with it, it does there
            row[self.size :] = row[self.size - 1]
            rows.append(row)
        return rows

    def gradients(self, values: dict[str, Tensor], sums: Array, dtype: torch.dtype) -> list[Tensor | None]:
        """The gradients of the neuron's tensors, from sums over time. Shape of sums: (roots, B, size)."""
        if not self.traced.roots:
            return [None] * len(self.traced.gradients)
        for about, root, part in zip(self.traced.roots, self.graph.roots, sums, strict=False):
            # numpy adds in one order, with any number of threads
            total: Any = part.sum(0)
            if not root.per_neuron:
                total = total.sum()
            values[about.name] = torch.as_tensor(total).to(dtype).reshape(about.shape)
        run_calls(self.traced.tail, values)
        return [None if name is None else values[name] for name in self.traced.gradients]


_traces: OrderedDict[Any, Traced | str] = OrderedDict()


def kind_of(neuron: Neuron, seen: Identity, size: int, dtype: torch.dtype) -> Kind | str:
    """A neuron's step, traced at its first use; or why it has none."""
    key = (seen.key, size, dtype)
    found = _traces.get(key)
    if found is None:
        found = _traces[key] = traced_step(neuron, seen, (size,), dtype)
        while len(_traces) > _TRACES:
            _traces.popitem(last=False)
    return found if isinstance(found, str) else Kind(found, type(neuron).__name__, size)
