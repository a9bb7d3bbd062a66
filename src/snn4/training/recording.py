"""Which layers spike, and what they fired in a forward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TypeVar

import torch
from torch import Tensor

from snn4.layers import Loop
from snn4.through_time import Neuron

__all__ = ["recorded_rates", "recorded_spikes", "spiking_layers"]


def spiking_layers(net: torch.nn.Module) -> dict[str, Neuron]:
    """The neurons of a network whose outputs are spikes, by their path; graded and read-out neurons are left out.

    Example:
        >>> spiking_layers(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU()))
        {}
    """
    return {
        path: module
        for path, module in net.named_modules()
        if isinstance(module, Neuron) and module.alphabet is not None and tuple(module.alphabet) == (0.0, 1.0)
    }


class Rates(Mapping[str, Tensor]):
    """The mean output of each spiking layer, over all that a forward pass gives; no output is kept."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[Tensor | float, int]] = {}

    def add(self, path: str, spikes: Tensor) -> None:
        """Take in what one call of a layer fired. Shape (T, B, *features)."""
        total, count = self._sums.get(path, (0.0, 0))
        self._sums[path] = total + spikes.detach().double().sum(), count + spikes.numel()

    def __getitem__(self, path: str) -> Tensor:
        total, count = self._sums[path]
        return torch.as_tensor(total / count)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sums)

    def __len__(self) -> int:
        return len(self._sums)


class Spikes(Mapping[str, Tensor]):
    """The spikes of each spiking layer, joined over time where a forward pass calls the layer more than once."""

    def __init__(self) -> None:
        self._calls: dict[str, list[Tensor]] = {}

    def add(self, path: str, spikes: Tensor) -> None:
        """Take in what one call of a layer fired. Shape (T, B, *features)."""
        self._calls.setdefault(path, []).append(spikes)

    def __getitem__(self, path: str) -> Tensor:
        calls = self._calls[path]
        return calls[0] if len(calls) == 1 else torch.cat(calls)

    def __iter__(self) -> Iterator[str]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)


@contextlib.contextmanager
def recorded_spikes(net: torch.nn.Module) -> Iterator[Spikes]:
    """Record the spikes of every spiking layer, with their graph: `with recorded_spikes(net) as spikes: net(xs)`.

    The spikes of a neuron that is the body of a loop are taken from the loop, which gives just these: a hook on the
    neuron itself would make the loop run step by step.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.ReLU())
        >>> with recorded_spikes(net) as spikes:
        ...     _ = net(torch.ones(4, 1, 2))
        >>> dict(spikes)
        {}
    """
    with _recording(net, Spikes()) as spikes:
        yield spikes


@contextlib.contextmanager
def recorded_rates(net: torch.nn.Module) -> Iterator[Rates]:
    """As `recorded_spikes`, but each layer's mean alone, so that memory does not grow with T.

    Example:
        >>> with recorded_rates(torch.nn.ReLU()) as rates:
        ...     pass
        >>> dict(rates)
        {}
    """
    with _recording(net, Rates()) as rates:
        yield rates


Record = TypeVar("Record", Rates, Spikes)


@contextlib.contextmanager
def _recording(net: torch.nn.Module, spikes: Record) -> Iterator[Record]:
    handles: list[torch.utils.hooks.RemovableHandle] = []

    def record(path: str, layer: torch.nn.Module) -> None:
        def hook(_module: torch.nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            spikes.add(path, output)

        handles.append(layer.register_forward_hook(hook))

    loops = {id(module.body): module for module in net.modules() if isinstance(module, Loop)}
    for path, layer in spiking_layers(net).items():
        record(path, loops.get(id(layer), layer))
    try:
        yield spikes
    finally:
        for handle in handles:
            handle.remove()
