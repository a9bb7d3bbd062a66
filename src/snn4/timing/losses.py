r"""What spike times are trained on.

    potential    L = mean_b CE(y[b], c)                                y the potentials of a readout at the end
    first spike  L = mean_b CE(-t[b] / temperature, c)                 silent outputs count as the end of the window
    count        L = 1/2 mean_b sum_i (n*[b,i] - n[b,i])^2             n spikes, n* wanted

and what is added to them:

    shift        R = mean_b (exp(t[b,c] / tau) - 1)                    pulls the right spike to the front
    spread       R = mean_b max(0, width - std_i t[b,i])^2             keeps outputs from firing all at once

A cross-entropy of times does not change when all of them move together; `time_shift` fixes where they are.
Of these the loss on potentials is the mildest: a spike that appears or vanishes changes it by little, because a spike
at the end of the window has no weight yet. A loss on times jumps there.

Paper: [goltz2021fast] for first spikes and the shift, [bacho2022] for the count.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from snn4.core.errors import OptionError, ShapeError

__all__ = ["first_spike_cross_entropy", "potential_cross_entropy", "spike_count", "spread", "time_shift"]


def potential_cross_entropy(
    potentials: Float[Tensor, "B C"], targets: Int64[Tensor, "B"], label_smoothing: float = 0.0
) -> Tensor:
    """Softmax cross-entropy of the readout's potentials.

    Args:
        potentials: of a readout that does not fire, at the end of the window.
        targets: the classes.
        label_smoothing: share of the target that is spread over all classes.

    Shape: (B, C), (B,) -> ().

    Raises:
        ShapeError: shapes that do not belong together.

    Example:
        >>> potential_cross_entropy(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
        tensor(0.1269)
    """
    _check("potential_cross_entropy", potentials, targets, "(B, C)")
    return torch.nn.functional.cross_entropy(potentials, targets, label_smoothing=label_smoothing)


def first_spike_cross_entropy(
    times: Float[Tensor, "B C K"], targets: Int64[Tensor, "B"], temperature: float, window: float = 1.0
) -> Tensor:
    """Softmax cross-entropy of minus the first spike times: the class is the neuron that fires first.

    A silent output counts as one that fires at the end of the window, and has no gradient: use a dead-neuron penalty
    on the output layer with it.

    Args:
        times: spike times of the output layer.
        targets: the classes.
        temperature: in the unit of time; a small one looks at the two fastest outputs only.
        window: when the window ends.

    Shape: (B, C, K), (B,) -> ().

    Raises:
        OptionError: a temperature that is not above 0.
        ShapeError: shapes that do not belong together.

    Example:
        >>> times = torch.tensor([[[0.2], [0.4], [torch.inf]]])
        >>> first_spike_cross_entropy(times, torch.tensor([0]), temperature=0.1)
        tensor(0.1272)
    """
    _check("first_spike_cross_entropy", times, targets, "(B, C, K)")
    if not temperature > 0:
        raise OptionError(f"first_spike_cross_entropy got temperature={temperature}", "temperature > 0")
    return torch.nn.functional.cross_entropy(-_first(times, window) / temperature, targets)


def spike_count(
    times: Float[Tensor, "B C K"], targets: Int64[Tensor, "B"], high: float = 15.0, low: float = 3.0
) -> Tensor:
    r"""Half the squared error of the spike counts, as BATS trains them.

        dL/dt[b,i,k] = (n*[b,i] - n[b,i]) / B      at every spike k of output i

    A count has no derivative with respect to a time; BATS gives its error to every spike of the neuron, as if each unit
    of time that a spike comes earlier were a spike more. The value is the true squared error; the gradient is this one.

    Args:
        times: spike times of the output layer.
        targets: the classes.
        high: spikes wanted of the neuron of the class.
        low: spikes wanted of the others.

    Shape: (B, C, K), (B,) -> ().

    Raises:
        OptionError: more spikes are wanted than the layer can give.
        ShapeError: shapes that do not belong together.

    Example:
        >>> times = torch.tensor([[[0.1, 0.2], [0.3, torch.inf]]], requires_grad=True)
        >>> loss = spike_count(times, torch.tensor([1]), high=2, low=1)
        >>> loss.backward()
        >>> loss.item(), times.grad.tolist()
        (1.0, [[[-1.0, -1.0], [1.0, 0.0]]])
    """
    _check("spike_count", times, targets, "(B, C, K)")
    if not 0 <= low <= high <= times.shape[2]:
        raise OptionError(
            f"spike_count got high={high:g} and low={low:g} for K = {times.shape[2]}",
            "0 <= low <= high <= K",
            "Raise max_spikes of the output layer.",
        )
    fired = torch.isfinite(times)
    sums = torch.where(fired, times, 0.0).sum(2)
    # the value of the count, the derivative of minus the sum of times
    counts = fired.sum(2).to(times.dtype) - (sums - sums.detach())
    wanted = torch.full_like(counts, low).scatter(1, targets[:, None], high)
    return (wanted - counts).square().sum(1).mean() / 2


def time_shift(times: Float[Tensor, "B C K"], targets: Int64[Tensor, "B"], tau: float, window: float = 1.0) -> Tensor:
    """Pulls the first spike of the right output to the front: mean of exp(t / tau) - 1.

    Args:
        times: spike times of the output layer.
        targets: the classes.
        tau: in the unit of time; the smaller, the harder late spikes are pulled.
        window: what a silent output counts as.

    Shape: (B, C, K), (B,) -> ().

    Raises:
        OptionError: tau is not above 0.
        ShapeError: shapes that do not belong together.

    Example:
        >>> time_shift(torch.tensor([[[0.5], [0.1]]]), torch.tensor([0]), tau=0.5)
        tensor(1.7183)
    """
    _check("time_shift", times, targets, "(B, C, K)")
    if not tau > 0:
        raise OptionError(f"time_shift got tau={tau}", "tau > 0")
    right = _first(times, window).gather(1, targets[:, None])
    return torch.expm1(right / tau).mean()


def spread(times: Float[Tensor, "B N K"], width: float, window: float = 1.0) -> Tensor:
    """Keeps the first spikes of a layer apart: mean of max(0, width - standard deviation)^2.

    Args:
        times: spike times of a layer of at least two neurons.
        width: the standard deviation (over the neurons of one sample, silent ones at the end of the window) that is
            wide enough.
        window: when the window ends.

    Shape: (B, N, K) -> ().

    Raises:
        OptionError: a width below 0.
        ShapeError: not (B, N, K), or a single neuron.

    Example:
        >>> spread(torch.tensor([[[0.4], [0.6]]]), width=0.3)
        tensor(0.0400)
    """
    if times.ndim != 3 or times.shape[1] < 2:
        raise ShapeError(f"spread got times of shape {tuple(times.shape)}", "(B, N, K) with N >= 2")
    if not 0 <= width < math.inf:
        raise OptionError(f"spread got width={width}", "width >= 0")
    first = _first(times, window)
    variance = (first - first.mean(1, keepdim=True)).square().mean(1)
    # the root of an exact zero has an infinite slope
    deviation = torch.where(variance > 0, variance, torch.finfo(times.dtype).tiny).sqrt()
    return torch.relu(width - deviation).square().mean()


def _first(times: Tensor, window: float) -> Tensor:
    """First spike times, silent neurons at the end of the window. Shape (B, N, K) -> (B, N)."""
    first = times[:, :, 0]
    return torch.where(torch.isfinite(first), first, window)


def _check(owner: str, outputs: Tensor, targets: Tensor, shape: str) -> None:
    if outputs.ndim != shape.count(",") + 1 or 0 in outputs.shape:
        raise ShapeError(f"{owner} got outputs of shape {tuple(outputs.shape)}", f"{shape}, none of them 0")
    if targets.shape != outputs.shape[:1] or targets.dtype != torch.int64:
        raise ShapeError(
            f"{owner} got targets of shape {tuple(targets.shape)} and dtype {targets.dtype}",
            f"({len(outputs)},) of int64, the classes",
        )
