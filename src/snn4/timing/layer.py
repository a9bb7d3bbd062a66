"""What layers of exact spike times share: constants, first weights, being watched, and firing."""

from __future__ import annotations

import abc
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import OptionError, ShapeError
from snn4.core.quantity import POSITIVE, Quantified, Value
from snn4.timing.functional import check_options, spike_times
from snn4.timing.psp import psp_integral
from snn4.timing.times import check_window
from snn4.timing.types import Constants, Fired

__all__ = ["FiringLayer", "Seen", "TimingLayer", "first_weights", "watch"]


class Seen(NamedTuple):
    """One call of a layer: what went in and what came out, both with their graph."""

    path: str
    layer: TimingLayer
    incoming: Tensor
    fired: Fired


class _Watch(NamedTuple):
    paths: dict[int, str]
    seen: list[Seen]
    want_max: bool


class _Watches(threading.local):
    """The watches that are open in this thread."""

    def __init__(self) -> None:
        self.open: list[_Watch] = []


_WATCHES = _Watches()


@contextmanager
def watch(net: torch.nn.Module, *, want_max: bool = False) -> Iterator[list[Seen]]:
    """See the spikes of every layer of `net` that fires, for penalties and statistics; the layers keep nothing.

    Args:
        net: a layer or a network of layers.
        want_max: whether the layers also compute the largest potential of every neuron.

    Example:
        >>> from snn4 import timing
        >>> net = torch.nn.Sequential(timing.LIF(2, 3), timing.LIF(3, 1))
        >>> with watch(net) as seen:
        ...     y = net(torch.zeros(1, 2, 1))
        >>> [(one.path, tuple(one.fired.times.shape)) for one in seen]
        [('0', (1, 3, 8)), ('1', (1, 1, 8))]
    """
    one = _Watch({id(module): path for path, module in net.named_modules()}, [], want_max)
    _WATCHES.open.append(one)
    try:
        yield one.seen
    finally:
        _WATCHES.open.remove(one)


class TimingLayer(Quantified):
    """Abstract: time constants, perhaps a threshold, and a window.

    Args:
        tau_v: membrane time constant: a number, `inf` for no leak, or `Learned(number)`.
        tau_i: synaptic time constant, likewise.
        v_threshold: > 0, likewise.
        window: the end of time.
    """

    tau_v: float | Tensor
    tau_i: float | Tensor
    v_threshold: float | Tensor

    def __init__(self, tau_v: Value, tau_i: Value, v_threshold: Value, window: float) -> None:
        super().__init__()
        self._constant("tau_v", tau_v)
        self._constant("tau_i", tau_i)
        self._constant("v_threshold", v_threshold)
        self.window = check_window(type(self).__name__, window)

    def _constant(self, name: str, value: Value) -> None:
        """A quantity that may also be infinite, and is one for the layer."""
        if isinstance(value, float) and value == math.inf:
            setattr(self, name, value)
            self.quantities += (name,)
            return
        self.quantity(name, value, POSITIVE)
        held = getattr(self, name)
        if isinstance(held, Tensor) and held.ndim:
            raise OptionError(
                f"{type(self).__name__} got {name} of shape {tuple(held.shape)}",
                "one number for the layer",
                "Use one layer for each group of neurons that share their constants.",
            )

    @property
    def constants(self) -> Constants:
        """The constants as they are now; learned ones with their graph."""
        return Constants(self.tau_v, self.tau_i, self.v_threshold)

    def wanted_max(self) -> bool:
        """Whether somebody who watches this layer asked for the largest potentials."""
        return any(one.want_max for one in _WATCHES.open if id(self) in one.paths)

    def report(self, incoming: Tensor, fired: Fired) -> None:
        """Show a call to those who watch."""
        for one in _WATCHES.open:
            if id(self) in one.paths:
                one.seen.append(Seen(one.paths[id(self)], self, incoming, fired))


def first_weights(
    weight: Tensor, inputs: int, layer: TimingLayer, mean: float, std: float, generator: torch.Generator | None
) -> None:
    """Normal weights, in a unit that means the same for every size, window and pair of time constants.

    If every one of the `inputs` fires once, at a time drawn evenly from the window, the potential at the window's end
    is `mean` thresholds on average, and about `std` thresholds apart from neuron to neuron.

    Raises:
        OptionError: `std` is negative or not finite.
    """
    if not (math.isfinite(mean) and 0 <= std < math.inf):
        raise OptionError(f"{type(layer).__name__} got init_mean={mean}, init_std={std}", "finite numbers, std >= 0")
    with torch.no_grad():
        tau_v, tau_i, threshold = (float(one) for one in layer.constants)
        window = torch.tensor(layer.window, dtype=torch.float64)
        answer = float(psp_integral(window, 1.0 / tau_v, 1.0 / tau_i)) / layer.window
        # a readout has no threshold: its potential is measured in ones
        unit = (threshold if threshold < math.inf else 1.0) / answer
        weight.normal_(0.0, 1.0, generator=generator)
        weight.mul_(unit * std / math.sqrt(inputs)).add_(unit * mean / inputs)


class FiringLayer(TimingLayer, abc.ABC):
    """Abstract: a layer whose neurons fire.

    Args:
        shape: of the weights, output neurons first.
        tau_v: membrane time constant.
        tau_i: synaptic time constant.
        v_threshold: > 0.
        max_spikes: room for a neuron's spikes.
        window: the end of time.
        method: `analytic`, `eventprop` or `two_stage`.
        min_slope: where gradients are clipped.
        init: mean and std of the first weights, see `first_weights`.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        tau_v: Value,
        tau_i: Value,
        v_threshold: Value,
        max_spikes: int,
        window: float,
        method: str,
        min_slope: float,
        init: tuple[float, float],
    ) -> None:
        super().__init__(tau_v, tau_i, v_threshold, window)
        owner = type(self).__name__
        check_options(owner, max_spikes, method, min_slope)
        if min(shape) < 1:
            raise OptionError(f"{owner} got {shape[1]} inputs and {shape[0]} outputs", "at least one of each")
        self.max_spikes, self.method, self.min_slope, self.init = max_spikes, method, min_slope, init
        self.weight = torch.nn.Parameter(torch.empty(shape))

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw new weights: see `snn4.timing.layer.first_weights` for the unit of their mean and std."""
        first_weights(self.weight, self.weight[0].numel(), self, *self.init, generator)

    def solve(self, times: Tensor, delay: Tensor | None = None, *, want_max: bool = False) -> Fired:
        """The spikes of neurons that see (B, N_in, K) times through the weights, flattened to (N_out, N_in)."""
        if times.dtype != self.weight.dtype:
            owner = type(self).__name__
            raise ShapeError(
                f"{owner} got times of {times.dtype} and holds weights of {self.weight.dtype}", "the same dtype"
            )
        return spike_times(
            times,
            self.weight.flatten(1),
            tau_v=self.tau_v,
            tau_i=self.tau_i,
            v_threshold=self.v_threshold,
            delay=delay,
            max_spikes=self.max_spikes,
            window=self.window,
            method=self.method,
            min_slope=self.min_slope,
            want_max=want_max,
        )

    @abc.abstractmethod
    def fired(self, times: Float[Tensor, "B *features K"], *, want_max: bool = False) -> Fired:
        """The spikes with all that penalties and statistics ask for; `forward` is its `times`."""

    def forward(self, times: Float[Tensor, "B *features K"]) -> Float[Tensor, "B *out K2"]:
        """The spike times, ascending, `inf` for never."""
        fired = self.fired(times, want_max=self.wanted_max())
        self.report(times, fired)
        return fired.times

    def extra_repr(self) -> str:
        """Constants and method."""
        return f"{super().extra_repr()}, max_spikes={self.max_spikes}, window={self.window:g}, method={self.method}"
