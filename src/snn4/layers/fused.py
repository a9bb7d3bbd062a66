"""Neighbours that run together: `Fused(nn.BatchNorm2d(32), nn.LIF(), nn.MaxPool2d(2))`.

A layer of neurons keeps its input for backward(), and in a convolutional network that input is as large as what the
batch norm in front of it keeps. Together they need it once: the neuron's input is made inside the kernel, from what
came out of the convolution. A linear layer or convolution in front of a neuron can be treated alike: what it gives is
made again from its input, which is spikes and so next to nothing, for the price of running the layer once more.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from snn4.kernels.spikes import saved_as
from snn4.kernels.spikes.again import recomputed
from snn4.kernels.spikes.normed import Norm, normed
from snn4.layers.hooks import hooked, lookers
from snn4.layers.linear_layers import Conv1d, Conv2d, Conv3d, Linear
from snn4.layers.norms import BatchNorm1d, BatchNorm2d, BatchNorm3d
from snn4.layers.pooling import AvgPool2d, MaxPool2d
from snn4.through_time import BPTT, Neuron
from snn4.through_time.synapse import Synapse

__all__ = ["Fused", "fuse"]

Net = TypeVar("Net", bound=torch.nn.Module)

_NORMS = (BatchNorm1d, BatchNorm2d, BatchNorm3d)
_POOLS = (MaxPool2d, AvgPool2d)
_LAYERS = (Linear, Conv1d, Conv2d, Conv3d)
_DTYPES = (torch.float32, torch.float64)


class Fused(torch.nn.Sequential):
    """torch.nn.Sequential that runs neighbours together where it can: the same results in less memory.

    - batch norm and neuron: one kernel; the neuron's input is not kept, and made again for backward();
    - everything else keeps spikes as bits (`snn4.kernels.saved_as`), and so do `MaxPool2d` and `AvgPool2d`;
    - with `recompute=True`, a linear layer or convolution and the neuron behind it (no norm between): the neuron's
      input is not kept, but computed again from the layer's input by the same operation.

    Outputs, states, running statistics and gradients equal those of torch.nn.Sequential bit for bit, and names in the
    state dict and in the state of `snn4.run` are the same, so that one can be loaded into the other. Where a kernel
    refuses (`snn4.explain` tells), layers run one by one: without a C++ compiler, on other devices than the CPU, in
    bfloat16 under autocast (where the norm rounds its output), inside torch.compile and torch.func, for a member with a
    hook.

    Args:
        layers: as in torch.nn.Sequential.
        recompute: whether outputs of linear layers and convolutions in front of a neuron are computed again.

    Shape: as the layers.

    Example:
        >>> from snn4 import nn
        >>> block = Fused(nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), nn.LIF(), nn.MaxPool2d(2))
        >>> block(torch.randn(4, 3, 2, 10, 10)).shape
        torch.Size([4, 3, 8, 4, 4])
    """

    def __init__(self, *layers: Any, recompute: bool = False) -> None:
        super().__init__(*layers)
        self.recompute = recompute

    def __getitem__(self, idx: Any) -> Any:
        """A layer, or some of them as another `Fused`."""
        if not isinstance(idx, slice):
            return super().__getitem__(idx)
        return Fused(OrderedDict(list(self._modules.items())[idx]), recompute=self.recompute)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """The layers, one behind the other."""
        if torch.compiler.is_compiling():
            return super().forward(input)
        with saved_as("bits"):
            return self._through(input)

    def _through(self, x: Tensor) -> Tensor:
        layers, place = list(self), 0
        while place < len(layers):
            layer, following = layers[place], layers[place + 1] if place + 1 < len(layers) else None
            if hooked(layer):
                x = layer(x)
            elif isinstance(layer, _POOLS):
                ys = layer.of_spikes(x)
                x = layer(x) if ys is None else ys
            elif isinstance(following, Neuron) and type(layer) in _NORMS and _joins(following):
                x, place = _normed(cast("BatchNorm2d", layer), following, x), place + 1
            elif isinstance(following, Neuron) and self.recompute and _again(layer) and _joins(following):
                x, place = recomputed(layer, following, x), place + 1
            else:
                x = layer(x)
            place += 1
        return x


def _again(layer: torch.nn.Module) -> bool:
    """Whether a layer may run twice: one whose rule keeps a trace may not."""
    return type(layer) in _LAYERS and cast("Synapse", layer).rule is None


def _joins(neuron: Neuron) -> bool:
    """Whether a neuron may run without being called by itself."""
    whole = isinstance(neuron.route, BPTT) and neuron.route.truncate is None
    own = type(neuron).sequence is not Neuron.sequence or type(neuron).forward is not Neuron.forward
    return whole and not own and not hooked(neuron)


def _tell(neuron: Neuron, xs: Tensor, layer: torch.nn.Module, reason: str | None) -> None:
    """Tell `snn4.explain`, where it looks."""
    for looking in lookers(neuron):
        looking.beside(neuron, xs, type(layer).__name__, reason)


def _normed(layer: BatchNorm2d, neuron: Neuron, zs: Tensor) -> Tensor:
    """A batch norm and a neuron, in one kernel where that can be."""
    if zs.ndim < 3 or zs.shape[2] != layer.num_features:
        # a wrong shape is for the layer to refuse
        return neuron(layer(zs))
    layer.check(zs)
    running = not layer.training or layer.track_running_stats
    norm = Norm(
        layer.weight,
        layer.bias,
        layer.running_mean if running else None,
        layer.running_var if running else None,
        batch=layer.training or (layer.running_mean is None and layer.running_var is None),
        momentum=layer.momentum,
        eps=layer.eps,
        calls=layer.num_batches_tracked if layer.training and layer.track_running_stats else None,
    )

    # the neuron then sees an output that the norm has rounded, which the kernel does not repeat
    dtype = str(zs.dtype).removeprefix("torch.")
    low = "" if zs.dtype in _DTYPES else f"the input is {dtype}, which the norm rounds to"

    def sequence(zs: Tensor, state: Any) -> tuple[Tensor, Any]:
        done = low or normed(norm, neuron, zs, state)
        _tell(neuron, zs, layer, done if isinstance(done, str) else None)
        return neuron.sequence_of_call(layer(zs), state) if isinstance(done, str) else done

    def outputs(zs: Tensor) -> Tensor:
        plain = getattr(neuron.initial, "__func__", None) is Neuron.initial
        first = neuron.resting(zs[0]) if plain else neuron.initial_of_call(zs[0])
        done = low or normed(norm, neuron, zs, first, last=False)
        _tell(neuron, zs, layer, done if isinstance(done, str) else None)
        return neuron.outputs(layer(zs)) if isinstance(done, str) else done[0]

    return neuron.carried(zs, sequence, outputs)


def fuse(net: Net, *, recompute: bool = False) -> Net:
    """Replace every torch.nn.Sequential in `net` by `Fused`, with the same members, parameters and names.

    Args:
        net: a network. Where it is itself a torch.nn.Sequential, a new one is returned; others are changed in place.
        recompute: as in `Fused`, also for those that are there already.

    Example:
        >>> from snn4 import nn
        >>> net = torch.nn.Sequential(nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), nn.LIF())
        >>> type(fuse(net)).__name__, list(fuse(net).state_dict()) == list(net.state_dict())
        ('Fused', True)
    """
    return cast("Net", _fused(net, recompute, {}))


def _fused(net: torch.nn.Module, recompute: bool, done: dict[int, torch.nn.Module]) -> torch.nn.Module:
    """`fuse`, which makes one of a row that stands in two places."""
    if id(net) in done:
        return done[id(net)]
    members: dict[str, torch.nn.Module] = {
        name: child for name, child in vars(net)["_modules"].items() if child is not None
    }
    for name, child in members.items():
        members[name] = _fused(child, recompute, done)
        setattr(net, name, members[name])
    if type(net) is Fused:
        net.recompute = net.recompute or recompute
    if type(net) is not torch.nn.Sequential or hooked(net):
        done[id(net)] = net
        return net
    new = Fused(OrderedDict(members), recompute=recompute)
    # not train(), which would set the members as well
    new.training = net.training
    done[id(net)] = new
    return new
