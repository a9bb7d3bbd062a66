"""All models that fit a network's number formats, and the ranges they span."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from snn4.core.report import table
from snn4.profiling import units
from snn4.profiling.bits import Bits
from snn4.profiling.energy_models.arithmetic import arithmetics
from snn4.profiling.energy_models.compute_only import ComputeOnly
from snn4.profiling.energy_models.with_memory import WithMemory
from snn4.profiling.result import Profile

__all__ = ["Energy", "EnergyModel", "Estimate", "energy"]


class EnergyModel(Protocol):
    """What turns a profile into an energy. Write your own and hand it to `energy(..., models=[...])`."""

    @property
    def name(self) -> str:
        """Its name in reports."""
        ...

    @property
    def assumes(self) -> str:
        """Its assumptions, in one sentence."""
        ...

    @property
    def memory(self) -> bool:
        """Whether it charges memory accesses."""
        ...

    def picojoules(self, profile: Profile) -> float:
        """Mean energy a sample."""
        ...


class Estimate(NamedTuple):
    """What one model says.

    Args:
        name: of the model.
        pj: picojoules a sample.
        memory: whether memory accesses are in it.
        assumes: the assumptions.
    """

    name: str
    pj: float
    memory: bool
    assumes: str


@dataclass(frozen=True)
class Energy:
    """Energy a sample, in picojoules, by every model.

    Args:
        models: what each says.
        bits: the number formats assumed.
    """

    models: tuple[Estimate, ...]
    bits: Bits

    @property
    def compute(self) -> tuple[float, float]:
        """Lowest and highest of the models without memory access."""
        return _range([e.pj for e in self.models if not e.memory])

    @property
    def with_memory(self) -> tuple[float, float]:
        """Lowest and highest of the models with memory access."""
        return _range([e.pj for e in self.models if e.memory])

    def summary(self) -> str:
        """One line."""
        return f"energy: {span(self.compute)} for arithmetic alone, {span(self.with_memory)} with memory access"

    def to_dict(self) -> dict[str, object]:
        """Ready for JSON."""
        return {
            "energy_pj": {"compute": list(self.compute), "with_memory": list(self.with_memory)},
            "energy_models": [estimate._asdict() for estimate in self.models],
        }

    def __str__(self) -> str:
        rows = [[e.name, units.joules(e.pj), e.assumes] for e in self.models]
        return f"{self.summary()}\n{table(['model', 'a sample', 'assumes'], rows, indent='  ')}"


def span(ends: tuple[float, float]) -> str:
    """A range that a person can read."""
    low, high = (units.joules(end) for end in ends)
    return low if low == high else f"{low} to {high}"


def _range(values: list[float]) -> tuple[float, float]:
    return (min(values), max(values)) if values else (0.0, 0.0)


def energy(profile: Profile, *, bits: Bits | int | None = None, models: list[EnergyModel] | None = None) -> Energy:
    """Energy a sample, as a range over models. These are models in 45 nm: for comparison, not for a data sheet.

    Args:
        profile: of the network.
        bits: how wide its numbers are: an int for weights and activations; `None` for what the network's own quantisers
            say. 8 and fewer are charged as int8, 9 to 16 as fp16, more as both fp32 and int32.
        models: what to ask; `None` for all built-in models of these formats.

    Example:
        >>> import torch
        >>> from snn4.profiling import profile
        >>> p = profile(torch.nn.Sequential(torch.nn.Linear(10, 5)), torch.full((1, 1, 10), 0.5))
        >>> e = energy(p)
        >>> [round(end, 1) for end in e.compute]
        [160.0, 230.0]
        >>> energy(p, bits=8).compute
        (11.5, 11.5)
    """
    if bits is None:
        bits = profile.bits
    elif isinstance(bits, int):
        bits = Bits(weights=bits, activations=bits, state=profile.bits.state)
    estimates: list[Estimate] = []
    for model in models if models is not None else _models(bits):
        estimate = Estimate(model.name, model.picojoules(profile), model.memory, model.assumes)
        # a model whose special assumption changes nothing for this network would only repeat another's number
        if models is not None or model.memory or all(e.pj != estimate.pj or e.memory for e in estimates):
            estimates.append(estimate)
    return Energy(tuple(estimates), bits)


def _models(bits: Bits) -> list[EnergyModel]:
    found: list[EnergyModel] = []
    # an operation is as wide as its wider operand
    for cost in arithmetics(max(bits.weights, bits.activations)):
        found += [
            ComputeOnly(cost),
            ComputeOnly(cost, booking="zeros skipped"),
            ComputeOnly(cost, once=False),
            ComputeOnly(cost, booking="NeuroBench", once=False, neuron_updates=True),
        ]
    for cost in arithmetics(max(bits.weights, bits.activations)):
        found += [
            WithMemory(cost, bits, "published"),
            WithMemory(cost, bits, "no reuse"),
            WithMemory(cost, bits, "full reuse"),
        ]
    return found
