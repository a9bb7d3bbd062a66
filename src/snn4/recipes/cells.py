"""Hidden neurons of recipes over sequences, each as its paper starts it.

    lif        the options of `neuron`
    alif       tau from N(20, 5), tau_a from N(150, 10), none below 2, learned one a neuron; threshold 0.01, beta 1.8
    brf        omega from U(5, 10), damping from U(0, 3), learned one a neuron; dt 0.01
    se_adlif   tau from U(5, 25), tau_a from U(60, 300), a from U(0, 1), b from U(0, 2), learned one a neuron
    tc_lif     beta1 -1/2 and beta2 1/2, learned one a layer; gamma 1/2, threshold 1.5
    dh_lif     up to eight branches, as many as inputs; logits of their decays from U(2, 6) and of the soma's from
               U(0, 4), learned one a neuron
    psn        weights over time as those of a linear layer, threshold 1, learned one a layer and step

`Starts` has those that papers choose for each task. PSN sees all steps at once, and so can have no recurrence. DH-LIF
has branches between its synapses and its soma, for which there is no recurrent layer.

Paper: [yin2021srnn, higuchi2024brf, baronig2025seadlif, zhang2024tclif, zheng2024dhlif, fang2023psn]
Differs from the papers: steps are those of the recipe, and time constants in steps are not changed with their length.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch

from snn4.core.errors import OptionError
from snn4.core.quantity import Learned
from snn4.layers import DendriticLinear, Linear
from snn4.models import srnn
from snn4.neurons import ALIF, LI, LIF, PSN, TCLIF, brf, dh_lif, se_adlif
from snn4.recipes.comparison import Build
from snn4.recipes.options import NeuronOptions

__all__ = ["FEED_FORWARD", "Cell", "Starts", "called", "network"]

Cell = Literal["lif", "alif", "brf", "se_adlif", "tc_lif", "dh_lif", "psn"]
"""The kind of the hidden neurons."""
FEED_FORWARD: tuple[Cell, ...] = ("dh_lif", "psn")
"""Cells that no recurrent layer takes."""
_BRANCHES = 8


@dataclasses.dataclass(frozen=True)
class Starts:
    """Where the time constants of neurons start that have one a neuron."""

    tau: tuple[float, float] = (20.0, 5.0)
    """alif: mean and spread of the membrane's, in steps."""
    tau_a: tuple[float, float] = (150.0, 10.0)
    """alif: mean and spread of the adaptation's, in steps."""
    omega: tuple[float, float] = (5.0, 10.0)
    """brf: lowest and highest angular frequency; a period has 628 / omega steps."""
    damping: tuple[float, float] = (0.0, 3.0)
    """brf: lowest and highest damping."""
    drive: float = 1.0
    """brf: factor of its input; with 1, as published, weights have to grow to dozens first."""


def called(cell: str, options: NeuronOptions, steps: int) -> str:
    """The name of a cell in a table: `lif` is what the options of `neuron` make of it.

    Args:
        cell: as `--cells` has it.
        options: of `neuron`.
        steps: of a sequence.

    Example:
        >>> [called(cell, NeuronOptions(kind="alif"), 4) for cell in ("alif", "lif")]
        ['alif', 'ALIF of --neuron']
    """
    made = options.title(steps) if cell == "lif" else "LIF"
    return cell if made == "LIF" else f"{made} of --neuron"


def network(
    inputs: int,
    hidden: Sequence[int],
    classes: int,
    cell: Cell,
    *,
    recurrent: bool,
    gain: float,
    dropout: float,
    readout_tau: float,
    starts: Starts,
) -> Build:
    """Makes the networks of one architecture, with leaky integrators behind the output.

    Args:
        inputs: channels of the data.
        hidden: widths of the hidden layers.
        classes: outputs.
        cell: of the SNN.
        recurrent: whether hidden layers feed back to themselves.
        gain: of the recurrent weights at the start.
        dropout: probability behind each hidden layer, one mask for all steps.
        readout_tau: where the time constants of the integrators start, one a class.
        starts: where those of neurons start.

    Raises:
        OptionError: an unknown cell, or one that cannot be recurrent.
    """
    if cell not in get_args(Cell):
        raise OptionError(f"--cell got {cell!r}", f"one of {', '.join(get_args(Cell))}")
    if recurrent and cell in FEED_FORWARD:
        raise OptionError(
            f"--cell {cell} is set in a recurrent network", "a neuron that can be recurrent", "Write --no-recurrent."
        )

    def build(neuron: Callable[[], torch.nn.Module], steps: int) -> torch.nn.Module:
        ann = neuron is torch.nn.ReLU
        if cell != "lif" and not ann and not isinstance(neuron(), LIF):
            raise OptionError(
                f"--neuron.kind is set where --cell {cell} stands in its place", "one of both", "Write --cell lif."
            )
        neurons, synapse = [neuron] * len(hidden), Linear
        if not ann and cell != "lif":
            sizes = zip((inputs, *hidden), hidden, strict=False)
            neurons = [_maker(cell, before, width, steps, starts) for before, width in sizes]
            synapse = _dendrites if cell == "dh_lif" else Linear
        return srnn(
            inputs,
            hidden,
            classes,
            neurons,
            recurrent=recurrent,
            gain=gain,
            dropout=dropout,
            readout=lambda: LI(Learned(torch.full((classes,), readout_tau)), decay_input=True),
            synapse=synapse,
        )

    return build


def _maker(cell: Cell, inputs: int, width: int, steps: int, starts: Starts) -> Callable[[], torch.nn.Module]:
    """Makes the neurons of one layer."""

    def normal(mean: float, spread: float) -> Learned:
        # a wide spread must not end below zero
        return Learned((mean + spread * torch.randn(width)).clamp(min=2.0))

    made: dict[str, Callable[[], torch.nn.Module]] = {
        "alif": lambda: ALIF(normal(*starts.tau), normal(*starts.tau_a)),
        "brf": lambda: brf((width,), starts.omega, starts.damping, drive=starts.drive),
        "se_adlif": lambda: se_adlif((width,)),
        "tc_lif": lambda: TCLIF(v_threshold=1.5),
        "dh_lif": lambda: dh_lif(width, _branches(inputs)),
        "psn": lambda: PSN(steps),
    }
    return made[cell]


def _dendrites(inputs: int, width: int) -> torch.nn.Module:
    return DendriticLinear(inputs, width, _branches(inputs))


def _branches(inputs: int) -> int:
    # each needs an input
    return min(_BRANCHES, inputs)
