"""What a layer of exact spike times costs: work happens when a spike arrives, and at no other time.

    synaptic operations   input spikes within the window x neurons they reach over a weight that is not 0, each one AC
    neuron updates        input spikes x neurons they reach: potential and current are brought forward and tested
    spikes                output spikes

There are no time steps. `dense` is what the layer would do if every input fired once, which is the work of the ANN's
layer; neurons that fire several times can exceed it. The decays of an event are the same for all neurons of a layer,
so an update is multiplications and additions, as in a clocked neuron with two state variables; finding the moment of a
spike, which is rare, is not charged.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.grad import conv2d_input

from snn4.profiling.recorders import Frame
from snn4.profiling.records import Neurons, Row, Synapses
from snn4.profiling.work import Peak, Work
from snn4.timing import Conv2d, TimingLayer

__all__ = ["EventRecorder"]

# NeuroBench's cost of an update of a neuron with two state variables, reset by subtraction
_OPERATIONS, _FIELDS = 6, 2
_READOUT_OPERATIONS = 4


class EventRecorder:
    """Counts the work of one layer of `snn4.timing`."""

    def __init__(self, name: str, type_name: str, layer: TimingLayer) -> None:
        self.name, self.type, self.layer = name, type_name, layer
        self.works: list[Work] = []
        self.peaks: list[Peak] = []
        self.spikes: list[Tensor] = []
        self.updates: list[Tensor] = []
        self.fired = torch.zeros(0)
        self.neurons = self.active = self.inputs = self.arrived = self.samples = 0
        self.first = True
        self.fires = True

    def begin(self, frame: Frame) -> None:
        """A new batch."""
        self.samples += frame.batch

    def after(self, x: Tensor, out: Tensor, frame: Frame) -> None:
        """One call of the layer."""
        self.first &= frame.neuron_calls == 0
        frame.neuron_calls += 1
        arrived = (x < self.layer.window).sum(-1).flatten(1).double().cpu()
        reached, whole = self._reach(x)
        each, dense = arrived @ reached, float(reached.sum())
        events = arrived.sum(1)
        self.fires = out.ndim == x.ndim
        sent = torch.isfinite(out).flatten(1) if self.fires else torch.ones_like(out, dtype=torch.bool)
        spikes = sent.sum(1).double().cpu()
        nothing = torch.zeros_like(each)
        work = Work(
            dense=nothing + dense,
            taps=nothing + dense,
            macs=nothing,
            acs=each,
            dense_macs=nothing,
            paper_macs=nothing,
            paper_acs=each,
            in_words=events,
            out_words=spikes,
            weight_words=arrived @ whole,
            use_words=arrived @ whole,
            address_adds=arrived @ whole,
            address_macs=nothing,
        )
        self.works.append(work)
        self.peaks.append(Peak(work.in_words, work.out_words, work.weight_words))
        self.spikes.append(spikes if self.fires else nothing)
        self.updates.append(arrived @ whole)
        self.inputs += arrived.numel()
        self.arrived += int((arrived > 0).sum())
        ever = torch.isfinite(out[..., 0]) if self.fires else torch.ones_like(out, dtype=torch.bool)
        self.active += int(ever.sum())
        fired = ever.flatten(1).any(0).cpu()
        self.fired = fired if not len(self.fired) else self.fired | fired
        self.neurons = fired.numel()

    def _reach(self, x: Tensor) -> tuple[Tensor, ...]:
        """For each input neuron, the neurons it reaches over weights that are not 0, and over all weights."""
        weight = self.layer.get_parameter("weight").detach().double().cpu()
        if isinstance(self.layer, Conv2d):
            return tuple(self._places(x, one, self.layer) for one in ((weight != 0).double(), torch.ones_like(weight)))
        return (weight != 0).double().sum(0), torch.full((weight.shape[1],), float(weight.shape[0])).double()

    @staticmethod
    def _places(x: Tensor, ones: Tensor, layer: Conv2d) -> Tensor:
        """How many weights of a convolution each input neuron meets: the transposed convolution of ones."""
        shape = (1, *x.shape[1:4])
        sizes = zip(x.shape[2:4], layer.padding, layer.kernel_size, layer.stride, strict=True)
        places = [(side + 2 * pad - kernel) // step + 1 for side, pad, kernel, step in sizes]
        out = torch.ones(1, ones.shape[0], *places, dtype=torch.float64)
        transposed: Callable[..., Tensor] = conv2d_input
        return transposed(shape, ones, out, layer.stride, layer.padding).round().flatten()

    def rows(self) -> list[Row]:
        """What was found: its synapses, and its neurons."""
        weight = self.layer.get_parameter("weight").detach()
        work, updates = Work.join(self.works), torch.cat(self.updates)
        synapses = Synapses(
            name=self.name,
            type=self.type,
            weights=weight.numel(),
            zero_weights=int((weight == 0).sum()),
            biases=0,
            each=work,
            once=work,
            peak=Peak.join(self.peaks),
            input_rate=self.arrived / max(1, self.inputs),
            before_neurons=self.first,
        )
        neurons = Neurons(
            name=self.name,
            type=self.type,
            kind="spiking" if self.fires else "graded",
            neurons=self.neurons,
            neuron_steps=self.neurons,
            spikes=torch.cat(self.spikes),
            silent_share=1.0 - float(self.fired.double().mean()),
            saturated_share=0.0,
            zeros=1.0 - self.active / max(1, self.samples * self.neurons),
            updates=updates,
            operations_per_update=_OPERATIONS if self.fires else _READOUT_OPERATIONS,
            state_variables=_FIELDS * self.neurons,
            state_words=round(_FIELDS * float(updates.mean())),
            state_bytes=_FIELDS * self.neurons * weight.element_size(),
            fields=_FIELDS,
            event_driven=True,
        )
        return [synapses, neurons]
