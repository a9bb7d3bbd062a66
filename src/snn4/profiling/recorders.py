"""What is written down about each layer while the network runs."""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass, field

import torch
from torch import Tensor

from snn4.core.errors import NotFiniteError
from snn4.profiling.membrane import MembraneCount, operations_per_update
from snn4.profiling.records import Neurons, Other, Row, Synapses
from snn4.profiling.synapses import FanOut, fan_out, is_binary, rows_of, weight_count
from snn4.profiling.work import Peak, Work
from snn4.through_time import Neuron

__all__ = ["ActivationRecorder", "Frame", "NeuronRecorder", "NormRecorder", "SynapseRecorder"]


@dataclass
class Frame:
    """One batch on its way through the network.

    Args:
        steps: T of the network's input.
        batch: B of the network's input.
        constant: whether that input is the same at each of several steps.
        neuron_calls: the most often that a neuron has been called since; more than once in a loop over time.
        synapse_outputs: what synaptic layers put out, for as long as it lives.
        neuron_outputs: what neurons put out, for as long as it lives.
    """

    steps: int
    batch: int
    constant: bool
    neuron_calls: int = 0
    synapse_outputs: list[weakref.ref[Tensor]] = field(default_factory=list[weakref.ref[Tensor]])
    neuron_outputs: list[weakref.ref[Tensor]] = field(default_factory=list[weakref.ref[Tensor]])


@dataclass(frozen=True)
class _Layout:
    """Rows of a layer's input are (steps, batch, rest), in this order; rest are tokens, patches and the like."""

    steps: int
    batch: int
    rest: int

    @classmethod
    def of(cls, leading: torch.Size, frame: Frame) -> _Layout | None:
        """How the folded axes are made up; `None` where that cannot be told."""
        steps, batch = frame.steps, frame.batch
        if leading[:2] in ((steps, batch), (1, batch)):
            return cls(leading[0], batch, math.prod(leading[2:]))
        if leading[:1] == (steps * batch,):
            return cls(steps, batch, math.prod(leading[1:]))
        if leading[:1] == (batch,):
            return cls(1, batch, math.prod(leading[1:]))
        return None

    def sum(self, values: Tensor) -> Tensor:
        """(rows,) -> (steps, batch), in float64 on the CPU."""
        return values.reshape(self.steps, self.batch, self.rest).sum(2).double().cpu()


class SynapseRecorder:
    """Counts the work of one linear or convolution layer."""

    def __init__(self, name: str, type_name: str, layer: torch.nn.Module) -> None:
        self.name, self.type, self.layer = name, type_name, layer
        self.linear = isinstance(layer, torch.nn.Linear)
        self.weights, self.zero_weights, self.biases = weight_count(layer)
        self.fan_outs: dict[tuple[torch.Size, torch.Size], FanOut] = {}
        self.nonzero = self.inputs = 0
        self.before_neurons = True
        self.each: list[Work] = []
        self.once: list[Work] = []
        self.peak: list[Peak] = []
        self.first: Tensor | None = None
        self.calls = 0

    def begin(self, frame: Frame) -> None:
        """A new batch."""
        self.each.append(Work.zero(frame.batch))
        self.once.append(Work.zero(frame.batch))
        self.peak.append(Peak.zero(frame.batch))
        self.first = None
        self.calls = 0

    def after(self, x: Tensor, out: Tensor, frame: Frame) -> None:
        """One call of the layer."""
        rows, leading = rows_of(self.layer, x)
        outs, _ = rows_of(self.layer, out)
        if not rows.numel():
            return
        if not bool(torch.isfinite(rows).all()):
            raise NotFiniteError(
                f"the input of {self.name or 'the network'} ({self.type}) has NaN or infinite values",
                "finite numbers",
                "The network made them from a finite input: look at the layers before this one.",
            )
        shapes = rows.shape[1:], outs.shape[1:]
        if shapes not in self.fan_outs:
            self.fan_outs[shapes] = fan_out(self.layer, *shapes)
        layout = _Layout.of(leading, frame)
        self.calls += 1
        upstream = self._is_upstream(x, layout, frame)
        frame.synapse_outputs.append(weakref.ref(out))
        work, peak = self._measure(rows, outs, self.fan_outs[shapes], layout, frame.batch, upstream)
        self.each[-1] = self.each[-1].plus(work)
        self.peak[-1] = self.peak[-1].largest(peak)
        self.once[-1] = self.once[-1].plus(work.times(self._share_computed(rows, layout, frame, upstream)))
        self.before_neurons &= upstream

    def _is_upstream(self, x: Tensor, layout: _Layout | None, frame: Frame) -> bool:
        """Whether this call comes before all neurons, so that it sees encoded data and no spikes."""
        if any(output() is x for output in frame.neuron_outputs):
            return False
        # in a loop over time, neurons that ran ran at earlier steps
        looping = layout is not None and layout.steps < frame.steps
        return frame.neuron_calls < (self.calls if looping else 1)

    def _measure(
        self, rows: Tensor, outs: Tensor, fan: FanOut, layout: _Layout | None, batch: int, upstream: bool
    ) -> tuple[Work, Peak]:
        def by_call(values: Tensor) -> Tensor:
            if layout is not None:
                return layout.sum(values)
            # nobody knows whose rows these are: totals stay right, the samples share them equally
            return (values.sum().double().cpu() / batch).expand(1, batch)

        active = rows != 0
        operations = by_call(fan.operations(active))
        number = by_call(torch.ones(len(rows), dtype=torch.int64))
        nonzero_in, nonzero_out = by_call(active.flatten(1).sum(1)), by_call((outs != 0).flatten(1).sum(1))
        size_in, size_out = number * rows[0].numel(), number * outs[0].numel()
        self.nonzero += int(active.sum())
        self.inputs += active.numel()

        nothing = torch.zeros_like(operations)
        binary, dense = is_binary(rows), number * fan.dense
        paper = operations
        if not binary and not upstream and bool((rows == rows.round()).all()):
            paper = by_call(fan.operations(rows.abs().long()))
        charged_as_mac = not binary and upstream

        sparse_in = nonzero_in < 0.5 * size_in
        sparse_out = sparse_in & (nonzero_out < 0.5 * size_out)
        in_words = torch.where(sparse_in, nonzero_in, size_in)
        out_words = torch.where(sparse_out, nonzero_out, size_out)
        # a bias is read for every output that is written
        biases = out_words if self.biases else nothing
        per_event = nonzero_in * fan.per_event + biases
        weight_words = torch.where(sparse_in, per_event, number.clamp(max=1) * (self.weights + self.biases))
        use_words = torch.where(sparse_in, per_event, dense + biases)
        calls = Work(
            dense=dense,
            taps=number * fan.taps,
            macs=nothing if binary else operations,
            acs=operations if binary else nothing,
            dense_macs=nothing if binary else dense,
            paper_macs=operations if charged_as_mac else nothing,
            paper_acs=nothing if charged_as_mac else paper,
            in_words=in_words,
            out_words=out_words,
            weight_words=weight_words,
            use_words=use_words,
            address_adds=nonzero_in * fan.per_event if binary else size_in + size_out + fan.kernel_words,
            address_macs=2 * nonzero_in if binary and not self.linear else nothing,
        )
        peak = Peak(in_words.amax(0), out_words.amax(0), weight_words.amax(0))
        return Work(*(part.sum(0) for part in calls)), peak

    def _share_computed(self, rows: Tensor, layout: _Layout | None, frame: Frame, upstream: bool) -> float:
        """The share of this call that is left when a step equal to the first one is not computed again."""
        if not frame.constant or not upstream or layout is None:
            return 1.0
        if layout.steps == frame.steps:
            by_step = rows.reshape(frame.steps, -1)
            return 1.0 / frame.steps if bool((by_step == by_step[0]).all()) else 1.0
        # a loop over time calls the layer once a step
        if self.first is None:
            self.first = rows
            return 1.0
        return 0.0 if torch.equal(self.first, rows) else 1.0

    def row(self) -> Row:
        """What was found."""
        return Synapses(
            name=self.name,
            type=self.type,
            weights=self.weights,
            zero_weights=self.zero_weights,
            biases=self.biases,
            each=Work.join(self.each),
            once=Work.join(self.once),
            peak=Peak.join(self.peak),
            input_rate=self.nonzero / max(1, self.inputs),
            before_neurons=self.before_neurons,
        )


class NeuronRecorder:
    """Counts the spikes and membrane updates of one neuron layer."""

    def __init__(self, name: str, type_name: str, neuron: Neuron) -> None:
        self.name, self.type, self.neuron = name, type_name, neuron
        # a neuron that the forward uses at several places meets several shapes of features
        self.fired: dict[torch.Size, Tensor] = {}
        self.seen: dict[torch.Size, int] = {}
        self.membranes: dict[torch.Size, MembraneCount] = {}
        self.spikes: list[Tensor] = []
        self.updates: list[Tensor] = []
        self.samples = self.calls = self.longest = 0

    def begin(self, frame: Frame) -> None:
        """A new batch."""
        self.calls = 0
        self.spikes.append(torch.zeros(frame.batch, dtype=torch.float64))
        self.updates.append(torch.zeros(frame.batch, dtype=torch.float64))
        self.membranes = {}
        self.samples += frame.batch

    def after(self, x: Tensor, out: Tensor, frame: Frame) -> None:
        """One call of the layer."""
        self.calls += 1
        self.longest = max(self.longest, len(out))
        frame.neuron_calls = max(frame.neuron_calls, self.calls)
        frame.neuron_outputs.append(weakref.ref(out))
        features = out.shape[2:]
        fires = out != 0
        self.spikes[-1] += fires.transpose(0, 1).flatten(1).sum(1).double().cpu()
        fired = fires.sum((0, 1)).cpu()
        self.fired[features] = self.fired.get(features, torch.zeros_like(fired)) + fired
        self.seen[features] = self.seen.get(features, 0) + out.shape[0] * out.shape[1]
        if features not in self.membranes:
            self.membranes[features] = MembraneCount(self.neuron, frame.steps)
        self.updates[-1] += self.membranes[features].updates(x, out)

    def row(self) -> Row:
        """What was found."""
        neurons = sum(fired.numel() for fired in self.fired.values())
        silent = sum(int((fired == 0).sum()) for fired in self.fired.values())
        saturated = sum(int((fired == self.seen[shape]).sum()) for shape, fired in self.fired.items())
        outputs = sum(shape.numel() * seen for shape, seen in self.seen.items())
        spikes = torch.cat(self.spikes)
        return Neurons(
            name=self.name,
            type=self.type,
            kind="graded" if self.neuron.alphabet is None else "spiking",
            neurons=neurons,
            neuron_steps=outputs // max(1, self.samples),
            spikes=spikes,
            silent_share=silent / max(1, neurons),
            saturated_share=saturated / max(1, neurons),
            zeros=1.0 - float(spikes.sum()) / max(1, outputs),
            updates=torch.cat(self.updates),
            operations_per_update=operations_per_update(self.neuron),
            state_variables=sum(m.variables for m in self.membranes.values()),
            state_words=sum(m.words for m in self.membranes.values()),
            state_bytes=sum(m.bytes for m in self.membranes.values()),
            fields=len(self.neuron.State._fields),
            longest=self.longest,
        )


class ActivationRecorder:
    """Counts the zeros of an ANN's activation function."""

    def __init__(self, name: str, type_name: str) -> None:
        self.name, self.type = name, type_name
        self.nonzero = self.outputs = self.samples = self.steps = 0

    def begin(self, frame: Frame) -> None:
        """A new batch."""
        self.samples += frame.batch
        self.steps = frame.steps

    def after(self, x: Tensor, out: Tensor, frame: Frame) -> None:
        """One call of the layer."""
        self.nonzero += int((out != 0).sum())
        self.outputs += out.numel()

    def row(self) -> Row:
        """What was found."""
        outputs = self.outputs // max(1, self.samples)
        return Neurons(
            name=self.name,
            type=self.type,
            kind="activation",
            neurons=outputs // max(1, self.steps),
            neuron_steps=outputs,
            spikes=torch.zeros(self.samples, dtype=torch.float64),
            silent_share=0.0,
            saturated_share=0.0,
            zeros=1.0 - self.nonzero / max(1, self.outputs),
            updates=torch.zeros(self.samples, dtype=torch.float64),
        )


class NormRecorder:
    """Charges a norm one multiply-accumulate an output, unless the layer before can swallow it."""

    def __init__(self, name: str, type_name: str, *, foldable: bool) -> None:
        self.name, self.type, self.foldable = name, type_name, foldable
        self.outputs = self.samples = 0
        self.folded = True

    def begin(self, frame: Frame) -> None:
        """A new batch."""
        self.samples += frame.batch

    def after(self, x: Tensor, out: Tensor, frame: Frame) -> None:
        """One call of the layer."""
        if self.foldable and any(output() is x for output in frame.synapse_outputs):
            return
        self.folded = False
        self.outputs += out.numel()

    def row(self) -> Row:
        """What was found."""
        note = "folded into the layer before it" if self.folded else "one MAC for each output"
        return Other(self.name, self.type, "norm", self.outputs / max(1, self.samples), note)
