"""Every route keeps the laws of routes, and the laws notice one that does not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from snn4 import BPTT, DSR, OTTT, SLTT, EProp, OptionError, nn
from snn4.testing import LawError, check_route
from snn4.through_time import Route, reference_loop


@pytest.mark.parametrize(
    ("route", "neuron"),
    [
        (BPTT(), nn.LIF),
        (BPTT(), nn.ALIF),
        (SLTT(), nn.LIF),
        (SLTT(), lambda: nn.ALIF(4.0, 10.0, 0.2)),
        (OTTT(), nn.LIF),
        (OTTT(decay=0.0, first="trace", readout="input"), nn.CubaLIF),
        (DSR(), nn.LIF),
        (DSR(), nn.IF),
        (DSR(), lambda: nn.DSRIF(2.0)),
        (DSR(), lambda: nn.DSRLIF(v_threshold=0.3)),
        (EProp(), nn.LIF),
        (EProp(), lambda: nn.ALIF(4.0, 10.0, 0.2)),
    ],
    # no addresses: the processes of pytest-xdist must agree on the names
    ids=lambda part: getattr(part, "__name__", str(part)),
)
def test_every_route_keeps_every_law(route, neuron):
    # with OTTT the traces forget at the pace that it was told, not at the neurons'
    exempt = {"no memory": "its decay was given"} if isinstance(route, OTTT) and route.decay else {}
    report = check_route(route, neuron=neuron, exempt=exempt)
    assert len(report.kept) == 9 - len(report.exempt)


def test_random_feedback_is_another_gradient():
    route = EProp(feedback="random", generator=torch.Generator().manual_seed(0))
    with pytest.raises(LawError) as caught:
        check_route(route)
    assert caught.value.names == ("one step", "no memory")


@dataclass(frozen=True)
class Broken(Route):
    what: str

    def through(self, neuron, xs, state):
        if self.what == "spikes" and torch.is_grad_enabled():
            xs = xs + 0.5
        ys, last = reference_loop(neuron, xs, state)
        if self.what == "gradient":
            ys = ys.detach() + (ys - ys.detach()) * 2
        if self.what == "none":
            ys = ys.detach()
        if self.what == "nan":
            ys = ys + (ys - ys.detach()) * xs.detach().abs().amax().sub(100).clamp(min=0).log().clamp(min=0) / 0.0
        if self.what == "impure":
            neuron.calls = getattr(neuron, "calls", 0) + 1
        if self.what == "state":
            last = neuron.initial(xs[0])
        return ys, last


@pytest.mark.parametrize(
    ("what", "laws"),
    [
        ("spikes", {"spikes"}),
        ("gradient", {"one step", "no memory"}),
        ("none", {"one step", "no memory", "gradients arrive"}),
        ("impure", {"pure"}),
        ("state", {"spikes", "state is carried"}),
        ("nan", {"gradients are finite"}),
    ],
)
def test_a_broken_route_is_told_what_it_breaks(what, laws):
    with pytest.raises(LawError) as caught:
        check_route(Broken(what))
    assert laws <= set(caught.value.names)


def test_arguments():
    with pytest.raises(OptionError, match="check_route got"):
        check_route(nn.LIF())
    with pytest.raises(OptionError, match="steps"):
        check_route(SLTT(), steps=2)
