"""Laws: time may be cut anywhere, and batch items do not meet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from snn4.testing.compare import TOLERANCE, differs, differs_all
from snn4.testing.judge import law
from snn4.testing.subject import Subject
from snn4.through_time import Neuron, run

__all__ = ["batch_items", "chunked", "cuts"]


def chunked(net: torch.nn.Module, xs: Tensor, lengths: list[int]) -> tuple[Tensor, Any]:
    """Outputs and last state of a sequence that is run in chunks of these lengths."""
    state, parts = None, list[Tensor]()
    for chunk in xs.split(lengths):
        part, state = run(net, chunk, state)
        parts.append(part)
    return torch.cat(parts), state


@law("cuts in time", "Cutting a sequence changes no bit of the outputs and the last state, nor the gradients.")
def cuts(subject: Subject) -> Iterator[str]:
    """Every cut into two, and every step alone."""
    for dtype in (torch.float32, torch.float64):
        neuron, xs = subject.neuron(dtype), subject.inputs(dtype)
        ways = [[t, len(xs) - t] for t in range(1, len(xs))] + [[1] * len(xs)]
        ys, states = run(neuron, xs)
        whole = _gradients(neuron, xs, [len(xs)], subject)
        for lengths in ways:
            how = f"in chunks of {', '.join(map(str, lengths))}, {dtype}"
            parts, last = chunked(neuron, xs, lengths)
            yield from differs(f"outputs {how}", parts, ys)
            yield from differs_all(f"last state {how}", last[""], states[""])
            for (name, one), (_, other) in zip(_gradients(neuron, xs, lengths, subject), whole, strict=True):
                yield from differs(f"gradient of {name} {how}", one, other, TOLERANCE[dtype])


def _gradients(neuron: Neuron, xs: Tensor, lengths: list[int], subject: Subject) -> list[tuple[str, Tensor]]:
    xs = xs.clone().requires_grad_()
    leaves = {"the input": xs} | {name: p for name, p in neuron.named_parameters() if p.requires_grad}
    ys, _ = chunked(neuron, xs, lengths)
    if not ys.requires_grad:
        return []
    found = torch.autograd.grad((ys * subject.weights(ys)).sum(), list(leaves.values()), allow_unused=True)
    return [
        (name, torch.zeros_like(leaf) if grad is None else grad)
        for (name, leaf), grad in zip(leaves.items(), found, strict=True)
    ]


@law("batch items do not meet", "What one item of a batch gets does not depend on the others, nor does its gradient.")
def batch_items(subject: Subject) -> Iterator[str]:
    """Reordered, alone, among others, and through the gradient."""
    dtype = torch.float64
    neuron, xs = subject.neuron(dtype), subject.inputs(dtype)
    # functions such as exp may round the last bits differently at another place of a vector
    ys, slack = neuron(xs), TOLERANCE[dtype]
    order = torch.arange(subject.batch - 1, -1, -1, device=xs.device)
    yield from differs("outputs in another order", neuron(xs[:, order]), ys[:, order], slack)
    yield from differs("outputs of the first item alone", neuron(xs[:, :1]), ys[:, :1], slack)
    others = torch.cat([xs[:, :1], 3 - 2 * xs[:, 1:]], 1)
    yield from differs("outputs of the first item among others", neuron(others)[:, :1], ys[:, :1], slack)
    leaf = xs.clone().requires_grad_()
    ys = neuron(leaf)
    if not ys.requires_grad:
        return
    for i in range(subject.batch):
        mine = (ys[:, i] * subject.weights(ys)[:, i]).sum()
        (grad,) = torch.autograd.grad(mine, leaf, retain_graph=True)
        foreign = grad.clone()
        foreign[:, i] = 0
        if bool(foreign.any()):
            yield f"the gradient of item {i} reaches other items, up to {foreign.abs().max().item():.3g}"
