"""No kernel serves a neuron that the loop refuses: what its step gives is looked at when it is traced."""

from __future__ import annotations

import pytest
import torch

import snn4
from snn4 import OptionError
from snn4.through_time import registry


class Leaky(snn4.Neuron):
    """In order."""

    State = snn4.state("v")

    def step(self, x, state):
        v = 0.5 * state.v + x
        return self.given(v - 1.0, v)

    def given(self, s, v):
        return s, self.State(v)


class OnlyTheOutput(Leaky):
    def given(self, s, v):
        return s


class TensorAsState(Leaky):
    def given(self, s, v):
        return s, v


class PlainTuple(Leaky):
    def given(self, s, v):
        return s, (v,)


class OtherFields(Leaky):
    def given(self, s, v):
        return s, snn4.state("u")(v)


@pytest.mark.parametrize("kind", [OnlyTheOutput, TensorAsState, PlainTuple, OtherFields])
@pytest.mark.parametrize("learns", [False, True])
def test_what_the_loop_refuses_is_refused_with_kernels_too(kind, learns):
    xs = torch.rand(3, 2, 4, requires_grad=learns)
    for call in (kind(), lambda xs: snn4.run(kind(), xs)):
        with pytest.raises(OptionError, match=r"Write return s, self\.State\(v\)"):
            call(xs)
    kernel, refused = registry.choose(kind(), xs, kind().initial(xs[0]))
    assert kernel is None
    assert any("step returned" in why for _, why in refused), refused


def test_one_that_is_in_order_is_served():
    xs = torch.rand(3, 2, 4)
    with snn4.kernels.use("reference"):
        wanted = Leaky()(xs)
    assert torch.equal(Leaky()(xs), wanted)
