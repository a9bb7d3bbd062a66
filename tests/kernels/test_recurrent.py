"""Recurrent layers in one kernel, against the loop over steps; where sums are exact, bit for bit."""

from __future__ import annotations

import warnings

import pytest
import torch
from tests.kernels.twins import relative
from tests.neurons.zoo import ZOO

import snn4
from snn4 import GraphError, Learned, nn, run, use_route
from snn4.core.states import state
from snn4.kernels import recurrent_plan, use
from snn4.models import lsnn
from snn4.neurons import ALIF, LI, LIF, IntegerLIF, TernaryLIF
from snn4.surrogates import Rectangle
from snn4.through_time import Neuron

STEPS, BATCHES, WIDTHS = (1, 2, 7, 63), (1, 3, 33), (1, 5, 36, 130)
# no elementwise step, or a whole sequence at once
APART = {"DHLIF", "dh_lif", "PSN", "MaskedPSN", "UnaryLIF"}


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def grid(values):
    """Multiples of 1/64: sums of them are exact, in any order."""
    return (values * 64).round() / 64


def layer(neuron, width, dtype=torch.float64, bias=True, coarse=False, size=None):
    """A recurrent layer with weights large enough to matter."""
    net = nn.Recurrent(neuron, nn.Linear(width, width, bias=bias)).to(dtype)
    with torch.no_grad():
        weight = draw(width, width, seed=1) * ((1.0 / width**0.5) if size is None else size)
        net.feedback.weight.copy_(grid(weight) if coarse else weight)
        if bias:
            net.feedback.bias.copy_(grid(draw(width, seed=2) * 0.2))
    return net


def sides(net, xs, first=None, **how):
    """Outputs, last states and all gradients, through the kernel and through the loop."""
    (choice, *_) = snn4.explain(net, xs).choices
    assert choice.implementation == "c++, with Recurrent", choice.refused
    found = []
    for name in ("auto", "reference"):
        with use(name, **how):
            leaf = xs.clone().requires_grad_()
            before = None if first is None else first.detach()
            for value in () if before is None else (field for entry in before.values() for field in entry):
                value.requires_grad_()
            ys, after = run(net, leaf, before)
            fields = [field for key in sorted(after) for field in after[key]]
            leaves = [leaf, *(p for p in net.parameters() if p.requires_grad)]
            leaves += [] if before is None else [field for key in sorted(before) for field in before[key]]
            outs = [ys, *fields]
            weights = [draw(*out.shape, seed=9).to(out) for out in outs]
            loss = sum((o * w).sum() for o, w in zip(outs, weights, strict=True))
            grads = torch.autograd.grad(loss, leaves, allow_unused=True)
        found.append(([o.detach() for o in outs], [torch.zeros(()) if g is None else g for g in grads]))
    return found


class Sharp(Neuron):
    """A user's neuron with two states, whose constants are powers of 2."""

    State = state("v", "a")

    def __init__(self):
        super().__init__()
        self.surrogate = Rectangle(1.0)

    def step(self, x, state):
        v = 0.5 * state.v + x - 0.25 * state.a
        s = self.surrogate(v - 1.0)
        return s, self.State(v - s, 0.5 * state.a + s)


class Smooth(Neuron):
    """A user's neuron whose output is its own derivative's antiderivative: finite differences can be taken."""

    alphabet = None
    State = state("v", "w")

    def __init__(self, size):
        super().__init__()
        self.decay = torch.nn.Parameter(torch.linspace(0.3, 0.9, size, dtype=torch.float64))
        self.gain = torch.nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def step(self, x, state):
        v = self.decay * state.v + x * self.gain
        y = torch.tanh(v - state.w)
        return y, self.State(v - 0.5 * y, 0.8 * state.w + y)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.usefixtures("unwritten_is_nan")
def test_on_a_grid_no_bit_of_spikes_and_states_differs(width, dtype):
    net = layer(Sharp(), width, dtype, coarse=True)
    rates = []
    for steps in STEPS:
        for batch in BATCHES:
            xs = grid(draw(steps, batch, width, seed=steps) * 0.8 + 0.3).to(dtype)
            (outs, grads), (expected, wanted) = sides(net, xs)
            for one, other in zip(outs, expected, strict=True):
                assert torch.equal(one, other)
            # of sums over time and samples, terms of both signs are left
            size = wanted[0].double().norm()
            for one, other in zip(grads, wanted, strict=True):
                difference = (one.double() - other.double()).norm()
                assert difference < (1e-6 if dtype == torch.float32 else 1e-14) * (size + other.double().norm())
            rates.append(outs[0].mean())
    assert 0.1 < torch.stack(rates).mean() < 0.9


@pytest.mark.parametrize("keeps", ["checkpoint", "save"])
def test_any_weights_in_float64(keeps):
    for neuron, scale in ((LIF(Learned(2.0), Learned(0.9, (36,))), 1.0), (ALIF(Learned(20.0, (36,)), 40.0), 1.0)):
        net = layer(neuron, 36)
        for steps, batch in ((7, 3), (150, 33)):
            (outs, grads), (expected, wanted) = sides(net, draw(steps, batch, 36) * scale, backward=keeps)
            assert torch.equal(outs[0], expected[0])
            assert 0 < outs[0].mean() < 1
            for one, other in zip((*outs, *grads), (*expected, *wanted), strict=True):
                assert relative(one, other) < 1e-10


@pytest.mark.parametrize(
    "name", [n if n in ("GLIF", "brf") else pytest.param(n, marks=pytest.mark.slow) for n in ZOO if n not in APART]
)
def test_every_neuron(name):
    make, options = ZOO[name]
    net = layer(make().double(), 3)
    with torch.no_grad():
        net.feedback.weight.mul_(options.get("scale", 1.0))
    xs = (draw(40, 9, 3) + 0.5) * options.get("scale", 1.0)
    (outs, grads), (expected, wanted) = sides(net, xs)
    assert torch.equal(outs[0], expected[0])
    assert 0 < outs[0].count_nonzero() < outs[0].numel()
    for one, other in zip((*outs, *grads), (*expected, *wanted), strict=True):
        assert relative(one, other) < 1e-9


@pytest.mark.parametrize("neuron", [LI(4.0), IntegerLIF(4), TernaryLIF()])
def test_outputs_that_are_no_spikes(neuron):
    net = layer(neuron, 130, size=0.04)
    (outs, grads), (expected, wanted) = sides(net, draw(20, 5, 130) * 2)
    assert len(outs[0].unique()) > 2
    for one, other in zip((*outs, *grads), (*expected, *wanted), strict=True):
        assert relative(one, other) < 1e-10


@pytest.mark.parametrize("width", [1, 4])
def test_gradients_are_finite_differences(width):
    neuron = Smooth(width)
    x, weight, bias = draw(5, 2, width), draw(width, width, seed=1) * 0.5, draw(width, seed=2)
    last, first = draw(2, width, seed=3), draw(2, width, seed=4)
    net = nn.Recurrent(neuron, nn.Linear(width, width).double())
    assert snn4.explain(net, x).choices[0].implementation == "c++, with Recurrent"

    def function(x, weight, bias, decay, gain, last, first):
        tensors = {"body.decay": decay, "body.gain": gain, "feedback.weight": weight, "feedback.bias": bias}

        class Call(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.net = net

            def forward(self, x):
                return torch.func.functional_call(self.net, tensors, (x,))

        call = Call()
        begin = snn4.States({"net": nn.Loop.State(last), "net.body": Smooth.State(first, 0.5 * first)})
        ys, after = run(call, x, begin)
        return ys, *after["net.body"], *after["net"]

    inputs = [x, weight, bias, neuron.decay.detach(), neuron.gain.detach(), last, first]
    assert torch.autograd.gradcheck(function, [t.clone().requires_grad_() for t in inputs])


def test_two_kinds_of_neurons_side_by_side():
    generator = torch.Generator().manual_seed(0)
    net = lsnn(7, 3, regular_neurons=19, adaptive_neurons=13).double()
    with torch.no_grad():
        net.neurons.feedback.weight.copy_(torch.randn(32, 32, generator=generator) * 0.02)
    x = draw(30, 5, 7)
    found = {}
    for name in ("auto", "reference"):
        with use(name):
            leaf = x.clone().requires_grad_()
            ys, after = run(net, leaf)
            grads = torch.autograd.grad(ys.square().sum(), [leaf, *net.parameters()])
            first, second = run(net, x[:11])[1], None
            second = run(net, x[11:], first)
        found[name] = ys, grads, after, second
    choices = snn4.explain(net, x).choices
    assert [c.implementation for c in choices] == ["c++, with Recurrent", "c++, with Recurrent", "c++"]
    assert relative(found["auto"][0].detach(), found["reference"][0].detach()) < 1e-12
    for one, other in zip(found["auto"][1], found["reference"][1], strict=True):
        assert relative(one, other) < 1e-10
    assert list(found["auto"][2]) == list(found["reference"][2])
    for key, fields in found["reference"][2].items():
        for one, other, cut in zip(found["auto"][2][key], fields, found["auto"][3][1][key], strict=True):
            assert relative(one.detach(), other.detach()) < 1e-12
            assert relative(cut.detach(), one.detach()) < 1e-12
    # no weight from a neuron to itself
    assert found["auto"][1][2].diagonal().abs().max() == 0


@pytest.mark.parametrize("kind", [nn.Recurrent, nn.Loop])
def test_a_sequence_in_pieces(kind):
    """A loop adds nothing at its first step, where a recurrent layer adds its bias."""
    net = layer(LIF(), 12)
    net = kind(net.body, net.feedback)
    xs = draw(20, 3, 12).requires_grad_()
    found = {}
    for name in ("auto", "reference"):
        with use(name):
            whole, end = run(net, xs)
            state, parts = None, []
            for piece in xs.split([1, 12, 7]):
                ys, state = run(net, piece, state)
                parts.append(ys)
            assert list(state) == list(end)
            for key, fields in end.items():
                assert all(torch.equal(a, b) for a, b in zip(fields, state[key], strict=True))
            assert torch.equal(torch.cat(parts), whole)
            loss = (torch.cat(parts) * draw(20, 3, 12, seed=5)).sum() + sum(f.sum() for f in state["body"])
            found[name] = whole, torch.autograd.grad(loss, [xs, *net.parameters()])
    assert torch.equal(found["auto"][0], found["reference"][0])
    for one, other in zip(found["auto"][1], found["reference"][1], strict=True):
        assert relative(one, other) < 1e-12


def test_the_same_bits_with_any_number_of_threads_and_neighbours():
    net = layer(ALIF(Learned(20.0, (36,))), 36, torch.float32)
    xs = draw(60, 33, 36).float().requires_grad_()
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            ys = net(xs)
            found.append((ys.detach(), *torch.autograd.grad(ys.square().sum(), [xs, *net.parameters()])))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        # but for torch's own sum over the bias and, where many fired, its product
        assert all(torch.equal(a, b) for a, b in zip(found[0][:3], other[:3], strict=True))
    assert torch.equal(net(xs[:, 5:6])[:, 0], found[0][0][:, 5])


def test_the_sum_over_those_that_fired_is_the_product(monkeypatch):
    net = layer(LIF(), 36, bias=False)
    xs = draw(50, 17, 36).requires_grad_()
    found = []
    for share in (0.0, 1.1):
        monkeypatch.setattr(recurrent_plan, "_SPARSE", share)
        found.append(torch.autograd.grad((net(xs) * draw(50, 17, 36, seed=3)).sum(), net.feedback.weight)[0])
    assert not torch.equal(*found)
    assert relative(*found) < 1e-13


def test_without_gradients_nothing_is_kept():
    net, xs = layer(LIF(), 36), draw(20, 3, 36)
    with torch.no_grad():
        ys = net(xs)
    assert ys.grad_fn is None
    assert torch.equal(ys, net(xs).detach())
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        net.requires_grad_(False)(xs)
    assert not kept


def test_second_derivatives():
    net, xs = layer(Smooth(4), 4), draw(6, 2, 4).requires_grad_()
    found = []
    for name in ("auto", "reference"):
        with use(name):
            (grad,) = torch.autograd.grad(net(xs).square().sum(), xs, create_graph=True)
            found.append(torch.autograd.grad(grad.square().sum(), [xs, *net.parameters()]))
    for one, other in zip(*found, strict=True):
        assert relative(one, other) < 1e-12
    with use(backward="save"):
        ys = net(xs)
    with pytest.raises(GraphError, match="does not keep"):
        torch.autograd.grad(ys.sum(), xs, create_graph=True)


class Odd(nn.Linear):
    """A layer that does something else with its weights."""

    def forward(self, input):
        return super().forward(input).abs()


def why(net, xs, **how):
    with use(**how) if how else use("auto"):
        choice = snn4.explain(net, xs).choices[0]
    assert choice.implementation.endswith("step by step")
    return dict(choice.refused)[f"with {type(net).__name__}"]


def test_who_runs_step_by_step_says_why():
    xs = torch.rand(3, 2, 4)
    plain = layer(LIF(), 4, torch.float32)
    assert "use('reference')" in why(plain, xs, implementation="reference")
    assert "use('numba')" in why(plain, xs, implementation="numba")
    assert "bfloat16" in why(layer(LIF(), 4, torch.bfloat16), xs.bfloat16())
    assert "Odd, not a linear layer" in why(nn.Recurrent(LIF(), Odd(4, 4)), xs)
    deep = torch.nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    assert "Sequential, not a linear layer" in why(nn.Recurrent(LIF(), deep), xs)
    body = torch.nn.Sequential(nn.Linear(4, 4), LIF())
    assert "the body is Sequential" in why(nn.Loop(body, nn.Linear(4, 4)), xs)
    assert "are not added" in why(nn.Loop(LIF(), nn.Linear(4, 4), torch.mul), xs)
    assert "BPTT(truncate=2)" in why(use_route(layer(LIF(), 4, torch.float32), snn4.BPTT(truncate=2)), xs)
    assert "SLTT" in why(use_route(layer(LIF(), 4, torch.float32), snn4.SLTT()), xs)
    assert "shape" in why(layer(LIF(), 4, torch.float32), torch.rand(3, 2, 5, 4))
    hooked = layer(LIF(), 4, torch.float32)
    seen = []
    hooked.feedback.register_forward_hook(lambda *_: seen.append(1))
    assert "Linear has a hook" in why(hooked, xs)
    assert len(seen) == 3


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_go_where_the_loop_takes_them(value):
    net, xs = layer(LIF(), 4), draw(6, 2, 4)
    with torch.no_grad():
        net.feedback.weight[1, 2] = value
    found = []
    for name in ("auto", "reference"):
        with use(name):
            ys, after = run(net, xs)
            found.append((ys.detach(), after["body"].v.detach()))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, equal_nan=True)
    assert found[0][1][:, 1].isnan().all()


@pytest.mark.parametrize("way", ["kernel", "loop", "torch.compile"])
@pytest.mark.parametrize("kind", ["LIF", "Loop", "side by side", "readout"])
def test_autocast_changes_nothing_but_the_dtype_of_inputs_and_spikes(kind, way):
    """State and feedback are those of float32, in every implementation."""
    neurons = lsnn(3, 2, regular_neurons=20, adaptive_neurons=16).neurons.body if kind == "side by side" else LIF()
    neurons = LI() if kind == "readout" else neurons
    make = nn.Loop if kind == "Loop" else nn.Recurrent
    net = make(neurons, nn.Linear(36, 36))
    xs = (draw(9, 3, 36) + 0.5).bfloat16()
    weights = draw(9, 3, 36, seed=5).bfloat16().float()

    def results(function, xs, autocast):
        leaf = xs.detach().requires_grad_()
        with use("reference" if way == "loop" else "auto"), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            first, state = run(function, leaf[:4])
            second, state = run(function, leaf[4:], state)
            loss = (torch.cat([first, second]).float() * weights).sum()
        grads = torch.autograd.grad(loss, [leaf, *net.parameters()])
        return torch.cat([first, second]).detach(), state, grads

    wanted, state, grads = results(net, xs.float(), False)
    function = net
    if way == "torch.compile":
        torch.compiler.reset()
        function = torch.compile(net, fullgraph=True, backend="aot_eager", dynamic=False)
    with warnings.catch_warnings():
        # what torch's tracer warns of while it looks around
        warnings.simplefilter("ignore")
        ys, now, found = results(function, xs, True)
    if way == "kernel":
        with torch.autocast("cpu", torch.bfloat16):
            assert {c.implementation for c in snn4.explain(net, xs).choices} == {f"c++, with {make.__name__}"}
    assert ys.dtype == (torch.float32 if kind == "readout" else torch.bfloat16)
    assert 0.02 < ys.float().count_nonzero() / ys.numel()
    assert torch.equal(ys.float(), wanted)
    for key, entry in state.items():
        assert all(
            one.dtype == torch.float32 and torch.equal(one, other) for one, other in zip(now[key], entry, strict=True)
        )
    assert torch.equal(found[0], grads[0].bfloat16())
    assert all(relative(one, other) < 1e-6 for one, other in zip(found[1:], grads[1:], strict=True))
    torch.compiler.reset()


def test_transforms_see_the_loop():
    net, xs = layer(LIF(), 4, torch.float32), torch.rand(3, 2, 4)
    one = torch.func.vmap(net, in_dims=1, out_dims=1)(xs[:, :, None])
    assert torch.equal(one[:, :, 0], net(xs))


def test_steps_that_do_not_lie_one_behind_the_other():
    net, xs = layer(LIF(), 6), draw(3, 5, 6).transpose(0, 1)
    assert torch.equal(net(xs), net(xs.contiguous()))
    wide = draw(5, 3, 8)[..., :6]
    assert torch.equal(net(wide), net(wide.contiguous()))


def test_inside_torch_compile_it_is_one_operation():
    """Several kinds, learned tensors, and a state that is carried; forward and backward."""
    torch.compiler.reset()
    layers = [nn.Linear(4, 32), lsnn(4, 3, regular_neurons=19, adaptive_neurons=13).neurons]
    net = torch.nn.Sequential(*layers, layer(ALIF(Learned(20.0, (32,)), 40.0), 32)).double()
    xs, codes = draw(9, 3, 4), []

    def look(graph, _inputs):
        codes.append(graph.code)
        return graph.forward

    def results(function):
        leaf = xs.clone().requires_grad_()
        ys, state = run(function, leaf[:4])
        ys, state = run(function, leaf, state)
        loss = ys.square().sum() + sum(field.square().sum() for entry in state.values() for field in entry)
        return ys.detach(), *torch.autograd.grad(loss, [leaf, *net.parameters()])

    with warnings.catch_warnings():
        # what torch's tracer warns of while it looks around
        warnings.simplefilter("ignore")
        got = results(torch.compile(net, fullgraph=True, backend=look, dynamic=False))
    for one, other in zip(got, results(net), strict=True):
        assert relative(one, other) < 1e-12
    assert all(code.count("ops.snn4.recurrent(") == 2 for code in codes)
    assert codes
    torch.compiler.reset()
