"""pictures.safetensors: the arrays that the report draws from, so that it can be drawn again without the data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snn4.core.files import atomic
from snn4.core.optional import need
from snn4.data import Split, unit
from snn4.neurons import SpikingNeuron
from snn4.timing import Framed, Readout, TimingLayer, trajectory, watch
from snn4.training import Task, answered, spiking_layers

__all__ = ["write_snapshot"]

_RASTER, _TRACES, _BINS = 200, 6, 60
# of spike times: how many moments a curve has
_MOMENTS = 400


def write_snapshot(
    folder: Path,
    networks: Mapping[str, torch.nn.Module],
    task: Task,
    sample: Split,
    confusion: Mapping[str, Tensor],
) -> None:
    """Write what one test sample does in the SNN, the confusion matrices and the weight histograms.

    Args:
        folder: the run folder.
        networks: among them "snn".
        task: encodes the sample.
        sample: one sample.
        confusion: of each network. Shape (C, C), rows are the true classes.
    """
    xs = task.encode(sample.inputs, torch.Generator().manual_seed(0))
    snn = networks["snn"]
    arrays = _activity(snn, xs) | (_spike_times(snn, xs) if isinstance(snn, Framed) else {})
    image = unit(sample.inputs[0])
    arrays["sample/image"] = image.float()
    answers, classes = answered(task.readout(arrays["output"][:, None]), sample.targets)
    # one answer a sample, or that at the last step with a label
    arrays["sample/label"] = classes[-1]
    arrays["sample/prediction"] = answers[-1].argmax()
    arrays |= {f"confusion/{name}": counts for name, counts in confusion.items()}
    for name, module in networks["snn"].named_modules():
        weight = getattr(module, "weight", None) if isinstance(module, _WEIGHTED) else None
        if isinstance(weight, Tensor):
            counts, edges = torch.histogram(weight.detach().float().cpu().flatten(), bins=_BINS)
            arrays |= {f"weights/{name}/counts": counts, f"weights/{name}/edges": edges}
    files = need("safetensors.torch", "to save pictures")
    with atomic(folder / "pictures.safetensors") as file:
        file.write(files.save({key: value.detach().cpu().contiguous() for key, value in arrays.items()}))


_WEIGHTED = (TimingLayer, torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)


def _activity(net: torch.nn.Module, xs: Tensor) -> dict[str, Tensor]:
    """Spikes and membranes of every spiking layer for one sample. Shape of xs: (T, 1, *features)."""
    arrays: dict[str, Tensor] = {}
    seen: dict[str, list[Tensor]] = {}
    handles: list[torch.utils.hooks.RemovableHandle] = []
    layers = spiking_layers(net)

    def watch(path: str, neuron: Any) -> None:
        def spikes(_m: Any, _i: Any, ys: Tensor) -> None:
            arrays[f"raster/{path}"] = ys[:, 0].flatten(1)[:, :_RASTER].to(torch.uint8)

        handles.append(neuron.register_forward_hook(spikes))
        if isinstance(neuron, SpikingNeuron):
            # what the surrogate sees is the membrane before the reset, less the threshold
            def membrane(_m: Any, inputs: tuple[Tensor, ...]) -> None:
                seen.setdefault(path, []).append(inputs[0][0].float())

            handles.append(neuron.surrogate.register_forward_pre_hook(membrane))

    for path, neuron in layers.items():
        watch(path, neuron)
    net.eval()
    try:
        with torch.no_grad():
            arrays["output"] = net(xs)[:, 0].float()
    finally:
        for handle in handles:
            handle.remove()
    for path, distances in seen.items():
        neuron = layers[path]
        assert isinstance(neuron, SpikingNeuron)
        threshold = torch.as_tensor(neuron.v_threshold, dtype=torch.float32).detach()
        above = torch.stack(distances).flatten(1)
        if threshold.ndim:
            threshold = threshold.expand(distances[0].shape).flatten()
        raster = arrays[f"raster/{path}"]
        # from the busiest to the quietest of the raster's neurons that fire at all, at even distances
        busy = raster.sum(0, dtype=torch.int64)
        ordered = busy.argsort(descending=True, stable=True)[: max(_TRACES, int((busy > 0).sum()))]
        places = torch.linspace(0, len(ordered) - 1, min(_TRACES, len(ordered))).round().long()
        chosen = ordered[places].sort().values
        own = threshold if threshold.ndim == 0 else threshold[chosen]
        arrays[f"membrane/{path}"] = above[:, chosen] + own
        arrays[f"threshold/{path}"] = own
        arrays[f"spikes/{path}"] = raster[:, chosen]
    return arrays


@torch.no_grad()
def _spike_times(net: Framed, xs: Tensor) -> dict[str, Tensor]:
    """What one sample does in a network of exact spike times: its last dense layer that fires, and its readout."""
    given: list[Tensor] = []
    readouts = [module for module in net.modules() if isinstance(module, Readout)]
    handles = [one.register_forward_hook(lambda _m, inputs, _y: given.append(inputs[0])) for one in readouts[-1:]]
    net.eval()
    try:
        with watch(net) as seen:
            net(xs)
    finally:
        for handle in handles:
            handle.remove()
    dense = [one for one in seen if one.layer.get_parameter("weight").ndim == 2]
    if not dense or not given:
        return {}
    one, readout = dense[-1], readouts[-1]
    layer, incoming, fired = one.layer, one.incoming[0], one.fired.times[0]
    window = layer.window
    grid = torch.linspace(0.0, window, _MOMENTS, dtype=incoming.dtype)
    counts = torch.isfinite(fired).sum(1)
    order = counts.argsort(descending=True, stable=True)
    # from the busiest to the quietest that fires at all, at even distances
    active = order[: max(_TRACES, int((counts > 0).sum()))]
    some = active[torch.linspace(0, len(active) - 1, min(_TRACES, len(active))).round().long()]
    weight = layer.get_parameter("weight")
    hidden = trajectory(incoming[None], weight[some], layer.constants, grid, fired[some][None])
    busiest = order[:1]
    # a moment just before and just after each spike, so that the reset is a straight line
    own = fired[busiest[0]][torch.isfinite(fired[busiest[0]])]
    fine = torch.cat([grid, own - 1e-6, own + 1e-6]).clamp(0.0, window).sort().values
    course = trajectory(incoming[None], weight[busiest], layer.constants, fine, fired[busiest][None])
    output = trajectory(given[-1][:1], readout.weight, readout.constants, grid)
    # the first spikes of the sample are the encoder's, whatever layers lie between
    first = seen[0].incoming[0].flatten(0, -2)
    who, which = torch.isfinite(first).nonzero(as_tuple=True)
    return {
        "timing/time": grid,
        "timing/window": torch.tensor(window),
        "timing/threshold": torch.tensor(float(layer.constants.v_threshold)),
        "timing/input": torch.stack([first[who, which], who.to(first.dtype)], 1),
        "timing/moments": fine,
        "timing/v": course.v[0, 0],
        "timing/i": course.i[0, 0],
        "timing/spikes": own,
        "timing/hidden": hidden.v[0].T,
        "timing/output": output.v[0].T,
    }
