"""A neuron of a user's own that lacks something is told what, wherever it is met first."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch

import snn4
from snn4 import OptionError, nn
from snn4.surrogates import ATan
from snn4.testing import check_neuron


class Leaky(snn4.Neuron):
    """In order; what it gives is taken from `given`."""

    State = snn4.state("v", "a")

    def __init__(self):
        super().__init__()
        self.beta = 0.5
        self.surrogate = ATan()

    def step(self, x, state):
        v = self.beta * state.v + x
        s = self.surrogate(v - 1.0 - state.a)
        return self.given(s, v - s, 0.9 * state.a + 0.2 * s)

    def given(self, s, v, a):
        return s, self.State(v, a)


class NoState(snn4.Neuron):
    """Forgot to say what it carries."""

    def step(self, x, state):
        return x, state


class NotBegun(snn4.Neuron):
    """Forgot the __init__ of its base."""

    State = snn4.state("v")

    def __init__(self):
        self.beta = 0.5

    def step(self, x, state):
        return x, self.State(self.beta * state.v)


class Quantities(NotBegun):
    """The same, with a quantity."""

    def __init__(self):
        self.quantity("beta", 0.5)


class OnlyTheOutput(Leaky):
    def given(self, s, v, a):
        return s


class Nothing(Leaky):
    def given(self, s, v, a):
        pass


class ThreeValues(Leaky):
    def given(self, s, v, a):
        return s, v, a


class TensorAsState(Leaky):
    def given(self, s, v, a):
        return s, v


class ShortTuple(Leaky):
    def given(self, s, v, a):
        return s, (v,)


class PlainTuple(Leaky):
    def given(self, s, v, a):
        return s, (v, a)


class OtherFields(Leaky):
    def given(self, s, v, a):
        return s, snn4.state("u", "w")(v, a)


class NumberAsField(Leaky):
    def given(self, s, v, a):
        return s, self.State(v, 0.5)


class NoOutput(Leaky):
    def given(self, s, v, a):
        return None, self.State(v, a)


class TensorAtRest(Leaky):
    """Starts from a tensor where a state is wanted."""

    def initial(self, x):
        return torch.zeros_like(x)

    def step(self, x, state):
        return x, state


RETURN = r"Write return s, self\.State\(v, a\)"
MISTAKES = [
    (NoState, r"NoState has no State.*Write State = snn4\.state\('v'\)"),
    (NotBegun, r"Call super\(\).__init__\(\) first in NotBegun.__init__"),
    (OnlyTheOutput, rf"OnlyTheOutput.step returned a tensor of shape \(\d, 3\): expected .*{RETURN}"),
    (Nothing, rf"returned nothing: .*{RETURN}"),
    (ThreeValues, rf"returned 3 values: .*{RETURN}"),
    (TensorAsState, rf"returned a tensor of shape \(\d, 3\) as its state: .*{RETURN}"),
    (ShortTuple, rf"returned a plain tuple of 1 as its state: .*{RETURN}"),
    (PlainTuple, rf"returned a plain tuple of 2 as its state: .*{RETURN}"),
    (OtherFields, rf"returned a State of u, w as its state: expected an output and a State of v, a.*{RETURN}"),
    (NumberAsField, rf"returned 0.5 as a of its state: .*{RETURN}"),
    (NoOutput, rf"returned nothing as its output: .*{RETURN}"),
    (TensorAtRest, r"TensorAtRest.initial returned a tensor of shape \(\d, 3\): .*Write return self\.State\(v, a\)"),
]
WAYS = {
    "a call": lambda neuron, xs: neuron(xs),
    "a call inside a network": lambda neuron, xs: torch.nn.Sequential(nn.Linear(3, 3), neuron)(xs),
    "run": lambda neuron, xs: snn4.run(neuron, xs),
    "a stream": lambda neuron, xs: snn4.Stream(torch.nn.Sequential(neuron))(xs),
    "check_neuron": lambda neuron, xs: check_neuron(neuron),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(("kind", "said"), MISTAKES, ids=[kind.__name__ for kind, _ in MISTAKES])
# two: as many as a step returns, so that a tensor can be taken apart like them
@pytest.mark.parametrize("batch", [2, 4])
def test_a_mistake_is_told_in_one_message(kind, said, way, batch):
    with pytest.raises(OptionError, match=said) as caught:
        way(kind(), torch.rand(3, batch, 3))
    assert "\n" not in str(caught.value)


def test_a_quantity_before_the_base_is_told_where_it_stands():
    with pytest.raises(OptionError, match=r"Call super\(\).__init__\(\) first in Quantities"):
        Quantities()


@pytest.mark.parametrize("names", ["v", ("v", "a"), ["v"]])
def test_names_alone_are_no_state(names):
    with pytest.raises(OptionError, match=r"Write State = snn4\.state\('v'\)"):
        type("Named", (snn4.Neuron,), {"State": names})


def test_a_state_may_be_named_late_or_by_a_class_of_the_users_own():
    class Late(Leaky):
        State = None

        def __init__(self):
            super().__init__()
            self.State = snn4.state("v", "a")

    class Own(NamedTuple):
        v: torch.Tensor
        a: torch.Tensor

    class Listed(Leaky):
        State = Own

        def given(self, s, v, a):
            # two values are two values
            return [s, self.State(v, a)]

    xs = torch.rand(5, 2, 3)
    for kind in (Late, Listed):
        y1, state = snn4.run(kind(), xs[:2])
        y2, _ = snn4.run(kind(), xs[2:], state)
        assert torch.equal(torch.cat([y1, y2]), Leaky()(xs))


def test_a_class_without_state_can_be_looked_at():
    assert snn4.Neuron.State is None
    assert NoState.State is None


def test_the_question_is_no_obstacle_to_transforms_and_compilers():
    xs = torch.rand(5, 2, 3)
    wanted = Leaky()(xs)
    mapped = torch.func.vmap(Leaky(), in_dims=2, out_dims=2)(xs.unsqueeze(-1))
    assert torch.equal(mapped.squeeze(-1), wanted)
    # one graph, of a call and of run
    assert "compiles" in dict(check_neuron(Leaky(), compiled=True).kept)
