"""What e-prop carries forward: how each synapse has changed the state of its neuron, and what that does to its output.

Paper: [bellec2020eprop]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from snn4.core.errors import StateError
from snn4.core.states import state
from snn4.through_time.routes import detached
from snn4.through_time.session import Session
from snn4.through_time.synapse import Synapse

if TYPE_CHECKING:
    from snn4.through_time.neuron import Neuron

__all__ = ["Learn", "Presynaptic", "derivatives", "eligibility"]


class Presynaptic(NamedTuple):
    """What one synapse did at this step: until its neuron runs, and turns it into an eligibility."""

    synapse: Synapse
    key: str
    inputs: Tensor
    outputs: Tensor
    kappa: float


class Learn(torch.autograd.Function):
    """Outputs as they are; the error of each weight is that of the output times its eligibility trace."""

    @staticmethod
    def forward(ctx: Any, xs: Tensor, ys: Tensor, slope: Tensor, count: int, *rest: Tensor | None) -> Tensor:  # noqa: ARG004
        """The outputs. Shape (1, B, out), kept."""
        ctx.biases = [rest[count + 2 * n + 1] is not None for n in range(count)]
        ctx.save_for_backward(slope, *(t for t in rest[:count] if t is not None))
        return ys.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        """Error times slope for the input, error times trace for each weight and bias."""
        slope, *traces = ctx.saved_tensors
        signal: Tensor = grad_outputs[0]
        found: list[Tensor | None] = []
        for trace, biased in zip(traces, ctx.biases, strict=True):
            whole = torch.einsum("bo,boi->oi", signal[0], trace)
            found += [whole[:, :-1], whole[:, -1]] if biased else [whole, None]
        return signal * slope, None, None, None, *(None for _ in traces), *found


def derivatives(
    neuron: Neuron, x: Tensor, before: Any
) -> tuple[Tensor, Any, list[Tensor], list[Tensor], list[list[Tensor]]]:
    """One step, and what it does to each neuron alone.

    Returns:
        Output; state; ds/dh of each field; ds/dx, then dh/dx of each field; dh/dh, by field and field before. All have
        the shape of x.
    """
    x = x.detach().requires_grad_()
    fields = [value.detach().requires_grad_() for value in before]
    y, after = neuron.step(x, type(before)(*fields))
    rows: list[Sequence[Tensor]] = []
    for one in (y, *after):
        if one.requires_grad:
            # elementwise: the sum's gradient is each element's own
            rows.append(torch.autograd.grad(one.sum(), [x, *fields], retain_graph=True, materialize_grads=True))
        else:
            rows.append([torch.zeros_like(x) for _ in range(1 + len(fields))])
    return y.detach(), detached(after), list(rows[0][1:]), [row[0] for row in rows], [list(row[1:]) for row in rows[1:]]


def eligibility(
    session: Session, one: Presynaptic, out: list[Tensor], into: list[Tensor], own: list[list[Tensor]], *, spiking: bool
) -> Tensor:
    """The trace of one synapse at this step; the vectors go on in the session. Shape (B, out, in + bias)."""
    inputs = one.inputs
    if one.synapse.bias is not None:
        inputs = torch.cat([inputs, inputs.new_ones(*inputs.shape[:-1], 1)], -1)
    pre = inputs.to(into[0]).unsqueeze(-2)
    names = [f"of{n}" for n in range(len(own))] + ["filtered"]
    carried = session.incoming_of(one.key)
    shape = (*into[0].shape, pre.shape[-1])
    vectors: list[Tensor] = [pre.new_zeros(shape) for _ in names] if carried is None else list(carried)
    if len(vectors) != len(names) or any(v.shape != shape for v in vectors):
        raise StateError(
            f"the eligibility of {one.key!r} has {[tuple(v.shape) for v in vectors]}",
            f"{len(names)} of shape {shape}",
            "The batch changed, or the network; start again without a state.",
        )
    *vectors, filtered = vectors
    trace = into[0].unsqueeze(-1) * pre
    for slope, vector in zip(out, vectors, strict=True):
        trace = trace + slope.unsqueeze(-1) * vector
    new: list[Tensor] = []
    for drive, slopes in zip(into[1:], own, strict=True):
        total = drive.unsqueeze(-1) * pre
        for slope, vector in zip(slopes, vectors, strict=True):
            total = total + slope.unsqueeze(-1) * vector
        new.append(total)
    # a readout's own weights need no filter: their trace is the filter
    filtered = one.kappa * filtered + trace if spiking else filtered
    session.leave(one.synapse, one.key, None, state(*names)(*new, filtered))
    return filtered if spiking else trace
