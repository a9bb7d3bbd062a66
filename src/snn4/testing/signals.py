"""Laws of what comes out: dtype and device, the alphabet, silence at rest, the closed-form rate."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from snn4.testing.judge import law
from snn4.testing.subject import Subject
from snn4.through_time import Neuron

__all__ = ["alphabet", "kept_dtype", "rate", "responds", "silent"]


@law("dtype and device", "Outputs and state have the dtype and device of the input.")
def kept_dtype(subject: Subject) -> Iterator[str]:
    """In float32, float64 and bfloat16."""
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        xs = subject.inputs(dtype)
        ys, state = subject.ran(subject.neuron(dtype), xs)
        for name, value in (("outputs", ys), *((f"state {f}", v) for f, v in zip(state._fields, state, strict=True))):
            # integers and booleans (counters, masks) have a dtype of their own
            if value.is_floating_point() and value.dtype != dtype:
                yield f"an input of {dtype} gave {name} of {value.dtype}"
            if value.device != xs.device:
                yield f"an input on {xs.device} gave {name} on {value.device}"


@law("alphabet", "Outputs take the values of `alphabet`, or any finite number where it is None.")
def alphabet(subject: Subject) -> Iterator[str]:
    """Also for inputs far from usual."""
    neuron = subject.neuron()
    for factor in (0.1, 1.0, -1.0, 10.0, 1000.0):
        ys = neuron(subject.inputs() * factor)
        if not bool(ys.isfinite().all()):
            yield f"inputs of size {factor * subject.scale:g} gave outputs that are not finite"
        elif neuron.alphabet is not None:
            letters = torch.tensor(neuron.alphabet, dtype=ys.dtype, device=ys.device)
            strange = ys[~torch.isin(ys, letters)]
            if len(strange):
                examples = ", ".join(f"{v:g}" for v in strange.unique()[:4].tolist())
                yield f"inputs of size {factor * subject.scale:g} gave {examples}, not in {neuron.alphabet}"


@law("silent at rest", "Without input it stays silent: zero in, zero out.")
def silent(subject: Subject) -> Iterator[str]:
    """Longer than the other laws look."""
    ys = subject.neuron()(torch.zeros_like(subject.inputs(steps=4 * subject.steps)))
    loud = int(ys.count_nonzero())
    if loud:
        first = int(ys.flatten(1).any(1).nonzero()[0])
        yield f"{loud} of {ys.numel()} outputs are not zero, the first at step {first}"


@law("responds", "The inputs of this check make its output change, so that the other laws are no empty words.")
def responds(subject: Subject) -> Iterator[str]:
    """A neuron that never fires would keep many laws."""
    ys = subject.neuron()(subject.inputs())
    if bool((ys == ys.flatten()[0]).all()):
        yield f"every output is {ys.flatten()[0].item():g}; give `scale`, the size of inputs that make it fire"


@law("rate", "`transfer`, where it is given, is the rate that a constant input settles to.")
def rate(subject: Subject) -> Iterator[str]:
    """Simulated, from far below to far above the threshold."""
    neuron, steps = subject.neuron(torch.float64), 400
    if type(neuron).transfer is Neuron.transfer:
        return
    size = torch.linspace(-1.0, 2.0, 13, dtype=torch.float64, device=subject.device)
    x = size.view(-1, *(1 for _ in subject.features)).expand(-1, *subject.features)
    try:
        expected = neuron.transfer(x)
    except NotImplementedError:
        return  # no closed form for this setting
    with torch.no_grad():
        # the first half is thrown away: settling down is not part of the promise
        seen = neuron(x.expand(2 * steps, *x.shape))[steps:].mean(0)
    if expected.shape != seen.shape:
        yield f"transfer gave shape {tuple(expected.shape)} for outputs of shape {tuple(seen.shape)}"
        return
    gap = (expected - seen).abs()
    if not gap.max().item() <= 4 / steps:
        worst = int(gap.flatten(1).amax(1).argmax())
        yield (
            f"a constant input of {size[worst].item():g} gave the rate {seen[worst].flatten()[0].item():.4g}, "
            f"transfer says {expected[worst].flatten()[0].item():.4g}"
        )
