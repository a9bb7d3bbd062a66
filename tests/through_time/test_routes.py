"""Routes through time, and the registry of kernels."""

from __future__ import annotations

import copy

import pytest
import torch

from snn4 import BPTT, DSR, OTTT, SLTT, OptionError, cite, explain, nn, run, use_route
from snn4.models import lsnn
from snn4.neurons import LIF, CubaLIF
from snn4.through_time import Neuron, reference_loop, registry
from snn4.through_time.registry import choose, register, registered, unregister

T, B, N = 9, 2, 3


def inputs():
    return torch.randn(T, B, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5


def by_hand(neuron, x, every):
    """The unrolled neuron, with the state cut every so many steps."""
    state, ys = neuron.initial(x[0]), []
    for t in range(len(x)):
        if t and t % every == 0:
            state = type(state)(*(field.detach() for field in state))
        y, state = neuron.step(x[t], state)
        ys.append(y)
    return torch.stack(ys)


@pytest.mark.parametrize("every", [1, 2, 3, 5, T, 100])
@pytest.mark.parametrize("make", [LIF, lambda: CubaLIF(3.0, 2.0)])
def test_truncated_back_propagation_is_the_graph_cut_by_hand(make, every):
    neuron = make()
    one, other = inputs().requires_grad_(), inputs().requires_grad_()
    weights = torch.linspace(-1, 2, T * B * N, dtype=torch.float64).view(T, B, N)
    ys, expected = use_route(copy.deepcopy(neuron), BPTT(truncate=every))(one), by_hand(neuron, other, every)
    assert torch.equal(ys, expected)
    (ys * weights).sum().backward()
    (expected * weights).sum().backward()
    assert torch.allclose(one.grad, other.grad, rtol=1e-12, atol=1e-14)


def test_truncation_changes_the_gradient_and_not_the_spikes():
    x = inputs().requires_grad_()
    net = torch.nn.Sequential(LIF())
    whole, _ = run(net, x)
    (full,) = torch.autograd.grad(whole.sum(), x)
    cut, _ = run(use_route(net, BPTT(truncate=1)), x)
    (spatial,) = torch.autograd.grad(cut.sum(), x)
    assert torch.equal(whole, cut)
    assert not torch.allclose(full, spatial)
    # cut at every step, a step's input gets what its own spike gives: psi of the membrane before its reset
    seen = []
    hook = net[0].surrogate.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    net(x)
    hook.remove()
    assert torch.allclose(spatial, 1 / (1 + (torch.pi * torch.stack(seen)) ** 2))


def test_the_state_keeps_its_graph_at_the_border_of_a_call():
    x = inputs().requires_grad_()
    net = use_route(torch.nn.Sequential(nn.LI(tau=2.0)), BPTT(truncate=2))
    _, state = run(net, x[:2])
    y, _ = run(net, x[2:4], state)
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert grad[:2].any()


@pytest.mark.parametrize("truncate", [0, -1])
def test_a_truncation_below_one_is_refused(truncate):
    with pytest.raises(OptionError, match=f"truncate={truncate}"):
        BPTT(truncate=truncate)


def test_a_route_is_a_setting_of_the_neurons():
    net = torch.nn.Sequential(nn.Linear(2, 2), nn.LIF(), nn.Recurrent(nn.LIF(), nn.Linear(2, 2)))
    assert use_route(net, BPTT(truncate=3)) is net
    assert {m.route for m in net.modules() if isinstance(m, Neuron)} == {BPTT(truncate=3)}
    assert copy.deepcopy(net)[1].route == BPTT(truncate=3)
    assert net.state_dict().keys() == use_route(net, BPTT()).state_dict().keys()
    assert "werbos1990bptt" in cite(net)
    with pytest.raises(OptionError, match=r"Add nn.LIF\(\) to it"):
        use_route(nn.Linear(2, 2), BPTT())


class Kernel:
    """A kernel that takes what it likes, and counts its calls."""

    def __init__(self, name="fake", refuses=None):
        self.name, self.why, self.calls = name, refuses, 0

    def refuses(self, neuron, xs, state):
        return self.why

    def __call__(self, neuron, xs, state):
        self.calls += 1
        return reference_loop(neuron, xs, state)


@pytest.fixture
def kernels():
    added = []

    def add(kernel):
        register(kernel)
        added.append(kernel)
        return kernel

    yield add
    for kernel in added:
        unregister(kernel)


def test_a_kernel_that_takes_the_call_runs_it(kernels):
    neuron, x = LIF(), inputs()
    expected = neuron(x)
    kernel = kernels(Kernel())
    assert torch.equal(neuron(x), expected)
    assert kernel.calls == 1
    y1, state = run(neuron, x[:4])
    assert torch.equal(torch.cat([y1, run(neuron, x[4:], state)[0]]), expected)
    assert kernel.calls == 3


def test_the_newest_is_asked_first(kernels):
    before = registered()
    old, new = kernels(Kernel("old")), kernels(Kernel("new"))
    assert registered() == (new, old, *before)
    LIF()(inputs())
    assert (new.calls, old.calls) == (1, 0)


def test_refusals_are_kept_with_their_reasons(kernels):
    taking = kernels(Kernel("taking"))
    kernels(Kernel("refusing", "no compiler is at hand"))
    neuron, x = LIF(), inputs()
    kernel, refused = choose(neuron, x, neuron.initial(x[0]))
    assert kernel is taking
    assert refused == [("refusing", "no compiler is at hand")]


def test_a_route_that_cuts_takes_no_kernel(kernels):
    kernel = kernels(Kernel())
    use_route(LIF(), BPTT(truncate=2))(inputs())
    assert kernel.calls == 0


def test_an_unregistered_kernel_is_gone():
    kernel = Kernel()
    register(kernel)
    unregister(kernel)
    assert kernel not in registry.registered()
    LIF()(inputs())
    assert kernel.calls == 0


class OwnSequence(Neuron):
    State = LIF.State

    def step(self, x, state):
        return x, state

    def sequence(self, xs, state):
        return xs, state


def test_explain_tells_what_runs_and_why(kernels):
    net = torch.nn.Sequential(nn.Linear(3, 3), nn.LIF(), OwnSequence(), nn.Recurrent(nn.IF(), nn.Linear(3, 3)))
    kernels(Kernel("fused", "it is the wrong kind of day"))
    x = torch.randn(4, 2, 3)
    explanation = explain(net, x)
    assert [(c.path, c.neuron, c.implementation) for c in explanation.choices] == [
        ("1", "LIF", "reference loop"),
        ("2", "OwnSequence", "its own sequence()"),
        ("3.body", "IF", "reference loop, step by step"),
    ]
    assert explanation.choices[0].refused[0] == ("fused", "it is the wrong kind of day")
    assert "fused: it is the wrong kind of day" in str(explanation)
    kernels(Kernel("taking"))
    assert explain(net, x).choices[0].implementation == "taking"
    net[2] = nn.Identity()
    use_route(net, BPTT(truncate=2))
    assert explain(net, x).choices[0].implementation == "reference loop"
    assert "BPTT(truncate=2)" in str(explain(net, x))


def test_explain_leaves_nothing_behind():
    net, x = torch.nn.Sequential(nn.LIF()), torch.randn(4, 2, 3)
    explain(net, x)
    assert not net[0]._forward_pre_hooks
    with pytest.raises(RuntimeError):
        explain(torch.nn.Sequential(nn.Linear(5, 2), nn.LIF()), x)
    with pytest.raises(OptionError, match="has no neuron"):
        explain(nn.Linear(3, 3), x)


@pytest.mark.parametrize("route", [SLTT(), OTTT(decay=0.5), DSR()], ids=lambda route: type(route).__name__)
def test_a_neuron_that_sees_the_whole_sequence_is_refused(route):
    net = torch.nn.Sequential(nn.Linear(3, 3), nn.LIF(), nn.PSN(4))
    with pytest.raises(OptionError, match=r"2 \(PSN\)"):
        use_route(net, route)
    assert net[1].route == BPTT()


def looped(name):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        back = nn.Linear(N, N)
        with torch.no_grad():
            back.weight.mul_(2)
        body = torch.nn.Sequential(nn.Linear(N, N), LIF(), nn.Linear(N, N), CubaLIF(3.0, 2.0))
        nets = {
            "Recurrent": nn.Recurrent(LIF(), back),
            "Loop": nn.Loop(body, back),
            "Loop without feedback": nn.Loop(body),
            "Loop in a Loop": nn.Loop(nn.Recurrent(LIF(), back), nn.Linear(N, N)),
            "side by side": lsnn(N, N, regular_neurons=4, adaptive_neurons=3),
        }
        return nets[name].double()


@pytest.mark.parametrize("every", [1, 2, 4, T])
@pytest.mark.parametrize("name", ["Recurrent", "Loop", "Loop without feedback", "Loop in a Loop", "side by side"])
def test_truncation_in_a_loop_is_that_of_runs_with_a_state_without_a_graph(name, every):
    """Pieces of `every` steps, each with its own graph; the losses add up."""
    x, found = inputs() + 0.5, []
    for net in (looped(name), looped(name)):
        leaf = x.clone().requires_grad_()
        if not found:
            ys = use_route(net, BPTT(truncate=every))(leaf)
        else:
            pieces, state = [], None
            for piece in leaf.split(every):
                y, state = run(net, piece, None if state is None else state.detach())
                pieces.append(y)
            ys = torch.cat(pieces)
        weights = torch.linspace(-1, 2, ys.numel(), dtype=torch.float64).view(ys.shape)
        grads = torch.autograd.grad((ys * weights).sum(), [leaf, *net.parameters()], allow_unused=True)
        found.append((ys.detach(), [torch.zeros(()) if g is None else g for g in grads]))
    (cut, grads), (expected, wanted) = found
    assert torch.equal(cut, expected)
    for mine, theirs in zip(grads, wanted, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-10, atol=1e-12)
    whole = torch.autograd.grad((looped(name)(leaf) * weights).sum(), leaf)[0]
    assert torch.allclose(grads[0], whole) == (every == T)


@pytest.mark.parametrize("member", [lambda: nn.PSN(T), lambda: nn.MaskedPSN(T, 2)])
def test_truncation_of_what_sees_the_whole_sequence_is_refused_by_name(member):
    net = torch.nn.Sequential(nn.LIF(), member())
    with pytest.raises(OptionError, match=r"1 \((Masked)?PSN\): its T x T weights"):
        use_route(net, BPTT(truncate=2))
    assert net[0].route == BPTT()


@pytest.mark.parametrize("truncate", [2.5, True, float("nan"), "3"])
def test_a_truncation_that_is_no_number_of_steps_is_refused(truncate):
    with pytest.raises(OptionError, match="truncate="):
        BPTT(truncate=truncate)


def test_whatever_a_route_raises_the_old_one_stays():
    net = use_route(torch.nn.Sequential(nn.Linear(N, N), nn.LIF(), nn.Linear(N, N)), OTTT())

    class Broken(SLTT):
        def prepare(self, net):
            raise ZeroDivisionError

    rules = [net[0].rule, net[2].rule]
    with pytest.raises(ZeroDivisionError):
        use_route(net, Broken())
    assert [net[0].rule, net[2].rule] == rules
    assert net[1].route == OTTT()
