"""Cutting time and sharing a batch change no bit of a neuron, whatever the numbers are."""

from __future__ import annotations

import copy

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn4 import Learned, Stream, run
from snn4.neurons import IF, LI, LIF, CubaLIF, euler, exponential
from snn4.surrogates import ATan, Rectangle, Triangle

EXAMPLES = settings(deadline=None, max_examples=60)


@st.composite
def quantity(draw, low, high, features):
    value = draw(st.floats(low, high, width=32))
    kind = draw(st.sampled_from(["float", "channel", "neuron", "learned"]))
    if kind == "float":
        return value
    if kind == "learned":
        return Learned(value)
    shape = features if kind == "neuron" else (features[0], *(1 for _ in features[1:]))
    return torch.full(shape, value) * torch.linspace(1, 1.5, shape[0]).view(-1, *(1 for _ in shape[1:]))


@st.composite
def neurons(draw, features):
    kind = draw(st.sampled_from([IF, LIF, CubaLIF, LI]))
    options = {}
    if kind is not IF:
        options["tau"] = draw(quantity(1.25, 30.0, features))
        options["decay"] = draw(st.sampled_from([euler, exponential]))
    if kind in (LIF, LI):
        options["decay_input"] = draw(st.booleans())
    if kind is CubaLIF:
        options["tau_syn"] = draw(quantity(1.25, 10.0, features))
    if kind is not LI:
        options["v_threshold"] = draw(quantity(0.25, 2.0, features))
        options["v_reset"] = draw(st.sampled_from([None, 0.0, -0.5, 0.125]))
        options["detach_reset"] = draw(st.booleans())
        options["surrogate"] = draw(st.sampled_from([ATan(), Triangle(Learned(1.0)), Rectangle(2.0)]))
    return kind(**options)


@st.composite
def cases(draw):
    features = draw(st.sampled_from([(1,), (5,), (2, 3), (2, 3, 2)]))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    steps, batch = draw(st.integers(1, 12)), draw(st.integers(1, 5))
    size = draw(st.floats(0.01, 20.0))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    x = torch.randn(steps, batch, *features, generator=generator, dtype=torch.float64) * size + size / 3
    cuts = draw(st.lists(st.integers(1, max(1, steps - 1)), max_size=4, unique=True).map(sorted))
    return draw(neurons(features)).to(dtype), x.to(dtype), [c for c in cuts if c < steps]


def chunks(x, cuts):
    return x.tensor_split(cuts)


def leaves(neuron, x):
    return [x, *(p for p in neuron.parameters() if p.requires_grad)]


@given(cases())
@EXAMPLES
def test_cuts_change_no_bit(case):
    neuron, x, cuts = case
    ys, end = run(neuron, x)
    assert torch.equal(neuron(x), ys)
    state, parts, stream = None, [], Stream(neuron)
    for chunk in chunks(x, cuts):
        y, state = run(neuron, chunk, state)
        parts.append(y)
        assert torch.equal(stream(chunk), y)
    assert torch.equal(torch.cat(parts), ys)
    for one, other in zip(state[""], end[""], strict=True):
        assert torch.equal(one, other)


@given(cases())
@EXAMPLES
def test_cuts_do_not_change_the_gradient(case):
    neuron, x, cuts = case
    neuron, x = neuron.double(), x.double().requires_grad_()
    weights = torch.linspace(-1, 1, x.numel(), dtype=torch.float64).view_as(x)
    whole = torch.autograd.grad((neuron(x) * weights).sum(), leaves(neuron, x), allow_unused=True)
    state, parts = None, []
    for chunk in chunks(x, cuts):
        y, state = run(neuron, chunk, state)
        parts.append(y)
    cut = torch.autograd.grad((torch.cat(parts) * weights).sum(), leaves(neuron, x), allow_unused=True)
    for one, other in zip(cut, whole, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert (one - other).abs().max() <= 1e-12 * max(1.0, other.abs().max().item())


@given(cases(), st.randoms(use_true_random=False))
@EXAMPLES
def test_batch_items_do_not_meet(case, random):
    neuron, x, _ = case
    ys = neuron(x)
    order = list(range(x.shape[1]))
    random.shuffle(order)
    assert torch.equal(neuron(x[:, order]), ys[:, order])
    for b in range(x.shape[1]):
        assert torch.equal(neuron(x[:, b : b + 1]), ys[:, b : b + 1])
        other = torch.where(torch.arange(x.shape[1]).view(1, -1, *(1 for _ in x.shape[2:])) == b, x, 7 - 3 * x)
        assert torch.equal(neuron(other)[:, b], ys[:, b])


@given(cases())
@EXAMPLES
def test_the_gradient_of_an_item_stays_with_it(case):
    neuron, x, _ = case
    x = x.requires_grad_()
    for b in range(x.shape[1]):
        (grad,) = torch.autograd.grad(neuron(x)[:, b].sum(), x)
        grad = grad.clone()
        grad[:, b] = 0
        assert not grad.any()


@given(cases(), cases())
@EXAMPLES
def test_calls_are_pure(case, other):
    neuron, x, _ = case
    kept, before = x.clone(), copy.deepcopy(neuron.state_dict())
    first = neuron(x)
    # anything may happen in between, also a call on another shape and dtype
    _, y, _ = other
    if y.shape[2:] == x.shape[2:]:
        run(neuron, y.to(x.dtype))
    run(neuron, x)
    assert torch.equal(neuron(x), first)
    assert torch.equal(x, kept)
    for name, value in neuron.state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.equal(copy.deepcopy(neuron)(x), first)


@given(cases())
@EXAMPLES
def test_time_does_not_run_backwards(case):
    # outputs up to t do not depend on inputs after t
    neuron, x, cuts = case
    ys = neuron(x)
    for t in cuts:
        later = torch.cat([x[:t], 5 - 2 * x[t:]])
        assert torch.equal(neuron(later)[:t], ys[:t])
