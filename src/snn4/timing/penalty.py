r"""What wakes neurons that never fire.

A silent neuron has no spike time, so no loss on times or on what follows from them has a gradient for it: it stays
silent for ever. Three penalties give it one, by its potential below the threshold or by its weights,

    peak        P = mean_b sum_i [i silent in b]  max(0, v_threshold (1 + margin) - max_t V[b,i](t))
    potential   P = sum_i [i silent in all of the batch]  max(0, level v_threshold - mean_b v[b,i])
                v[b,i] = (1 / window) sum_j w[i,j] sum_f psp_integral(window - t[b,j,f])
    weights     P = sum_i max(0, v_threshold - sum_j w[i,j])

and one rule without a gradient adds a little to all weights of silent neurons after each step (`WeightBumping`).

`peak` moves single samples, and exactly at the threshold: its gradient is that of the largest potential. A neuron whose
inputs are all inhibitory has its largest potential at rest, with no gradient. `potential` has one as long as any input
spikes, whatever the weights. `weights` looks at no data at all.

Paper: [mostafa2017] for the weights, [goltz2021fast] for weight bumping.
Differs from the paper: peak and potential are forms of our own; the penalty that [yamamoto2024] adds for the same end
is not known to us in its equations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from snn4.core.errors import OptionError, ShapeError
from snn4.timing.conv import Conv2d
from snn4.timing.layer import Seen, watch
from snn4.timing.psp import psp_integral
from snn4.timing.trajectory import integrated_potential
from snn4.timing.types import Constants

__all__ = ["DeadNeurons", "WeightBumping", "dead_neurons", "peak_hinge", "potential_hinge", "silent", "weight_sum"]


def silent(times: Float[Tensor, "B *N K"]) -> Bool[Tensor, "B *N"]:
    """Which neurons fire no spike for which sample. Shape: (B, *N, K) -> (B, *N).

    Example:
        >>> silent(torch.tensor([[[0.1], [torch.inf]]]))
        tensor([[False,  True]])
    """
    return ~torch.isfinite(times[..., 0])


def dead_neurons(times: Float[Tensor, "B N *places K"]) -> Bool[Tensor, "N"]:
    """Which neurons, or maps of a convolution, fire nothing at all in a batch. Shape: (B, N, *places, K) -> (N,).

    Example:
        >>> dead_neurons(torch.tensor([[[0.1], [torch.inf]], [[torch.inf], [torch.inf]]]))
        tensor([False,  True])
    """
    return silent(times).transpose(0, 1).flatten(1).all(1)


def peak_hinge(
    v_max: Float[Tensor, "B *N"],
    fires_not: Bool[Tensor, "B *N"],
    v_threshold: float | Tensor = 1.0,
    margin: float = 0.1,
) -> Tensor:
    """How far the largest potential of silent neurons stays below the threshold and a margin.

    Args:
        v_max: the largest potential of each neuron in the window, with its gradient.
        fires_not: which neurons are silent, for which sample.
        v_threshold: of the layer.
        margin: how far beyond the threshold the potential is pulled, as a share of it.

    Shape: (B, *N), (B, *N) -> ().

    Raises:
        ShapeError: the two differ in shape.

    Example:
        >>> v_max = torch.tensor([[0.5, 1.0], [0.9, 0.2]])
        >>> peak_hinge(v_max, torch.tensor([[True, False], [True, True]]), margin=0.0)
        tensor(0.7000)
    """
    if v_max.shape != fires_not.shape:
        raise ShapeError(
            f"peak_hinge got v_max of shape {tuple(v_max.shape)} and fires_not of {tuple(fires_not.shape)}",
            "(B, *N) for both",
            "Ask the layer for its largest potentials.",
        )
    lack = torch.relu(v_threshold * (1 + margin) - v_max)
    return torch.where(fires_not, lack, 0.0).sum() / len(v_max)


def potential_hinge(
    times: Float[Tensor, "B N_in K"],
    fired: Float[Tensor, "B N_out K2"],
    weight: Float[Tensor, "N_out N_in"],
    constants: Constants,
    *,
    window: float = 1.0,
    level: float = 1.0,
) -> Tensor:
    """How far the mean potential of neurons that are silent in the whole batch stays below a level.

    Args:
        times: the input spikes of the layer.
        fired: its output spikes.
        weight: its weights.
        constants: its time constants and threshold.
        window: when the window ends.
        level: what the mean potential is pulled to, as a share of the threshold. Too low, and neurons rest before they
            fire; a high one does no harm, because a neuron that fires is let go.

    Shape: (B, N_in, K), (B, N_out, K2), (N_out, N_in) -> ().

    Example:
        >>> ramp, times = Constants(torch.inf, torch.inf, 1.0), torch.tensor([[[0.0], [0.5]]])
        >>> fired = torch.tensor([[[0.9], [torch.inf]]])
        >>> potential_hinge(times, fired, torch.tensor([[9.0, 9.0], [-1.0, 2.0]]), ramp, level=0.5)
        tensor(0.7500)
    """
    dead = dead_neurons(fired)
    if not bool(dead.any()):
        return weight.new_zeros(())
    average = integrated_potential(times.detach(), weight[dead], constants, window).mean(0) / window
    return torch.relu(level * constants.v_threshold - average).sum()


def weight_sum(weight: Float[Tensor, "N_out N_in"], v_threshold: float | Tensor = 1.0) -> Tensor:
    """How far the weights of each neuron together stay below its threshold.

    If all inputs fired at once and nothing leaked, such a neuron could not fire.

    Shape: (N_out, N_in) -> ().

    Example:
        >>> weight_sum(torch.tensor([[0.5, 0.2], [2.0, -0.5]]))
        tensor(0.3000)
    """
    return torch.relu(v_threshold - weight.flatten(1).sum(1)).sum()


class DeadNeurons:
    """One of the three penalties for every layer that fires, as the `regulariser` of a `snn4.training.Task`.

    Args:
        form: see the head of this file. `peak` asks the layers for their largest potentials, which costs time.
        strength: what the penalty is multiplied by. The gradient stops where a neuron fires, so that a large one is
            little danger.
        level: of `potential`.
        margin: of `peak`.

    Raises:
        OptionError: an unknown form, or a number out of range.

    Example:
        >>> from snn4 import timing
        >>> layer = timing.LIF(2, 3, init_mean=-5.0, init_std=0.0)
        >>> with DeadNeurons()(layer) as cost:
        ...     times = layer(torch.zeros(1, 2, 1))
        >>> cost().item() > 0, torch.isfinite(times).any().item()
        (True, False)
    """

    def __init__(
        self,
        form: Literal["potential", "peak", "weights"] = "potential",
        strength: float = 0.1,
        *,
        level: float = 1.0,
        margin: float = 0.1,
    ) -> None:
        if form not in ("potential", "peak", "weights"):
            raise OptionError(f"DeadNeurons got form={form!r}", "'potential', 'peak' or 'weights'")
        if not (strength >= 0 and level > 0 and margin >= 0):
            raise OptionError(
                f"DeadNeurons got strength={strength}, level={level}, margin={margin}",
                "strength >= 0, level > 0 and margin >= 0",
            )
        self.form, self.strength, self.level, self.margin = form, strength, level, margin

    @contextmanager
    def __call__(self, net: torch.nn.Module) -> Iterator[Callable[[], Tensor]]:
        """Watch the forward passes inside the `with`; the yielded function gives the penalty of them all."""
        with watch(net, want_max=self.form == "peak") as seen:
            yield lambda: self.strength * torch.stack([self._of(one) for one in seen]).sum()

    def _of(self, one: Seen) -> Tensor:
        threshold = one.layer.constants.v_threshold
        weight = one.layer.get_parameter("weight")
        if self.form == "peak":
            return peak_hinge(one.fired.v_max, silent(one.fired.times), threshold, self.margin)
        if self.form == "weights":
            return weight_sum(weight, threshold)
        if isinstance(one.layer, Conv2d):
            return self._of_map(one, one.layer)
        return potential_hinge(
            one.incoming, one.fired.times, weight, one.layer.constants, window=one.layer.window, level=self.level
        )

    def _of_map(self, one: Seen, layer: Conv2d) -> Tensor:
        """The hinge of `potential_hinge` for the maps that are silent everywhere, on their mean over all places."""
        dead = dead_neurons(one.fired.times)
        if not bool(dead.any()):
            return layer.weight.new_zeros(())
        constants, window = layer.constants, layer.window
        answer = psp_integral(window - one.incoming.detach(), 1.0 / constants.tau_v, 1.0 / constants.tau_i).sum(-1)
        course = torch.nn.functional.conv2d(answer, layer.weight[dead], stride=layer.stride, padding=layer.padding)
        return torch.relu(self.level * constants.v_threshold - course.mean((0, 2, 3)) / window).sum()

    def __repr__(self) -> str:
        return f"DeadNeurons({self.form!r}, strength={self.strength:g})"


class WeightBumping(torch.nn.Module):
    """Adds a little to the weights of silent neurons after each step, twice as much each time it has to be repeated.

        if more than `share` of a layer's neurons are silent in the whole batch:
            w[i,:] += size 2^n for these neurons,  n = the steps in a row before this one;   else n = 0

    Make it a part of the network (`net.bumping = WeightBumping(1)`), because its counters are buffers: a run that was
    stopped then goes on as it would have. A `snn4.training.Task` gets `regulariser=net.bumping.watched` and
    `after_step=net.bumping.after_step`.

    Args:
        layers: how many layers fire.
        share: the share of silent neurons that is let be; 0.3 for hidden layers and 0 for outputs are usual.
        size: the first addition.
        most: the largest addition.

    Raises:
        OptionError: an argument out of range.

    Example:
        >>> bumping, weight = WeightBumping(1, share=0.0, size=0.5, most=2.0), torch.zeros(2, 1)
        >>> dead = torch.tensor([False, True])
        >>> bumping.bump(0, weight, dead), bumping.bump(0, weight, dead), weight.tolist()
        (1, 1, [[0.0], [1.5]])
    """

    count: Tensor

    def __init__(self, layers: int, share: float = 0.3, size: float = 5e-4, most: float = 0.1) -> None:
        super().__init__()
        if layers < 1 or not 0 <= share < 1 or not 0 < size <= most:
            raise OptionError(
                f"WeightBumping got layers={layers}, share={share}, size={size}, most={most}",
                "layers >= 1, 0 <= share < 1 and 0 < size <= most",
            )
        self.share, self.size, self.most = share, size, most
        self.register_buffer("count", torch.zeros(layers, dtype=torch.int64))
        self._dead: list[tuple[Tensor, Tensor]] = []

    @contextmanager
    def watched(self, net: torch.nn.Module) -> Iterator[Callable[[], Tensor]]:
        """Look for silent neurons in the forward passes inside the `with`; adds nothing to the loss."""
        with watch(net) as seen:

            def nothing() -> Tensor:
                self._dead = [(one.layer.get_parameter("weight"), dead_neurons(one.fired.times)) for one in seen]
                return seen[0].fired.times.new_zeros(())

            yield nothing

    def after_step(self, _net: torch.nn.Module) -> None:
        """Bump the layers of the forward pass before this."""
        for layer, (weight, dead) in enumerate(self._dead):
            self.bump(layer, weight, dead)
        self._dead = []

    @torch.no_grad()
    def bump(self, layer: int, weight: Float[Tensor, "N_out N_in"], dead: Bool[Tensor, "N_out"]) -> int:
        """Change one layer's weights in place, where it needs that.

        Args:
            layer: its number.
            weight: its weights.
            dead: which of its neurons were silent in the whole batch.

        Returns:
            How many neurons were bumped.
        """
        number = int(dead.sum())
        if number <= self.share * len(dead):
            self.count[layer] = 0
            return 0
        weight[dead] += min(self.size * 2.0 ** min(int(self.count[layer]), 60), self.most)
        self.count[layer] += 1
        return number

    def extra_repr(self) -> str:
        """Its settings."""
        return f"share={self.share:g}, size={self.size:g}, most={self.most:g}"
