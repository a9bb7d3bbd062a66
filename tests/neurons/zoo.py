"""Every neuron beyond the leaky family, with settings that make it fire in a few steps."""

from __future__ import annotations

import torch

from snn4 import Learned, neurons
from snn4.neurons import (
    ALIF,
    BRF,
    CLIF,
    DALIF,
    DHLIF,
    DSRIF,
    DSRLIF,
    GLIF,
    IBRALIF,
    KLIF,
    PSN,
    RPLIF,
    TCLIF,
    AdEx,
    AdLIF,
    IntegerLIF,
    Izhikevich,
    MaskedPSN,
    SEAdLIF,
    SlidingPSN,
    TernaryLIF,
    UnaryLIF,
    brf,
    dh_lif,
    lsnn,
    ltmd,
    se_adlif,
)


def draw():
    return torch.Generator().manual_seed(0)


def each(value):
    """A learned quantity with a value of its own for each of three neurons."""
    return Learned(torch.tensor([0.9, 1.0, 1.1]) * value)


# name -> what makes it, and the arguments of check_neuron that suit it
ZOO = {
    "DSRIF": (lambda: DSRIF(1.0), {}),
    "DSRLIF": (lambda: DSRLIF(v_threshold=0.3, dt=0.2), {}),
    "DALIF": (lambda: DALIF(), {"scale": 2.5}),
    "DALIF soft": (lambda: DALIF(each(0.8), each(0.5), v_reset=None, activation="sigmoid"), {"scale": 2.0}),
    "DALIF clamp": (lambda: DALIF(Learned(1.0), 0.5, v_reset=-0.25, activation="clamp"), {"scale": 2.0}),
    "TCLIF": (lambda: TCLIF(), {}),
    "TCLIF per neuron": (lambda: TCLIF(each(-0.6), each(0.6), Learned(0.5), each(1.2), detach_reset=True), {}),
    "ALIF": (lambda: ALIF(), {}),
    "ALIF hard": (lambda: ALIF(each(20.0), each(150.0), 0.1, Learned(1.8), v_reset=-0.05, detach_reset=True), {}),
    "lsnn": (lambda: lsnn(v_threshold=0.1), {}),
    "AdLIF": (lambda: AdLIF(5.0), {"scale": 5.0}),
    "AdLIF learned": (lambda: AdLIF(each(8.0), each(60.0), Learned(0.1), Learned(0.5)), {"scale": 6.0}),
    "SEAdLIF": (lambda: SEAdLIF(5.0), {"scale": 5.0}),
    "se_adlif": (lambda: se_adlif((3,), generator=draw()), {"scale": 12.0}),
    "GLIF": (lambda: GLIF(), {}),
    "GLIF per neuron": (lambda: GLIF(each(0.5), each(0.5), each(0.5), each(0.5), detach_reset=True), {}),
    "KLIF": (lambda: KLIF(), {"scale": 2.0}),
    "KLIF scaled": (lambda: KLIF(each(2.0), v_reset=None, scale_reset=True, decay_input=False), {}),
    "KLIF scaled hard": (lambda: KLIF(Learned(2.0), v_reset=0.25, scale_reset=True, detach_reset=True), {}),
    "CLIF": (lambda: CLIF(), {}),
    "CLIF detached": (lambda: CLIF(each(2.0), detach_reset=True), {}),
    "RPLIF": (lambda: RPLIF(), {"scale": 2.0}),
    "RPLIF hard": (lambda: RPLIF(rise=Learned(1.3), v_reset=-0.25, decay_input=False, detach_reset=True), {}),
    "TernaryLIF": (lambda: TernaryLIF(), {}),
    "TernaryLIF hard": (lambda: TernaryLIF(3.0, each(1.0), each(0.8), 0.1, amplitude=Learned(0.7)), {}),
    "IntegerLIF": (lambda: IntegerLIF(), {"scale": 2.0}),
    "IntegerLIF up": (lambda: IntegerLIF(2, each(2.0), Learned(0.5), rounding="up", detach_reset=False), {}),
    "UnaryLIF": (lambda: UnaryLIF(IntegerLIF(2)), {"steps": 8}),
    "IBRALIF": (lambda: IBRALIF(3), {"scale": 2.0}),
    "AdEx": (lambda: AdEx(dt=2.0), {"scale": 2000.0}),
    "Izhikevich": (lambda: Izhikevich(), {"scale": 20.0, "steps": 12}),
    "Izhikevich learned": (lambda: Izhikevich(each(0.02), each(0.2), d=Learned(8.0)), {"scale": 20.0, "steps": 12}),
    "BRF": (lambda: BRF(), {"scale": 60.0, "steps": 12}),
    "brf": (lambda: brf((3,), generator=draw()), {"scale": 60.0, "steps": 12}),
    "DHLIF": (lambda: DHLIF(Learned(torch.linspace(0.1, 0.5, 4).view(4, 1)), each(0.5)), {"features": (4, 3)}),
    "dh_lif": (lambda: dh_lif(3, 4, generator=draw()), {"features": (4, 3), "scale": 12.0}),
    "PSN": (lambda: PSN(7, generator=draw()), {"scale": 3.0}),
    "MaskedPSN": (lambda: MaskedPSN(7, 3, generator=draw()), {"scale": 3.0}),
    "SlidingPSN": (lambda: SlidingPSN(3), {}),
    "SlidingPSN 1": (lambda: SlidingPSN(1), {"scale": 2.0}),
    "ltmd": (lambda: ltmd(), {}),
}
MEMBERS = sorted({type(make()) for make, _ in ZOO.values()} - {neurons.LIF}, key=lambda member: member.__name__)
