"""Operations, addresses and memory accesses.

    E      = E_ops + E_addr + E_mem
    E_ops  = AC add + MAC (multiply + add) + neuron operations
    E_addr = additions of addresses 0.1 pJ + multiply-adds of addresses 3.2 pJ
    E_mem  = in c(max in) + out c(max out) + weights c(max weights) + 2 state c(max state)      bytes times pJ per byte
    c      = 0, 2.5, 5, 25 pJ per byte at 0, 8 KiB, 32 KiB, 1 MiB, linear between, constant above

A layer call is one step of one sample, and `max` the largest one, taken for the size of the memory. Where a call's
input is at most half zeros it is read dense; else only its non-zero elements are read, and for each its weights.

The published form is not even-handed: a dense call reads each weight once, however often it uses it, a sparse call
reads it for every event. So two even-handed forms of the same model stand beside it:

    published   dense: each weight once a call        sparse: each weight for every event
    no reuse    dense: each weight for every use      sparse: each weight for every event
    full reuse  each weight at most once a sample, and a first layer with constant input computed once

The published form takes the largest number of weight bytes read in a call for the size of their memory; the other two
take the size of the largest layer's parameters.

Paper: [lemaire2022analytical].
Differs from the paper: the constants and the sparse branch are those of SpikingJelly's implementation; a neuron's state
is read and written once a step, whatever its equation needs between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.profiling.bits import Bits
from snn4.profiling.energy_models.arithmetic import INT32, Arithmetic
from snn4.profiling.energy_models.compute_only import operations
from snn4.profiling.result import Profile

__all__ = ["WithMemory", "memory_cost"]

_SIZES = (0.0, 8.0 * 1024, 32.0 * 1024, 1024.0 * 1024)
_COSTS = (0.0, 2.5, 5.0, 25.0)


def memory_cost(size: Tensor | float) -> Tensor:
    """c: picojoules for a byte of a memory of `size` bytes.

    Raises:
        OptionError: a negative size.

    Example:
        >>> [round(float(memory_cost(kib * 1024.0)), 4) for kib in (0, 1, 8, 20, 32, 528, 2048)]
        [0.0, 0.3125, 2.5, 3.75, 5.0, 15.0, 25.0]
    """
    size = torch.as_tensor(size, dtype=torch.float64)
    if bool((size < 0).any()):
        raise OptionError(f"a memory of {float(size.min()):g} bytes", "a size >= 0")
    cost = torch.full_like(size, _COSTS[-1])
    for low, high, c_low, c_high in reversed(list(zip(_SIZES, _SIZES[1:], _COSTS, _COSTS[1:], strict=False))):
        cost = torch.where(size < high, c_low + (c_high - c_low) * (size - low) / (high - low), cost)
    return cost


@dataclass(frozen=True)
class WithMemory:
    """Operations, addresses and memory accesses.

    Args:
        cost: of an operation on data; addresses are always 32-bit integers.
        bits: of a word of weights, activations and state.
        reuse: how often a weight is read; see the head of this file.
    """

    cost: Arithmetic = INT32
    bits: Bits = Bits()  # noqa: RUF009  (frozen)
    reuse: Literal["published", "no reuse", "full reuse"] = "published"
    memory: bool = True

    @property
    def name(self) -> str:
        """A name that says what is special."""
        return f"with memory {self.cost.name}, {self.reuse}"

    @property
    def assumes(self) -> str:
        """The assumptions, for a report."""
        reading = {
            "published": "a dense layer call reads each weight once, a sparse one for every event (this favours dense "
            "networks)",
            "no reuse": "weights are read anew for every use, in dense and sparse layers alike",
            "full reuse": "each weight is read at most once a sample, a first layer with constant input is computed "
            "once (this favours spiking networks, whose weights serve all steps)",
        }[self.reuse]
        return (
            f"45 nm, {self.cost.name}; memory costs 0 to 25 pJ per byte by its size; words of {self.bits.weights} bits "
            f"for weights, {self.bits.activations} for activations, {self.bits.state} for state; {reading}; every "
            "neuron's state is read and written at every step"
        )

    def picojoules(self, profile: Profile) -> float:
        """Mean energy a sample."""
        once = self.reuse == "full reuse"
        booking = "papers" if once else "NeuroBench"
        arithmetic = operations(profile, booking=booking, once=once, neuron_updates=True).picojoules(self.cost)
        return float((arithmetic + self._addresses(profile, once=once) + self._memory(profile, once=once)).mean())

    @staticmethod
    def _addresses(profile: Profile, *, once: bool) -> Tensor:
        total = torch.zeros(profile.samples, dtype=torch.float64)
        for row in profile.synapses:
            work = row.once if once else row.each
            total = total + INT32.ac * work.address_adds + INT32.mac * work.address_macs
        return total

    def _memory(self, profile: Profile, *, once: bool) -> Tensor:
        weight, state = self.bits.weights / 8, self.bits.state / 8
        none = torch.zeros(profile.samples, dtype=torch.float64)
        moved_in = moved_out = moved_weights = top_in = top_out = top_weights = none
        for row in profile.synapses:
            work = row.once if once else row.each
            stored = float(row.weights + row.biases)
            # the data itself is at least 8 bits wide, whatever the layers after it use
            width = (max(8, self.bits.activations) if row.before_neurons else self.bits.activations) / 8
            read = work.use_words if self.reuse == "no reuse" else work.weight_words
            size = row.peak.weight_words if self.reuse == "published" else torch.full_like(none, stored)
            moved_in, top_in = moved_in + width * work.in_words, top_in.maximum(width * row.peak.in_words)
            moved_out, top_out = moved_out + width * work.out_words, top_out.maximum(width * row.peak.out_words)
            moved_weights = moved_weights + weight * (read.clamp(max=stored) if once else read)
            top_weights = top_weights.maximum(weight * size)
        potentials = [row for row in profile.neurons if row.fields]
        moved_state = sum(2 * state * row.state_words for row in potentials)
        top_state = max((state * row.state_variables for row in potentials), default=0.0)
        return (
            moved_in * memory_cost(top_in)
            + moved_out * memory_cost(top_out)
            + moved_weights * memory_cost(top_weights)
            + moved_state * memory_cost(top_state)
        )
