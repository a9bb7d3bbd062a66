"""What a profile says, as numbers, as a table and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from snn4.core.report import table
from snn4.profiling import units
from snn4.profiling.bits import Bits
from snn4.profiling.records import Neurons, Other, Row, Synapses

if TYPE_CHECKING:
    from snn4.profiling.energy_models import Energy

__all__ = ["Profile"]


@dataclass(frozen=True, eq=False)
class Profile:
    """What a network did on some samples. `print` it; `to_dict` is for files.

    Operations are NeuroBench's: a synaptic operation is effective where neither weight nor input is zero; a call of a
    layer counts as accumulates (AC) where all its inputs are in {-1, 0, 1}, else as multiply-accumulates (MAC).

    Args:
        samples: how many samples were measured.
        steps: T, the time steps that each takes: more than the input has, where the network holds a frame for several;
            `None` for exact spike times, which have no steps.
        rows: the layers that ran, in order.
        parameters: how many numbers are trained.
        bytes: their size as deployed, quantised weights packed into their bits.
        footprint: bytes of all parameters and buffers as they lie in memory now.
        bits: how wide the numbers are.
        notes: what was left out or assumed.

    Paper: [yik2025neurobench]
    """

    samples: int
    steps: int | None
    rows: tuple[Row, ...]
    parameters: int
    bytes: int
    footprint: int
    bits: Bits
    notes: tuple[str, ...] = ()

    @property
    def synapses(self) -> tuple[Synapses, ...]:
        """The linear and convolution layers."""
        return tuple(row for row in self.rows if isinstance(row, Synapses))

    @property
    def neurons(self) -> tuple[Neurons, ...]:
        """The neurons and activation functions."""
        return tuple(row for row in self.rows if isinstance(row, Neurons))

    @property
    def spiking(self) -> tuple[Neurons, ...]:
        """The layers that spike."""
        return tuple(row for row in self.neurons if row.kind == "spiking")

    @property
    def others(self) -> tuple[Other, ...]:
        """Norms, pools and what has no rule."""
        return tuple(row for row in self.rows if isinstance(row, Other))

    @property
    def macs(self) -> float:
        """Effective multiply-accumulates a sample, every step computed."""
        return sum(row.macs for row in self.synapses)

    @property
    def acs(self) -> float:
        """Effective accumulates a sample, every step computed."""
        return sum(row.acs for row in self.synapses)

    @property
    def synops(self) -> float:
        """Accumulates a sample in the papers' convention: whatever comes after a neuron, an integer k counting k."""
        return sum(_mean(row.each.paper_acs) for row in self.synapses)

    @property
    def dense_macs(self) -> float:
        """Operations a sample if nothing were zero, every step computed."""
        return sum(row.dense for row in self.synapses)

    @property
    def spikes(self) -> float:
        """Spikes a sample, all layers and steps."""
        return sum(_mean(row.spikes) for row in self.spiking)

    @property
    def mean_firing_rate(self) -> float:
        """Spikes a neuron and step, over all spiking neurons; without steps, spikes a neuron."""
        return self.spikes / max(1, sum(row.neuron_steps for row in self.spiking))

    @property
    def membrane_updates(self) -> float:
        """Membrane updates a sample."""
        return sum(_mean(row.updates) for row in self.neurons)

    @property
    def neuron_operations(self) -> float:
        """Membrane updates a sample, each times its fixed cost."""
        return sum(_mean(row.updates) * row.operations_per_update for row in self.neurons)

    @property
    def state_bytes(self) -> int:
        """Bytes of neuron state that one sample needs."""
        return sum(row.state_bytes for row in self.neurons)

    @property
    def connection_sparsity(self) -> float:
        """Share of weights that are zero."""
        return sum(row.zero_weights for row in self.synapses) / max(1, sum(row.weights for row in self.synapses))

    @property
    def activation_sparsity(self) -> float:
        """Share of zeros in what neurons and activation functions put out."""
        outputs = sum(row.neuron_steps for row in self.neurons)
        return sum(row.zeros * row.neuron_steps for row in self.neurons) / max(1, outputs)

    @property
    def operations_p95(self) -> float:
        """The 95th percentile over samples of effective operations, MAC and AC together: the slow samples."""
        each: Tensor = sum((row.each.macs + row.each.acs for row in self.synapses), torch.zeros(self.samples))
        return float(torch.quantile(each.double(), 0.95))

    def energy(self, bits: Bits | int | None = None) -> Energy:
        """Energy a sample by every model; see `snn4.profiling.energy`."""
        from snn4.profiling.energy_models import energy

        return energy(self, bits=bits)

    def to_dict(self) -> dict[str, object]:
        """Ready for JSON: totals and rows, all per sample, energies in picojoules."""
        energy = self.energy()
        spiking = self.spiking
        return {
            "samples": self.samples,
            "steps": self.steps,
            "event_driven": any(row.event_driven for row in self.neurons),
            "parameters": self.parameters,
            "bytes": self.bytes,
            "footprint_bytes": self.footprint,
            "state_bytes": self.state_bytes,
            "bits": self.bits.to_dict(),
            "macs_per_sample": self.macs,
            "acs_per_sample": self.acs,
            "synops_per_sample": self.synops,
            "dense_macs_per_sample": self.dense_macs,
            "operations_per_sample_p95": self.operations_p95,
            "membrane_updates_per_sample": self.membrane_updates,
            "neuron_operations_per_sample": self.neuron_operations,
            "spikes_per_sample": self.spikes,
            "firing_rate": {row.name: row.rate for row in spiking},
            "mean_firing_rate": self.mean_firing_rate,
            "silent_share": {row.name: row.silent_share for row in spiking},
            "saturated_share": {row.name: row.saturated_share for row in spiking},
            "activation_sparsity": self.activation_sparsity,
            "connection_sparsity": self.connection_sparsity,
            "layers": [row.to_dict() for row in self.rows],
            "notes": list(self.notes),
            **energy.to_dict(),
        }

    def __str__(self) -> str:
        steps = "spike times" if self.steps is None else f"{self.steps} step{'s' * (self.steps != 1)}"
        measured = f"{self.samples} sample{'s' * (self.samples != 1)}, {steps}"
        operations = f"{units.count(self.macs)} MAC + {units.count(self.acs)} AC effective"
        lines = [
            f"Profile of {measured}; all numbers are per sample",
            _table(self.rows),
            "",
            f"  {operations}, {units.count(self.dense_macs)} if nothing were zero",
        ]
        if self.spiking:
            rate = f"{units.share(self.mean_firing_rate)} of neurons fire at a step"
            if self.steps is None:
                rate = f"{self.mean_firing_rate:.3g} a neuron"
            lines.append(f"  {units.count(self.spikes)} spikes, {rate}")
        lines.append(
            f"  {units.count(self.parameters)} parameters in {units.size(self.bytes)}"
            + (f", {units.size(self.state_bytes)} of state" if self.state_bytes else "")
        )
        lines.append(f"  {self.energy().summary()}")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


_HEADER = ["layer", "type", "MAC", "AC", "dense", "input", "fires", "silent", "saturated", "updates", "state", "note"]


def _mean(values: Tensor) -> float:
    return float(values.mean())


def _line(row: Row) -> dict[str, str]:
    line = {"layer": row.name or "(network)", "type": row.type}
    if isinstance(row, Synapses):
        line |= {"MAC": units.count(row.macs), "AC": units.count(row.acs), "dense": units.count(row.dense)}
        line["input"] = units.share(row.input_rate)
    elif isinstance(row, Other):
        line |= {"MAC": units.count(row.macs) if row.macs else "", "note": row.note}
    elif row.kind == "activation":
        line["fires"] = units.share(1 - row.zeros)
    else:
        line |= {"updates": units.count(_mean(row.updates)), "state": units.size(row.state_bytes)}
    if isinstance(row, Neurons) and row.kind == "spiking":
        line |= {"fires": units.share(row.rate), "silent": units.share(row.silent_share)}
        line["saturated"] = units.share(row.saturated_share)
    return line


def _table(rows: tuple[Row, ...]) -> str:
    """One line a layer; a column that no layer has anything for is left out."""
    lines = [_line(row) for row in rows]
    header = [title for title in _HEADER if any(title in line for line in lines)]
    return table(header, [[line.get(title, "") for title in header] for line in lines], indent="  ")
