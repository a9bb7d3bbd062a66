"""The field's usual estimate: operations times their cost, nothing else.

    E_SNN = E_MAC MACs + E_AC SynOps          E_ANN = E_MAC MACs

MACs are those of the layers that see the data itself (all layers of an ANN), dense; SynOps those after a neuron. No
memory access, no control, no leakage: this flatters networks that move much data for little arithmetic.

Paper: [horowitz2014computing] for the constants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from snn4.core.errors import OptionError
from snn4.profiling.energy_models.arithmetic import FP32, Arithmetic
from snn4.profiling.result import Profile
from snn4.profiling.work import Work

__all__ = ["ComputeOnly", "Operations", "break_even_rate", "operations", "paper_energy"]

Booking = Literal["papers", "zeros skipped", "NeuroBench"]


def paper_energy(
    first_macs: float, other_macs: float, *, steps: int, rate: float, cost: Arithmetic = FP32, repeated: bool = False
) -> float:
    """The papers' formula, from dense operations and a mean firing rate, in picojoules.

        E = E_MAC first (steps if repeated else 1) + E_AC steps rate other

    Args:
        first_macs: dense operations of the first layer at one step.
        other_macs: dense operations of all other layers at one step.
        steps: T.
        rate: mean share of non-zero inputs of the other layers, at one step.
        cost: of an operation.
        repeated: whether the first layer is computed at every step.

    Example:
        >>> f"{paper_energy(118e6, 1.70e9, steps=4, rate=0.15) / 1e9:.4f} mJ"
        '1.4608 mJ'
    """
    return cost.mac * first_macs * (steps if repeated else 1) + cost.ac * steps * rate * other_macs


def break_even_rate(steps: int, *, ann: Arithmetic = FP32, snn: Arithmetic = FP32) -> float:
    """The firing rate below which an SNN of `steps` steps costs less than the dense ANN, by arithmetic alone.

    Raises:
        OptionError: fewer than one step.

    Example:
        >>> round(break_even_rate(4), 2)
        1.28
    """
    if steps < 1:
        raise OptionError(f"steps={steps}", "at least one time step")
    return ann.mac / (snn.ac * steps)


@dataclass(frozen=True)
class Operations:
    """Operations to charge, one number a sample.

    Args:
        macs: multiply-accumulates.
        acs: accumulates.
        state_multiplies: multiplications of neurons.
        state_adds: additions of neurons.
    """

    macs: Tensor
    acs: Tensor
    state_multiplies: float = 0.0
    state_adds: float = 0.0

    def picojoules(self, cost: Arithmetic) -> Tensor:
        """Their energy, one number a sample."""
        state = cost.multiply * self.state_multiplies + cost.add * self.state_adds
        return cost.mac * self.macs + cost.ac * self.acs + state


def operations(profile: Profile, *, booking: Booking, once: bool, neuron_updates: bool) -> Operations:
    """What a network did, booked by a convention.

    Args:
        profile: of the network.
        booking: `papers`: layers after a neuron cost ACs, an integer input k counting k, layers before it dense MACs;
            `zeros skipped`: the same, but a MAC with a zero factor is free; `NeuroBench`: an input outside {-1, 0, 1}
            makes MACs after a neuron too.
        once: whether a first layer whose input is the same at each step is computed once.
        neuron_updates: whether the arithmetic of neurons is charged: every neuron at every step, as on a clocked chip;
            with exact spike times, at every event that reaches it.
    """
    total = Work.zero(profile.samples)
    macs, acs = total.macs, total.acs
    for row in profile.synapses:
        work = row.once if once else row.each
        if booking == "zeros skipped":
            macs = macs + work.paper_macs
            acs = acs + work.paper_acs
        elif row.before_neurons:
            # an accelerator for dense data does not look for zeros; binary data needs no multiplication
            macs = macs + work.dense_macs
            acs = acs + work.acs
        elif booking == "papers":
            macs = macs + work.paper_macs
            acs = acs + work.paper_acs
        else:
            macs = macs + work.macs
            acs = acs + work.acs
    macs = macs + sum(row.macs for row in profile.others)
    if not neuron_updates:
        return Operations(macs, acs)
    stateful = [row for row in profile.neurons if row.fields]
    return Operations(
        macs,
        acs,
        state_multiplies=sum(row.computed * row.fields for row in stateful),
        state_adds=sum(row.computed * (row.operations_per_update - row.fields) for row in stateful),
    )


@dataclass(frozen=True)
class ComputeOnly:
    """Operations times cost.

    Args:
        cost: of an operation.
        booking: how operations are booked; see `operations`.
        once: whether a first layer whose input is the same at each step is computed once.
        neuron_updates: whether the arithmetic of neurons is charged.
    """

    cost: Arithmetic
    booking: Booking = "papers"
    once: bool = True
    neuron_updates: bool = False
    memory: bool = False

    @property
    def name(self) -> str:
        """A name that says what is special."""
        parts = [f"compute {self.cost.name}"]
        if self.booking == "zeros skipped":
            parts.append("zeros skipped")
        if not self.once:
            parts.append("every step")
        if self.neuron_updates:
            parts.append("neuron updates")
        return ", ".join(parts)

    @property
    def assumes(self) -> str:
        """The assumptions, for a report."""
        booking = {
            "papers": "layers before the first neuron and all of an ANN cost dense MACs, later ones AC for each event",
            "zeros skipped": "MACs with a zero factor are free, later layers cost AC for each event",
            "NeuroBench": "layers before the first neuron and all of an ANN cost dense MACs, later ones AC for each "
            "event, and MAC where an input is not -1, 0 or 1",
        }[self.booking]
        first = "a first layer with constant input counts once" if self.once else "the first layer counts at each step"
        updates = (
            "every neuron is updated at every step, or at every event where there are no steps"
            if self.neuron_updates
            else "neuron updates are free"
        )
        return (
            f"45 nm, {self.cost.name}: MAC {self.cost.mac:.3g} pJ, AC {self.cost.ac:.3g} pJ; {booking}; {first}; "
            f"{updates}; memory access is free"
        )

    def picojoules(self, profile: Profile) -> float:
        """Mean energy a sample."""
        found = operations(profile, booking=self.booking, once=self.once, neuron_updates=self.neuron_updates)
        return float(found.picojoules(self.cost).mean())
