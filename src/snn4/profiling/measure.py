"""`profile`: one evaluation pass with hooks on every layer."""

from __future__ import annotations

import torch
from torch import Tensor

from snn4.core.checks import check_finite
from snn4.core.errors import OptionError, ShapeError
from snn4.profiling.bits import Bits
from snn4.profiling.records import Neurons, Other, Row, Synapses
from snn4.profiling.result import Profile
from snn4.profiling.watch import Watch, evaluating
from snn4.quantization import weight_bits

__all__ = ["check_input", "profile"]


def profile(net: torch.nn.Module, x: Tensor, *, steps: int | None = None, batch_size: int | None = None) -> Profile:
    """Measure what a network does on `x`: activity, operations, memory, and the energy that models make of them.

    Works for any module from (T, B, *features) to anything: spiking networks, and ANNs at T = 1. The network runs in
    evaluation mode without gradients and is as before afterwards. What has no rule (attention, recurrent cells,
    functional calls) is listed, with its matrix products charged as dense MACs where torch reports them.

    Args:
        net: the network.
        x: encoded samples, as the network takes them. Shape (T, B, *features).
        steps: measure the first steps only; `None` for all T.
        batch_size: samples to run at once; `None` for all.

    Raises:
        ShapeError: `x` has no time axis, no step or no sample.
        NotFiniteError: NaN or infinity in `x`, or in what a layer is given.
        OptionError: `steps` or `batch_size` out of range, or a layer that takes no tensor.

    Example:
        >>> from snn4 import nn
        >>> net = torch.nn.Sequential(nn.Linear(2, 2, bias=False), nn.LIF())
        >>> _ = torch.nn.init.eye_(net[0].weight)
        >>> p = profile(net, torch.ones(4, 1, 2))
        >>> p.acs, p.dense_macs, p.spikes, p.mean_firing_rate
        (8.0, 16.0, 8.0, 1.0)
    """
    check_input("profile", x)
    if steps is not None and not 1 <= steps <= x.shape[0]:
        raise OptionError(f"profile got steps={steps}", f"1 to {x.shape[0]}, the steps of x", "Encode more steps.")
    if batch_size is not None and batch_size < 1:
        raise OptionError(f"profile got batch_size={batch_size}", "at least 1")
    x = x if steps is None else x[:steps]
    watch = Watch(net)
    with evaluating(net), watch:
        for part in x.split(batch_size or x.shape[1], dim=1):
            watch.run(part)
    rows = watch.rows(samples=x.shape[1])
    neurons = [row for row in rows if isinstance(row, Neurons)]
    # a network may hold each frame for several steps (nn.Hold); a loop calls its neurons step by step
    timed = any(row.event_driven for row in neurons)
    return Profile(
        samples=x.shape[1],
        steps=None if timed else max([len(x), *(row.longest for row in neurons)]),
        rows=tuple(rows),
        parameters=sum(p.numel() for p in net.parameters()),
        bytes=_deployed_bytes(net),
        footprint=sum(t.numel() * t.element_size() for t in [*net.parameters(), *net.buffers()]),
        bits=Bits.of(net),
        notes=tuple(_notes(watch, rows)),
    )


def check_input(owner: str, x: Tensor) -> None:
    """Refuse what is not a batch of encoded samples.

    Raises:
        ShapeError: no time axis, no step or no sample.
        NotFiniteError: NaN or infinity.
    """
    shape = tuple(x.shape)
    if x.ndim < 3:
        raise ShapeError(
            f"{owner} got x of shape {shape}",
            "(T, B, *features)",
            "Is the time axis missing? snn4.data.repeat(x, steps=8) adds it; for an ANN, x[None] has one step.",
        )
    if 0 in shape:
        raise ShapeError(f"{owner} got x of shape {shape}, which is empty", "T >= 1 and B >= 1", "Give it samples.")
    check_finite(owner, x)


def _deployed_bytes(net: torch.nn.Module) -> int:
    """Bytes of the parameters, quantised weights packed into their bits, with one float32 scale a channel."""
    sizes = {id(p): p.numel() * p.element_size() for p in net.parameters()}
    for layer in net.modules():
        bits = weight_bits(layer)
        if bits is not None:
            original = layer.get_parameter("parametrizations.weight.original")
            transposed = isinstance(layer, torch.nn.modules.conv._ConvTransposeNd)  # pyright: ignore[reportPrivateUsage]
            sizes[id(original)] = -(-original.numel() * bits // 8) + 4 * original.shape[1 if transposed else 0]
    return sum(sizes.values())


def _notes(watch: Watch, rows: list[Row]) -> list[str]:
    notes: list[str] = []
    constant = [row.name for row in rows if isinstance(row, Synapses) and row.constant_input]
    if constant:
        notes.append(
            f"the input of {', '.join(constant)} is the same at each step: operations count every step; "
            "energy models say whether they count it once"
        )
    others = [row for row in rows if isinstance(row, Other)]
    listed = {row.name or "(network)": row.note for row in others if row.kind == "not counted"}
    notes += [f"{name}: {note}" for name, note in listed.items()]
    products = [row.name for row in others if row.kind == "products"]
    if products:
        notes.append(f"matrix products in {', '.join(products)} have no sparsity rule: charged as dense MACs")
    if any(isinstance(row, Neurons) and row.event_driven for row in rows):
        notes.append(
            "exact spike times: there are no time steps; rates are spikes a neuron, work is counted at each input "
            "spike, and finding the moment of an output spike is not charged"
        )
    if watch.never_called:
        notes.append(f"never called: {', '.join(watch.never_called)}")
    return notes
