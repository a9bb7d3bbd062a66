"""Integer LIF: trained with integers, run with spikes.

    h[t] = beta v[t-1] + x[t];     c[t] = round(clip(h[t] / v_threshold, 0, levels));     v[t] = h[t] - c[t] v_threshold
    dc/dh = 1 / v_threshold on [0, levels], else 0;     beta = 1 - 1/tau

A count c is `levels` binary spikes in as many virtual steps, of which the first c are 1. For a layer without a bias,
W c = sum of W s over the virtual steps, exactly; a bias counts once, so each virtual step adds bias / levels.

Paper: [luo2024spikeyolo]
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.checks import is_whole
from snn4.core.errors import OptionError, ShapeError, StateError
from snn4.core.quantity import POSITIVE, Value
from snn4.core.states import state
from snn4.neurons.decay import euler
from snn4.through_time import Neuron

__all__ = ["IntegerLIF", "UnaryLIF", "binary", "check_levels", "straight_round", "unary"]

Rounding = Literal["even", "up"]


def straight_round(x: Tensor, levels: int, rounding: Rounding) -> Tensor:
    """round(clip(x, 0, levels)), whose derivative is 1 from 0 to levels and 0 outside."""
    clipped = x.clamp(0, levels)
    whole = torch.round(clipped) if rounding == "even" else torch.floor(clipped + 0.5)
    # the difference is exact in floating point, and so is its sum with what it was taken from
    return clipped + (whole - clipped).detach()


def check_levels(owner: str, levels: int, rounding: str) -> None:
    """Refuse what is no number of levels or no way to round."""
    if not is_whole(levels):
        raise OptionError(f"{owner} got levels={levels!r}", "a whole number >= 1")
    if rounding not in ("even", "up"):
        raise OptionError(f"{owner} got rounding={rounding!r}", "'even' or 'up'")


class IntegerLIF(Neuron):
    """Leaky integrate-and-fire that sends counts from 0 to `levels`. With levels = 1 it is a LIF that fires at half of
    v_threshold and is reset by the whole of it.

    Args:
        levels: the largest count, which is the number of virtual steps it is run with.
        tau: membrane time constant in steps; a float, a tensor, or learned. The paper's keeps a quarter.
        v_threshold: the membrane that a count stands for; a float, a tensor, or learned.
        rounding: of halves, `"even"` as torch does, or `"up"` as integer hardware does.
        detach_reset: whether the reset is a constant for the gradient, as in the paper.

    Shape: (T, B, *features), kept.

    Example:
        >>> IntegerLIF()(torch.tensor([1.3, 2.6, -0.4, 5.8, 0.2]).view(5, 1, 1)).flatten().tolist()
        [1.0, 3.0, 0.0, 4.0, 1.0]
    """

    State = state("v")
    tau: float | Tensor
    v_threshold: float | Tensor

    def __init__(
        self,
        levels: int = 4,
        tau: Value = 4 / 3,
        v_threshold: Value = 1.0,
        *,
        rounding: Rounding = "even",
        detach_reset: bool = True,
    ) -> None:
        super().__init__()
        check_levels("IntegerLIF", levels, rounding)
        self.levels, self.detach_reset = levels, detach_reset
        self.rounding: Rounding = rounding
        self.alphabet = tuple(float(c) for c in range(levels + 1))
        self.quantity("tau", tau, euler.domain(1.0))
        self.quantity("v_threshold", v_threshold, POSITIVE)

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """Charge, count, and keep what the count leaves."""
        h = (1 - 1 / self.tau) * state.v + x
        c = straight_round(h / self.v_threshold, self.levels, self.rounding)
        taken = c.detach() if self.detach_reset else c
        return c, self.State(h - taken * self.v_threshold)

    def extra_repr(self) -> str:
        """The levels and the quantities."""
        return f"levels={self.levels}, {super().extra_repr()}, rounding={self.rounding}"


def unary(counts: Float[Tensor, "T *any"], levels: int) -> Float[Tensor, "TL *any"]:
    """Counts as binary spikes in `levels` virtual steps each: in the first c of them.

    Shape: (T, *any) -> (T * levels, *any).

    Raises:
        OptionError: numbers that are no counts from 0 to `levels`.

    Example:
        >>> unary(torch.tensor([2.0, 0.0]), 3)
        tensor([1., 1., 0., 0., 0., 0.])
    """
    _check_counts("unary", counts, levels)
    steps = torch.arange(levels, dtype=counts.dtype, device=counts.device).view(1, -1, *(1 for _ in counts.shape[1:]))
    return (counts.unsqueeze(1) > steps).to(counts.dtype).flatten(0, 1)


def binary(counts: Float[Tensor, "T *any"], bits: int) -> Float[Tensor, "TL *any"]:
    """Counts as binary spikes in `bits` virtual steps each, step k of which weighs 2^k.

    Shape: (T, *any) -> (T * bits, *any).

    Raises:
        OptionError: numbers that are no counts from 0 to 2^bits - 1.

    Example:
        >>> binary(torch.tensor([5.0, 2.0]), 3)
        tensor([1., 0., 1., 0., 1., 0.])
    """
    _check_counts("binary", counts, 2**bits - 1)
    steps = torch.arange(bits, device=counts.device).view(1, -1, *(1 for _ in counts.shape[1:]))
    return (counts.detach().long().unsqueeze(1) >> steps & 1).to(counts.dtype).flatten(0, 1)


def _check_counts(owner: str, counts: Tensor, most: int) -> None:
    if counts.is_meta or bool(((counts >= 0) & (counts <= most) & (counts == counts.round())).all()):
        return
    raise OptionError(
        f"{owner} got values from {counts.min():g} to {counts.max():g}",
        f"whole numbers from 0 to {most}",
        "Graded spikes become counts by dividing them by their unit.",
    )


class UnaryLIF(Neuron):
    """The spiking twin of an IntegerLIF: it takes the currents of virtual steps and sends binary spikes in them.

    Its spikes, added over the virtual steps of a step, are the counts of the integer neuron. It is for inference: a
    spike has no gradient. Weights before it are the trained ones; a bias is divided by the levels.

    Args:
        integer: the trained neuron; it is copied.

    Shape: (T * levels, B, *features), kept.

    Example:
        >>> twin = UnaryLIF(IntegerLIF(levels=2))
        >>> twin(torch.tensor([0.7, 0.6, 0.9, 1.5]).view(4, 1, 1)).flatten().tolist()
        [1.0, 0.0, 1.0, 1.0]
    """

    State = state("v")
    chunkable = False
    unchunkable_reason = "the spikes of a step are known when the currents of all its virtual steps have come"
    exempt: ClassVar = {
        **dict.fromkeys(("step folds to forward", "step changes nothing", "compiles"), "a virtual step is no step"),
        "sequences": "it takes `levels` virtual steps for each step",
        "gradients arrive": "it is for inference: the integer neuron is trained in its place",
    }
    own_sequence = "it adds up the virtual steps of each step, then runs the integer neuron on the sums"

    def __init__(self, integer: IntegerLIF) -> None:
        super().__init__()
        if not isinstance(integer, IntegerLIF):
            raise OptionError(f"UnaryLIF got {integer!r}", "a trained IntegerLIF", "Write UnaryLIF(net[1]).")
        self.integer = copy.deepcopy(integer)

    def check(self, xs: Tensor) -> None:
        """Refuse what is not a whole number of steps."""
        super().check(xs)
        self.integer.check_quantities(xs.shape[2:])
        if len(xs) % self.integer.levels:
            raise ShapeError(
                f"UnaryLIF got {len(xs)} virtual steps",
                f"a multiple of its {self.integer.levels} levels",
                "Expand counts with snn4.neurons.unary(counts, levels).",
            )

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """There is none.

        Raises:
            StateError: always.
        """
        raise StateError("UnaryLIF was asked for one virtual step", "a whole sequence", self.unchunkable_reason)

    def sequence(self, xs: Float[Tensor, "T B *features"], state: Any) -> tuple[Float[Tensor, "T B *features"], Any]:
        """Counts from the summed currents, sent as spikes."""
        levels = self.integer.levels
        counts, state = self.integer.sequence(xs.unflatten(0, (-1, levels)).sum(1), state)
        return unary(counts, levels), state
