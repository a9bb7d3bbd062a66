"""`explain`: which implementation runs each neuron, and why others do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.core.report import table
from snn4.through_time.neuron import Neuron
from snn4.through_time.session import path_of

__all__ = ["Explanation", "Looking", "explain"]


@dataclass(frozen=True)
class Choice:
    """What runs one neuron."""

    path: str
    neuron: str
    route: str
    implementation: str
    refused: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Explanation:
    """One `Choice` a neuron, in the order of the first calls. Prints as a table."""

    choices: tuple[Choice, ...]

    def __str__(self) -> str:
        rows = [
            [
                c.path,
                c.neuron,
                c.route,
                c.implementation,
                "; ".join(f"{name}: {why}" for name, why in c.refused) or "-",
            ]
            for c in self.choices
        ]
        return table(["layer", "neuron", "route", "runs as", "refused"], rows)


def explain(net: torch.nn.Module, x: Tensor) -> Explanation:
    """Call the network once and tell which implementation runs each neuron, and why others were refused.

    Args:
        net: a network with neurons.
        x: an example input. Shape (T, B, *features).

    Raises:
        OptionError: the network has no neuron.

    Example:
        >>> from snn4 import nn
        >>> print(explain(torch.nn.Sequential(nn.Linear(3, 4), nn.LIF()), torch.randn(6, 1, 3)))
        layer  neuron  route                runs as         refused
        1      LIF     BPTT(truncate=None)  reference loop  -
    """
    neurons = {id(m): (path_of(name), m) for name, m in net.named_modules() if isinstance(m, Neuron)}
    if not neurons:
        raise OptionError(f"{type(net).__name__} has no neuron", "a network with at least one")
    looking = Looking({key: path for key, (path, _) in neurons.items()})
    handles = [neuron.register_forward_pre_hook(looking) for _, neuron in neurons.values()]
    try:
        with torch.no_grad():
            net(x)
    finally:
        for handle in handles:
            handle.remove()
    return Explanation(tuple(looking.choices))


class Looking:
    """The hook of `explain`: it notes what runs a neuron, and changes nothing.

    A container that runs a neuron together with its neighbours does not call the neuron; it tells `beside` instead.

    Args:
        paths: `id(neuron)` -> its path.
    """

    def __init__(self, paths: Mapping[int, str]) -> None:
        self.paths = paths
        self.choices: list[Choice] = []
        # who runs in a loop over steps at the moment: what the loop is, and why it does not run all of them at once
        self.within: dict[int, tuple[str, str]] = {}

    def __call__(self, module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        """Before a neuron runs by itself."""
        assert isinstance(module, Neuron)
        loop = self.within.get(id(module))
        if loop is None:
            self.beside(module, inputs[0])
        else:
            self.beside(module, inputs[0], *loop, how=", step by step")

    def beside(
        self, neuron: Neuron, xs: Tensor, neighbour: str = "", reason: str | None = None, *, how: str = ""
    ) -> None:
        """Note a call of a neuron.

        Args:
            neuron: which one.
            xs: its input, or another tensor like it. Shape (T, B, *features).
            neighbour: what stands before it and should run together with it, if anything.
            reason: why it did not.
            how: to add to what runs it.
        """
        name = "reference loop"
        refused: list[tuple[str, str]] = []
        if type(neuron).sequence is not Neuron.sequence:
            name = "its own sequence()"
            refused = [("kernels", neuron.own_sequence)] if neuron.own_sequence else []
        else:
            kernel, refused, widened = neuron.asks(xs, neuron.initial_of_call(xs[0]))
            name = name if kernel is None else kernel.name
            name = f"{name}, input made float32" if widened else name
        if neighbour and reason is None:
            name = f"{name}, with {neighbour}"
        elif neighbour and reason is not None:
            refused = [(f"with {neighbour}", reason), *refused]
        self.note(neuron, f"{name}{how}", refused)

    def note(self, neuron: Neuron, implementation: str, refused: Sequence[tuple[str, str]] = ()) -> None:
        """Note what runs a neuron, and who refused.

        Args:
            neuron: which one.
            implementation: what runs it.
            refused: names and reasons.
        """
        path = self.paths[id(neuron)] or "(the net)"
        choice = Choice(path, type(neuron).__name__, str(neuron.route), implementation, tuple(refused))
        if choice not in self.choices:  # a loop calls its body at every step
            self.choices.append(choice)
