"""Laws of the gradient."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from snn4.testing.judge import law
from snn4.testing.subject import Subject

__all__ = ["finite", "reaches"]


@law("gradients arrive", "Gradients reach the input of every step, and every parameter that is learned.")
def reaches(subject: Subject) -> Iterator[str]:
    """Summed over inputs of several sizes, since a surrogate may see only what is near the threshold."""
    neuron = subject.neuron(torch.float64)
    learned = {name: p for name, p in neuron.named_parameters() if p.requires_grad}
    reached = dict.fromkeys(learned, False)
    steps = torch.zeros(subject.steps, dtype=torch.bool, device=subject.device)
    for salt, factor in enumerate((0.3, 0.6, 1.0, 1.5, 3.0)):
        xs = (subject.inputs(torch.float64, salt=salt) * factor).requires_grad_()
        ys = neuron(xs)
        if not ys.requires_grad:
            yield "the outputs carry no gradient"
            return
        loss = (ys * subject.weights(ys)).sum()
        grads = torch.autograd.grad(loss, [xs, *learned.values()], allow_unused=True)
        if grads[0] is not None:
            steps |= grads[0].flatten(1).any(1)
        for name, grad in zip(learned, grads[1:], strict=True):
            reached[name] |= grad is not None and bool(grad.any())
    missed = (~steps).nonzero().flatten().tolist()
    if missed:
        yield f"no gradient reaches the input of the steps {missed}"
    yield from (f"no gradient reaches the parameter {name}" for name, arrived in reached.items() if not arrived)


@law("gradients are finite", "No input, however large, makes a gradient infinite or NaN.")
def finite(subject: Subject) -> Iterator[str]:
    """From silence to a thousand times the usual."""
    neuron = subject.neuron()
    for factor in (0.0, 1.0, -30.0, 30.0, 1000.0):
        xs = (subject.inputs() * factor).requires_grad_()
        ys = neuron(xs)
        if not ys.requires_grad:
            continue
        leaves = {"the input": xs} | {name: p for name, p in neuron.named_parameters() if p.requires_grad}
        grads = torch.autograd.grad((ys * subject.weights(ys)).sum(), list(leaves.values()), allow_unused=True)
        for name, grad in zip(leaves, grads, strict=True):
            if grad is not None and not bool(grad.isfinite().all()):
                yield f"inputs of size {factor * subject.scale:g} make the gradient of {name} not finite"
