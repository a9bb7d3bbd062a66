"""Networks of exact spike times: latency code, layers that fire, and a readout that does not."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch

from snn4.core.errors import OptionError
from snn4.core.quantity import Learned
from snn4.models.registry import register
from snn4.timing import LIF, Conv2d, DropSpikes, Framed, Latency, Readout

__all__ = ["Delays", "Firing", "timing_conv_net", "timing_mlp"]

Delays = Literal["axonal", "dendritic", "synaptic"]

# in windows: short beside what separates spikes, and long enough that training moves it
_FIRST_DELAY = 0.05


class Firing(NamedTuple):
    """What the neurons of a network share.

    Args:
        tau_v: membrane time constant, in units of the window; `inf` for no leak.
        tau_i: synaptic time constant; `inf` for a current that never decays.
        max_spikes: K of the layers that fire; 1 is time to first spike.
        method: how gradients are computed.
        min_slope: where they are clipped.
        init_mean: mean of the first weights, in the unit of `snn4.timing.layer.first_weights`.
        init_std: their standard deviation.
        readout_std: that of the readout's weights.
        delays: transmission delays that are learned, in the layers that are dense: `axonal` one an input, `dendritic`
            one a neuron, `synaptic` one a connection; None for none.
    """

    tau_v: float = 4.0
    tau_i: float = 2.0
    max_spikes: int = 8
    method: str = "analytic"
    min_slope: float = 1.0
    init_mean: float = 3.0
    init_std: float = 1.5
    readout_std: float = 1.0
    delays: Delays | None = None


@register
def timing_mlp(
    inputs: int,
    hidden: Sequence[int],
    classes: int,
    firing: Firing = Firing(),  # noqa: B008  (immutable)
    *,
    encoder: Callable[[], Latency] = Latency,
    drop: float = 0.0,
) -> torch.nn.Module:
    """A multi-layer perceptron of neurons that fire at exact times, read by its potentials at the end of the window.

    Args:
        inputs: spike trains that the encoder makes of a sample.
        hidden: widths of the layers that fire.
        classes: outputs.
        firing: of all neurons.
        encoder: makes the latency code.
        drop: share of input spikes that is lost in training.

    Shape: (1, B, *features) -> (1, B, classes).

    Raises:
        OptionError: no hidden layer, or a size below 1.

    Example:
        >>> timing_mlp(784, [400], 10)(torch.rand(1, 2, 1, 28, 28)).shape
        torch.Size([1, 2, 10])
    """
    sizes = [inputs, *hidden]
    if not hidden or min(*sizes, classes) < 1:
        raise OptionError(
            f"timing_mlp got inputs={inputs}, hidden={list(hidden)}, classes={classes}", "sizes of at least 1"
        )
    layers: OrderedDict[str, torch.nn.Module] = OrderedDict(latency=encoder())
    if drop:
        layers["drop"] = DropSpikes(drop)
    for n, (before, width) in enumerate(zip(sizes, hidden, strict=False), start=1):
        layers[f"fire{n}"] = _fire(before, width, firing)
    layers["readout"] = _readout(sizes[-1], classes, firing)
    return Framed(torch.nn.Sequential(layers))


@register
def timing_conv_net(
    shape: tuple[int, int, int],
    channels: Sequence[int],
    classes: int,
    firing: Firing = Firing(),  # noqa: B008  (immutable)
    *,
    kernel: int = 5,
    stride: int = 2,
    dense: Sequence[int] = (300,),
    encoder: Callable[[], Latency] = lambda: Latency(flatten=False),
    drop: float = 0.0,
) -> torch.nn.Module:
    """Strided convolutions and dense layers of neurons that fire at exact times; strides stand in for pooling.

    Args:
        shape: (C, H, W) of the input.
        channels: output maps of each convolution.
        classes: outputs.
        firing: of all neurons.
        kernel: side of each kernel, without padding.
        stride: of each convolution.
        dense: widths of the hidden dense layers.
        encoder: makes the latency code, with the axes of the image kept.
        drop: share of input spikes that is lost in training.

    Shape: (1, B, C, H, W) -> (1, B, classes).

    Raises:
        OptionError: sizes below 1, or a map smaller than its kernel.

    Example:
        >>> timing_conv_net((1, 28, 28), [4, 8], 10, dense=[16])(torch.rand(1, 2, 1, 28, 28)).shape
        torch.Size([1, 2, 10])
    """
    c, h, w = shape
    layers: OrderedDict[str, torch.nn.Module] = OrderedDict(latency=encoder())
    if drop:
        layers["drop"] = DropSpikes(drop)
    for n, width in enumerate(channels, start=1):
        if min(h, w) < kernel or min(c, width, kernel, stride) < 1:
            raise OptionError(
                f"timing_conv_net got channels={list(channels)}, kernel={kernel} and stride={stride} for {shape}",
                "sizes of at least 1, and maps that the kernel fits on",
            )
        layers[f"conv{n}"] = Conv2d(
            c,
            width,
            kernel,
            stride,
            0,
            firing.tau_v,
            firing.tau_i,
            max_spikes=firing.max_spikes,
            method=firing.method,
            min_slope=firing.min_slope,
            init_mean=firing.init_mean,
            init_std=firing.init_std,
        )
        c, h, w = width, (h - kernel) // stride + 1, (w - kernel) // stride + 1
    layers["flatten"] = torch.nn.Flatten(1, 3)
    size = c * h * w
    for n, width in enumerate(dense, start=1):
        layers[f"fire{n}"] = _fire(size, width, firing)
        size = width
    layers["readout"] = _readout(size, classes, firing)
    return Framed(torch.nn.Sequential(layers))


def _fire(before: int, width: int, firing: Firing) -> LIF:
    shapes = {"axonal": (1, before), "dendritic": (width, 1), "synaptic": (width, before)}
    if firing.delays is not None and firing.delays not in shapes:
        raise OptionError(f"Firing got delays={firing.delays!r}", "axonal, dendritic, synaptic or None")
    return LIF(
        before,
        width,
        firing.tau_v,
        firing.tau_i,
        max_spikes=firing.max_spikes,
        delay=Learned(_FIRST_DELAY, shapes[firing.delays]) if firing.delays else None,
        method=firing.method,
        min_slope=firing.min_slope,
        init_mean=firing.init_mean,
        init_std=firing.init_std,
    )


def _readout(before: int, classes: int, firing: Firing) -> Readout:
    return Readout(before, classes, firing.tau_v, firing.tau_i, init_std=firing.readout_std)
