"""The spiking twin of a network of integer neurons: the same answers, from binary spikes in virtual steps.

    counts c in 0 .. D at each step   ->   D virtual steps, of which the first c have a spike

Between neurons a network is linear, so that it may add up spikes in place of counts. What is added once a step, and not
once a spike, is spread over the virtual steps: inputs, biases, and the means of norms, each over D. Like a neuron, max
pooling of currents waits for all virtual steps of a step.

Paper: [luo2024spikeyolo]
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils import parametrize

from snn4.core.errors import OptionError
from snn4.layers.dropout import Dropout, Dropout2d
from snn4.layers.folded import Fold
from snn4.layers.hold import Hold
from snn4.layers.linear_layers import Synaptic
from snn4.layers.norms import AnyBatchNorm
from snn4.neurons import IntegerLIF, UnaryLIF
from snn4.through_time import Stateful

__all__ = ["SpikingTwin", "integer_levels"]

_LARGEST = (
    torch.nn.MaxPool1d,
    torch.nn.MaxPool2d,
    torch.nn.MaxPool3d,
    torch.nn.AdaptiveMaxPool1d,
    torch.nn.AdaptiveMaxPool2d,
    torch.nn.AdaptiveMaxPool3d,
)
# linear, and without a number of their own
_LINEAR = (
    torch.nn.Identity,
    torch.nn.Flatten,
    torch.nn.Unflatten,
    torch.nn.AvgPool1d,
    torch.nn.AvgPool2d,
    torch.nn.AvgPool3d,
    torch.nn.AdaptiveAvgPool1d,
    torch.nn.AdaptiveAvgPool2d,
    torch.nn.AdaptiveAvgPool3d,
    torch.nn.ZeroPad2d,
    torch.nn.PixelShuffle,
    torch.nn.PixelUnshuffle,
    torch.nn.Upsample,
    torch.nn.Dropout,
    torch.nn.Dropout1d,
    torch.nn.Dropout2d,
    torch.nn.Dropout3d,
    Dropout,
    Dropout2d,
    Hold,
)


def integer_levels(net: torch.nn.Module) -> int | None:
    """D of a network's integer neurons, or None where it has none.

    Raises:
        OptionError: neurons of different D.
    """
    found = sorted({m.levels for m in net.modules() if isinstance(m, IntegerLIF)})
    if len(found) > 1:
        raise OptionError(
            f"the IntegerLIF of {type(net).__name__} have {' and '.join(map(str, found))} levels",
            "one number for all",
            "Virtual steps are the same for the whole network.",
        )
    return found[0] if found else None


class SpikingTwin(torch.nn.Module):
    """A network of integer neurons that sends binary spikes, in `levels` virtual steps for each step; for inference.

    Its answers are those of the network in evaluation mode, up to the order in which numbers are added; its spikes are
    the counts', each in its virtual step. What stands before the first neuron runs once a step where the network is a
    `torch.nn.Sequential`, and else once a virtual step.

    Args:
        net: linear layers, convolutions, batch norms, pooling and `IntegerLIF`, in a row or in blocks of your own that
            do nothing between them but add. A layer of your own without members says so by an attribute
            `linear = True`, and a block whose `forward` does more than add by `linear = False`. It is copied.

    Shape: (T, B, *features) -> (T, B, *out), with T * levels virtual steps in between.

    Raises:
        OptionError: no `IntegerLIF`, different levels, or a layer that cannot add up spikes, by its name.

    Example:
        >>> from snn4 import nn
        >>> net = nn.Sequential(nn.Linear(3, 4), nn.IntegerLIF(levels=2), nn.Linear(4, 2)).eval()
        >>> x = torch.rand(5, 1, 3)
        >>> torch.allclose(SpikingTwin(net)(x), net(x), atol=1e-6)
        True
    """

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        levels = integer_levels(net)
        if levels is None:
            raise OptionError(
                f"the spiking twin of {type(net).__name__}",
                "a network of IntegerLIF",
                "Other neurons send spikes as they are.",
            )
        self.levels = levels
        # a neuron alone has no parent to stand in
        self.net = copy.deepcopy(net) if not isinstance(net, IntegerLIF) else torch.nn.Sequential(copy.deepcopy(net))
        front = self._front()
        self.held = front is not None
        self._spread(front or [])
        if front is not None:
            self._hold(len(front))
        self.eval()

    def train(self, mode: bool = True) -> SpikingTwin:
        """Stays in evaluation mode: spikes of counts have no gradient, and batch statistics would be those of parts."""
        return super().train(False)

    def forward(self, xs: Float[Tensor, "T B *features"]) -> Float[Tensor, "T B *out"]:
        """Answers, added up over virtual steps. Shape: (T, B, *features) -> (T, B, *out)."""
        xs = xs / self.levels
        ys = self.net(xs if self.held else xs.repeat_interleave(self.levels, 0))
        return ys.unflatten(0, (-1, self.levels)).sum(1)

    def extra_repr(self) -> str:
        """The virtual steps of a step."""
        return f"levels={self.levels}"

    @torch.no_grad()
    def _spread(self, front: Sequence[str]) -> None:
        """Give every layer its part of what counts once a step; those at the front run before virtual steps begin."""
        done: list[str] = []
        divided: list[Tensor] = []

        def divide(values: Tensor | None) -> None:
            # layers may share their bias
            if values is not None and not any(values is other for other in divided):
                divided.append(values.div_(self.levels))

        for name, layer in list(self.net.named_modules()):
            if any(name.startswith(f"{whole}.") for whole in done):
                # a part of a neuron, or of what makes a layer's weight
                continue
            if isinstance(layer, (IntegerLIF, *Synaptic)):
                done.append(name)
            if isinstance(layer, IntegerLIF):
                self._replace(layer, UnaryLIF(layer))
            elif isinstance(layer, Synaptic):
                if parametrize.is_parametrized(layer, "bias"):
                    parametrize.register_parametrization(layer, "bias", _Divided(self.levels))
                else:
                    divide(layer.bias)
            elif isinstance(layer, AnyBatchNorm):
                if layer.running_mean is None:
                    raise _refusal(name, layer, "running statistics")
                divide(layer.running_mean)
                divide(layer.bias)
            elif isinstance(layer, (*_LARGEST, Hold)):
                if name.split(".")[0] not in front:
                    new = _LongHold(layer, self.levels) if isinstance(layer, Hold) else _Largest(layer, self.levels)
                    self._replace(layer, new)
            elif not isinstance(layer, _LINEAR) and not _only_adds(layer):
                raise _refusal(name, layer, "a layer that adds up what it gets")

    def _front(self) -> list[str] | None:
        """Have what is before the first neuron run once a step: the names of that, or None where it cannot be done."""
        if type(self.net).forward is not torch.nn.Sequential.forward:
            return None
        # with those that stand in it twice
        members = cast("dict[str, torch.nn.Module]", vars(self.net)["_modules"])
        names = list(members)
        first = next(k for k, n in enumerate(names) if any(isinstance(m, IntegerLIF) for m in members[n].modules()))
        # a pool that stands before the neurons and behind them as well is another one there
        members |= copy.deepcopy({name: members[name] for name in names[first:]})
        return names[:first]

    def _hold(self, place: int) -> None:
        """Let virtual steps begin at a member of a row."""
        members = vars(self.net)["_modules"]
        name = list(members)[place]
        members[name] = torch.nn.Sequential(OrderedDict([("hold", Hold(self.levels)), (name, members[name])]))

    def _replace(self, old: torch.nn.Module, new: torch.nn.Module) -> None:
        """Put a module into the place of another, wherever that stands."""
        for parent in list(self.net.modules()):
            # also a member that stands in two places
            members: dict[str, torch.nn.Module | None] = vars(parent)["_modules"]
            for child in [child for child, module in members.items() if module is old]:
                setattr(parent, child, new)


def _refusal(name: str, layer: torch.nn.Module, wanted: str) -> OptionError:
    return OptionError(
        f"the spiking twin met {name or 'the network'} ({type(layer).__name__})",
        wanted,
        "Between integer neurons stand linear layers, convolutions, batch norms and pooling.",
    )


def _only_adds(layer: torch.nn.Module) -> bool:
    """Whether a module has nothing of its own that could act on numbers, or calls itself `linear`."""
    if getattr(layer, "linear", None) is False:
        return False
    if any(True for _ in (*layer.parameters(recurse=False), *layer.buffers(recurse=False))):
        return False
    if isinstance(layer, Stateful) and not isinstance(layer, Fold):
        return False
    container = next(layer.children(), None) is not None or type(layer) is torch.nn.Sequential
    return container or getattr(layer, "linear", False) is True


class _Divided(torch.nn.Module):
    """A bias that is computed from parameters, in parts."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, bias: Tensor) -> Tensor:
        """Shape: (out,), kept."""
        return bias / self.levels


class _LongHold(torch.nn.Module):
    """A step held for several, where a step is some virtual ones: all of them, one time after the other."""

    def __init__(self, hold: Hold, levels: int) -> None:
        super().__init__()
        self.steps, self.levels = hold.steps, levels

    def forward(self, xs: Tensor) -> Tensor:
        """Shape: (T * levels, B, *) -> (T * steps * levels, B, *)."""
        return xs.unflatten(0, (-1, self.levels)).repeat_interleave(self.steps, 0).flatten(0, 1)


class _Largest(torch.nn.Module):
    """Max pooling behind neurons: of spikes in each virtual step, of currents when those of a whole step have come."""

    def __init__(self, pool: torch.nn.Module, levels: int) -> None:
        super().__init__()
        self.pool, self.levels = pool, levels

    def forward(self, xs: Tensor) -> Tensor:
        """The largest of each window. Shape: as the layer's."""
        steps = xs.unflatten(0, (-1, self.levels))
        if bool(((xs == 0) | (xs == 1)).all() and (steps[:, 1:] <= steps[:, :-1]).all()):
            # spikes stand at the front of their step: the largest is the spike of the largest count
            return self.pool(xs)
        largest = self.pool(steps.sum(1))
        return (largest / self.levels).repeat_interleave(self.levels, 0)
