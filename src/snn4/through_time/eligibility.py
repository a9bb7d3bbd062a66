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
from snn4.through_time.contract import answered
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
    def forward(
        ctx: Any,
        xs: Tensor,  # noqa: ARG004
        ys: Tensor,
        slope: Tensor,
        axes: Sequence[int],
        *rest: Tensor | None,
    ) -> Tensor:
        """The outputs. `rest` is a trace for each of `axes`, then a weight and a bias. Shape (1, B, *out), kept."""
        traces, weights, biases = rest[: len(axes)], rest[len(axes) :: 2], rest[len(axes) + 1 :: 2]
        shapes = [weight.shape for weight in weights if weight is not None]
        ctx.synapses = list(zip(axes, shapes, (bias is not None for bias in biases), strict=True))
        ctx.save_for_backward(slope, *(t for t in traces if t is not None))
        return ys.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        """Error times slope for the input, error times trace for each weight and bias."""
        slope, *traces = ctx.saved_tensors
        signal: Tensor = grad_outputs[0]
        found: list[Tensor | None] = []
        for trace, (axis, shape, biased) in zip(traces, ctx.synapses, strict=True):
            axis %= signal.ndim - 1
            # (B, rows, places), of which a dense layer has one
            errors = signal[0].movedim(axis, 1).unsqueeze(2).flatten(2)
            rows = trace.movedim(axis, 1).unsqueeze(2).flatten(2, -2)
            whole = torch.einsum("bon,boni->oi", errors, rows)
            found += [whole[:, :-1].reshape(shape), whole[:, -1]] if biased else [whole.view(shape), None]
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
    # a checkpoint around the network would begin its recomputation at the first backward pass, which is here
    with torch.autograd.graph.saved_tensors_hooks(_as_it_is, _as_it_is):
        start = type(before)(*fields)
        y, after = answered(neuron, neuron.step(x, start), start)
    rows: list[Sequence[Tensor]] = []
    for one in (y, *after):
        if one.requires_grad:
            # elementwise: the sum's gradient is each element's own
            rows.append(torch.autograd.grad(one.sum(), [x, *fields], retain_graph=True, materialize_grads=True))
        else:
            rows.append([torch.zeros_like(x) for _ in range(1 + len(fields))])
    return y.detach(), detached(after), list(rows[0][1:]), [row[0] for row in rows], [list(row[1:]) for row in rows[1:]]


def _as_it_is(saved: Tensor) -> Tensor:
    return saved


def eligibility(
    session: Session, one: Presynaptic, out: list[Tensor], into: list[Tensor], own: list[list[Tensor]], *, spiking: bool
) -> Tensor:
    """The trace of one synapse at this step; the vectors go on in the session. Shape (B, *out, in + bias)."""
    pre = one.synapse.seen(one.inputs.to(into[0]))
    if one.synapse.bias is not None:
        pre = torch.cat([pre, pre.new_ones(*pre.shape[:-1], 1)], -1)
    # a readout's own weights need no filter: their trace is the filter
    filters = spiking and one.kappa > 0
    names = [f"of{n}" for n in range(len(own))] + ["filtered"] * filters
    carried = session.incoming_of(one.key)
    shape = (*into[0].shape, pre.shape[-1])
    vectors: list[Tensor] = [pre.new_zeros(shape) for _ in names] if carried is None else list(carried)
    if len(vectors) != len(names) or any(v.shape != shape for v in vectors):
        raise StateError(
            f"the eligibility of {one.key!r} has {[tuple(v.shape) for v in vectors]}",
            f"{len(names)} of shape {shape}",
            "The batch changed, or the network; start again without a state.",
        )
    trace, *new = (_summed(drive, pre, slopes, vectors) for drive, slopes in zip(into, [out, *own], strict=True))
    if filters:
        trace.add_(vectors[-1], alpha=one.kappa)
        new.append(trace)
    session.leave(one.synapse, one.key, None, state(*names)(*new))
    return trace


def _summed(drive: Tensor, pre: Tensor, slopes: list[Tensor], vectors: list[Tensor]) -> Tensor:
    """What comes in now, and what is left of each field's eligibility vector. Shape (B, *out, in + bias)."""
    total = drive.unsqueeze(-1) * pre
    for slope, vector in zip(slopes, vectors[: len(slopes)], strict=True):
        # in place: there are as many numbers as synapses
        total.addcmul_(slope.unsqueeze(-1), vector)
    return total
