"""One row of a profile for each layer that ran."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from snn4.profiling.work import Peak, Work

__all__ = ["Neurons", "Other", "Row", "Synapses"]


def _mean(values: Tensor) -> float:
    return float(values.mean()) if values.numel() else 0.0


@dataclass(frozen=True, eq=False)
class Synapses:
    """A linear or convolution layer.

    Args:
        name: its path in the network.
        type: the name of its class.
        weights: how many weights it has.
        zero_weights: how many of them are zero.
        biases: how many biases it has.
        each: its work when every step is computed.
        once: its work when a step whose input is that of the step before is not computed again; differs from `each`
            only before the first neuron, where the input is the same at each step (direct encoding).
        peak: the most it moved in one step.
        input_rate: share of its inputs that are not zero.
        before_neurons: whether no neuron ran before it, so that its input is the encoded data.
    """

    name: str
    type: str
    weights: int
    zero_weights: int
    biases: int
    each: Work
    once: Work
    peak: Peak
    input_rate: float
    before_neurons: bool

    @property
    def macs(self) -> float:
        """Effective multiply-accumulates a sample, every step computed."""
        return _mean(self.each.macs)

    @property
    def acs(self) -> float:
        """Effective accumulates a sample, every step computed."""
        return _mean(self.each.acs)

    @property
    def dense(self) -> float:
        """Operations a sample if nothing were zero."""
        return _mean(self.each.dense)

    @property
    def constant_input(self) -> bool:
        """Whether its input is the same at each of several steps, so that it needs computing once only."""
        return _mean(self.once.dense) < self.dense

    def to_dict(self) -> dict[str, object]:
        """The row, ready for JSON; operations are per sample."""
        return {
            "name": self.name,
            "kind": "synapses",
            "type": self.type,
            "weights": self.weights,
            "zero_weights": self.zero_weights,
            "input_rate": self.input_rate,
            "macs": self.macs,
            "acs": self.acs,
            "dense": self.dense,
            "with_padding": _mean(self.each.taps),
            "macs_once": _mean(self.once.macs),
            "acs_once": _mean(self.once.acs),
            "paper_macs": _mean(self.each.paper_macs),
            "paper_acs": _mean(self.each.paper_acs),
            "constant_input": self.constant_input,
        }


@dataclass(frozen=True, eq=False)
class Neurons:
    """A layer of spiking neurons, of neurons without spikes (a leaky readout), or of an ANN's activation function.

    Args:
        name: its path in the network.
        type: the name of its class.
        kind: `spiking`, `graded` (a state, but no spikes) or `activation` (no state).
        neurons: how many outputs a sample has at one step.
        neuron_steps: outputs that a sample has at all steps together.
        spikes: outputs that are not zero, for each sample.
        silent_share: neurons that never fire, over all samples and steps.
        saturated_share: neurons that fire at every step of every sample.
        zeros: share of its outputs that are zero.
        updates: membrane updates, for each sample.
        operations_per_update: fixed cost of one.
        state_variables: numbers of state that a sample has.
        state_words: numbers of state that are read, and written, in all steps of a sample together.
        state_bytes: their size.
        fields: how many state variables one neuron has.
        longest: steps of its longest call.
        event_driven: whether it computes when a spike arrives, and not at time steps.
    """

    name: str
    type: str
    kind: Literal["spiking", "graded", "activation"]
    neurons: int
    neuron_steps: int
    spikes: Tensor
    silent_share: float
    saturated_share: float
    zeros: float
    updates: Tensor
    operations_per_update: int = 0
    state_variables: int = 0
    state_words: int = 0
    state_bytes: int = 0
    fields: int = 0
    longest: int = 0
    event_driven: bool = False

    @property
    def rate(self) -> float:
        """Spikes a neuron and step; of an event-driven layer, spikes a neuron."""
        return _mean(self.spikes) / max(1, self.neuron_steps)

    @property
    def computed(self) -> float:
        """Updates that a machine computes for a sample: every neuron at every step, or at the events that reach it."""
        return _mean(self.updates) if self.event_driven else float(self.neuron_steps)

    def to_dict(self) -> dict[str, object]:
        """The row, ready for JSON; counts are per sample."""
        row: dict[str, object] = {
            "name": self.name,
            "kind": self.kind,
            "type": self.type,
            "neurons": self.neurons,
            "activation_sparsity": self.zeros,
        }
        if self.kind == "spiking":
            row |= {
                "firing_rate": self.rate,
                "spikes": _mean(self.spikes),
                "silent_share": self.silent_share,
                "saturated_share": self.saturated_share,
            }
        if self.kind != "activation":
            row |= {
                "membrane_updates": _mean(self.updates),
                "neuron_operations": _mean(self.updates) * self.operations_per_update,
                "neuron_operations_dense": self.computed * self.operations_per_update,
                "state_bytes": self.state_bytes,
            }
        return row


@dataclass(frozen=True, eq=False)
class Other:
    """A layer without synapses or neurons: a norm, a pool, or something that this profiler cannot count.

    Args:
        name: its path in the network.
        type: the name of its class.
        kind: `norm`, `pool`, `products` (matrix products outside linear and convolution layers, as in attention) or
            `not counted`.
        macs: charged multiply-accumulates a sample.
        note: what was done with it.
    """

    name: str
    type: str
    kind: Literal["norm", "pool", "products", "not counted"]
    macs: float
    note: str

    def to_dict(self) -> dict[str, object]:
        """The row, ready for JSON."""
        return {"name": self.name, "kind": self.kind, "type": self.type, "macs": self.macs, "note": self.note}


Row = Synapses | Neurons | Other
