"""Laws of `torch.compile`. They are slow, and asked for with `compiled=True`."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from snn4.testing.compare import differs, differs_all
from snn4.testing.judge import law
from snn4.testing.subject import Subject
from snn4.through_time import run

__all__ = ["compiles"]


@law("compiles", "`torch.compile(fullgraph=True)` of `step`, of a call and of `run` agrees: outputs, state, gradients.")
def compiles(subject: Subject) -> Iterator[str]:
    """Traced with `aot_eager`, which runs without a compiler on the machine."""
    torch.compiler.reset()
    try:
        with warnings.catch_warnings():
            # what torch's tracer warns of while it looks around is not the neuron's business
            warnings.simplefilter("ignore")
            yield from _problems(subject)
    finally:
        torch.compiler.reset()


def _problems(subject: Subject) -> Iterator[str]:
    neuron, xs = subject.neuron(), subject.inputs()
    step = torch.compile(copy.deepcopy(neuron).step, fullgraph=True, backend="aot_eager")
    state = neuron.initial(xs[0])
    for x in xs[:2]:
        expected, following = neuron.step(x, state)
        y, new = step(x, state)
        yield from differs("compiled step", y, expected, 1e-6)
        yield from differs_all("state of the compiled step", new, following, 1e-6)
        state = following

    def call(chunk: Tensor, carried: Any) -> tuple[Tensor, Any]:
        return run(neuron, chunk, carried)

    leaf, twin = xs.clone().requires_grad_(), xs.clone().requires_grad_()
    plain = torch.compile(neuron, fullgraph=True, backend="aot_eager")
    ys, expected = plain(leaf), neuron(twin)
    yield from differs("compiled call", ys, expected, 1e-6)
    if expected.requires_grad:
        weights = subject.weights(expected)
        one, other = (torch.autograd.grad((y * weights).sum(), x)[0] for y, x in ((ys, leaf), (expected, twin)))
        yield from differs("gradient of the compiled call", one, other, 1e-5)
    traced = torch.compile(call, fullgraph=True, backend="aot_eager")
    _, middle = run(neuron, xs[:2])
    middle = middle.detach()
    (ys, end), (expected, last) = traced(xs[2:], middle), run(neuron, xs[2:], middle)
    yield from differs("compiled run", ys, expected, 1e-6)
    yield from differs_all("last state of the compiled run", end[""], last[""], 1e-6)
