"""SLTT and OTTT, layer by layer: hand-worked numbers, and where they are back-propagation through time."""

from __future__ import annotations

import pytest
import torch

from snn4 import BPTT, OTTT, SLTT, EProp, GraphError, OptionError, StateError, explain, nn, run, use_route
from snn4.core.states import state
from snn4.models.lsnn import NoSelf
from snn4.surrogates import Triangle
from snn4.through_time import Stateful
from snn4.training import online


def one_neuron(route, *, detach=True):
    """w = 0.6, three inputs of 1, decay 0.5, threshold 1, soft reset, a triangle of half-width 1."""
    neuron = nn.LIF(tau=2.0, surrogate=Triangle(), detach_reset=detach)
    net = use_route(torch.nn.Sequential(nn.Linear(1, 1, bias=False), neuron).double(), route)
    torch.nn.init.constant_(net[0].weight, 0.6)
    return net


@pytest.mark.parametrize(
    ("route", "detach", "expected"),
    [
        # u = .6, .9, 1.05, psi = .6, .9, .95, traces 1, 1.5, 1.75
        (SLTT(), True, 0.6 + 0.9 + 0.95),
        (OTTT(first="trace"), True, 0.6 + 0.9 * 1.5 + 0.95 * 1.75),
        (OTTT(first="input"), True, 2.45),
        (BPTT(), True, 3.6125),
        (BPTT(), False, 2.687),
    ],
)
def test_one_neuron_worked_out_by_hand(route, detach, expected):
    net = one_neuron(route, detach=detach)
    ys = net(torch.ones(3, 1, 1, dtype=torch.float64))
    assert ys.flatten().tolist() == [0, 0, 1]
    ys.sum().backward()
    assert net[0].weight.grad.item() == pytest.approx(expected, abs=1e-12)


def hidden(*, detach=True, tau=2.0, reset=None, layer=None, recurrent=False):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        neuron = nn.LIF(tau=tau, detach_reset=detach, v_reset=reset)
        middle = nn.Recurrent(neuron, nn.Linear(6, 6)) if recurrent else neuron
        return torch.nn.Sequential(layer or nn.Linear(4, 6), middle, nn.Linear(6, 3)).double()


def gradients(net, steps=7, shape=(4,)):
    draw = torch.Generator().manual_seed(1)
    xs = torch.randn(steps, 3, *shape, generator=draw, dtype=torch.float64) * 2
    ys = net(xs)
    weights = torch.randn(ys.shape, generator=draw, dtype=torch.float64)
    # a loss of each step, not linear in the outputs
    return ys, torch.autograd.grad((ys.square() * weights).sum(), list(net.parameters()))


def same(ones, others):
    return all(torch.allclose(a, b, rtol=1e-10, atol=1e-12) for a, b in zip(ones, others, strict=True))


@pytest.mark.parametrize("route", [SLTT(), OTTT(), OTTT(first="trace", readout="input")])
@pytest.mark.parametrize(("tau", "steps"), [(2.0, 1), (1.0, 7)])
def test_without_a_past_every_route_is_back_propagation(route, tau, steps):
    ys, expected = gradients(hidden(tau=tau), steps)
    same_ys, found = gradients(use_route(hidden(tau=tau), route), steps)
    assert torch.equal(ys, same_ys)
    assert same(found, expected)


def test_ottt_is_back_propagation_with_one_hidden_layer_and_a_trace_on_the_input():
    exact = OTTT(first="trace", readout="input")
    _, expected = gradients(hidden())
    _, found = gradients(use_route(hidden(), exact))
    assert same(found[:1], expected[:1])
    assert same(found[2:], expected[2:])
    # the bias sees the present step only, as the paper has it
    assert not torch.allclose(found[1], expected[1])
    assert not same(gradients(use_route(hidden(), OTTT()))[1], expected)
    # a hard reset forgets, which the trace does not know
    _, expected = gradients(hidden(reset=0.0))
    _, found = gradients(use_route(hidden(reset=0.0), exact))
    assert not torch.allclose(found[0], expected[0])


def test_the_same_for_a_convolution():
    def net(route):
        layer = torch.nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, stride=2, bias=False), nn.LIF(detach_reset=True))
        torch.nn.init.constant_(layer[0].weight[:, :, 1], 0.4)
        return use_route(layer.double(), route)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        one, other = net(BPTT()), net(OTTT(first="trace"))
    other.load_state_dict(one.state_dict())
    ys, expected = gradients(one, shape=(2, 5, 5))
    same_ys, found = gradients(other, shape=(2, 5, 5))
    assert torch.equal(ys, same_ys)
    assert ys.any()
    assert same(found, expected)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(4, 3),
        lambda: nn.Conv1d(2, 4, 3, stride=2, groups=2),
        lambda: nn.Conv2d(2, 3, 3, padding="same", padding_mode="circular"),
        lambda: nn.Conv2d(2, 3, (3, 2), padding=(0, 1), dilation=2),
        lambda: nn.Conv3d(2, 3, 3, padding="same"),
        lambda: nn.ConvTranspose2d(2, 3, 3, stride=2, output_padding=1, bias=False),
    ],
)
def test_a_synapse_gives_each_weight_the_gradient_of_its_trace(make):
    layer = make().double()
    shape = (4,) if isinstance(layer, nn.Linear) else (2, *(6,) * len(layer.kernel_size))
    draw = torch.Generator().manual_seed(0)
    xs, trace = (torch.randn(4, 2, *shape, generator=draw, dtype=torch.float64) for _ in range(2))
    xs.requires_grad_()
    parameters = list(layer.parameters())
    plain = layer(xs)
    delta = torch.randn(plain.shape, generator=draw, dtype=torch.float64)
    grad_x, _, *grad_bias = torch.autograd.grad(plain, [xs, *parameters], delta)
    grad_weight = torch.autograd.grad(layer(trace), layer.weight, delta)[0]
    ys = layer.apply_weight(xs, trace, weight=layer.weight, bias=layer.bias)
    assert torch.equal(ys, plain)
    assert same(torch.autograd.grad(ys, [xs, *parameters], delta), [grad_x, grad_weight, *grad_bias])


@pytest.mark.parametrize("route", [SLTT(), OTTT(first="trace")])
@pytest.mark.parametrize("recurrent", [False, True])
def test_cut_into_pieces_it_is_the_same(route, recurrent):
    xs = torch.randn(7, 3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 2
    one, other = (use_route(hidden(recurrent=recurrent), route) for _ in range(2))
    ys = one(xs)
    ys.square().sum().backward()
    first, carried = run(other, xs[:3])
    assert all(not t.requires_grad for entry in carried.values() for t in entry) or recurrent
    second, _ = run(other, xs[3:], carried.detach())
    (first.square().sum() + second.square().sum()).backward()
    assert torch.equal(torch.cat([first, second]), ys)
    assert same([p.grad for p in other.parameters()], [p.grad for p in one.parameters()])


def test_a_trace_of_another_batch_is_refused():
    net = use_route(hidden(), OTTT(first="trace"))
    _, carried = run(net, torch.ones(2, 3, 4, dtype=torch.float64))
    with pytest.raises(StateError, match=r"'0' has trace of shape \(3, 4\)"):
        run(net, torch.ones(2, 5, 4, dtype=torch.float64), carried)


def test_what_a_loop_feeds_back_carries_no_gradient_to_an_earlier_step():
    net = use_route(torch.nn.Sequential(nn.Recurrent(nn.LIF(), nn.Linear(2, 2))).double(), SLTT())
    xs = torch.ones(5, 1, 2, dtype=torch.float64, requires_grad=True)
    (early,) = torch.autograd.grad(net(xs)[4].sum(), xs)
    assert not early[:4].any()
    assert early[4].any()
    (early,) = torch.autograd.grad(use_route(net, BPTT())(xs)[4].sum(), xs)
    assert early[:4].any()


class Delay(Stateful):
    State = state("x")
    crosses = "what came in is sent on one step later"

    def initial(self, x):
        return self.State(torch.zeros_like(x))

    def sequence(self, xs, before):
        return torch.cat([before.x[None], xs[:-1]]), self.State(xs[-1])


class Named(BPTT):
    """Another route than the one that neurons have from the start."""


@pytest.mark.parametrize("route", [SLTT(), OTTT(), BPTT(truncate=3)])
def test_a_delay_is_refused_by_name_and_the_old_route_stays(route):
    net = torch.nn.Sequential(nn.Linear(2, 2), Delay(), nn.LIF())
    use_route(net, Named())
    with pytest.raises(OptionError, match=r"1 \(Delay\): what came in is sent on one step later"):
        use_route(net, route)
    assert isinstance(net[2].route, Named)
    assert net[0].rule is None


def test_ottt_wants_one_decay_and_layers_that_keep_traces():
    mixed = torch.nn.Sequential(nn.Linear(2, 2), nn.LIF(2.0), nn.Linear(2, 2), nn.LIF(4.0))
    with pytest.raises(OptionError, match=r"1: 0\.5, 3: 0\.75"):
        use_route(mixed, OTTT())
    assert use_route(mixed, OTTT(decay=0.5))[2].rule.decay == 0.5
    with pytest.raises(OptionError, match="no single fixed one"):
        use_route(torch.nn.Sequential(nn.Linear(2, 2), nn.plif()), OTTT())
    with pytest.raises(OptionError, match=r"0\.module \(Linear\)"):
        use_route(torch.nn.Sequential(nn.Fold(torch.nn.Linear(2, 2)), nn.LIF()), OTTT())
    assert use_route(mixed, BPTT())[2].rule is None


def test_the_two_conventions_are_switches():
    def rules(**options):
        net = torch.nn.Sequential(nn.Linear(2, 2), nn.LIF(), nn.Linear(2, 2), nn.LIF(), nn.Linear(2, 2), nn.LI())
        use_route(net, OTTT(**options))
        return [net[n].rule is not None for n in (0, 2, 4)]

    assert rules() == [False, True, True]
    assert rules(first="trace") == [True, True, True]
    assert rules(readout="input") == [False, True, False]


@pytest.mark.parametrize("wrong", [{"decay": 1.5}, {"first": "both"}, {"readout": None}])
def test_wrong_options_of_ottt(wrong):
    with pytest.raises(OptionError, match="OTTT got"):
        OTTT(**wrong)


def test_wrong_options_of_sltt():
    for k in (0, -1, 1.5, True):
        with pytest.raises(OptionError, match="SLTT got k="):
            SLTT(k=k)
    net = use_route(hidden(), SLTT(k=2))
    with pytest.raises(GraphError, match=r"Train with FitConfig\(online='batch'\)"):
        net(torch.ones(3, 1, 4, dtype=torch.float64))
    with torch.no_grad():
        assert torch.equal(net(torch.ones(3, 1, 4, dtype=torch.float64)), hidden()(torch.ones(3, 1, 4).double()))


def test_explain_tells_the_route():
    text = str(explain(use_route(hidden(), SLTT()), torch.ones(2, 1, 4).double()))
    assert "SLTT(k=None)" in text


def test_a_decay_that_is_learned_is_not_one_fixed_number():
    net = torch.nn.Sequential(nn.Linear(3, 3), nn.DALIF(), nn.Linear(3, 2))
    with pytest.raises(OptionError, match="1: no single fixed one"):
        use_route(net, OTTT())
    with torch.no_grad(), pytest.raises(OptionError, match="no single fixed one"):
        use_route(net, OTTT())
    assert use_route(net, OTTT(decay=0.5))[2].rule.decay == 0.5


def test_what_feeds_a_loop_back_is_no_readout():
    loop = nn.Recurrent(nn.LIF(), nn.Linear(3, 3))
    net = torch.nn.Sequential(nn.Linear(3, 3), loop, nn.Linear(3, 2))
    use_route(net, OTTT(first="trace", readout="input"))
    assert [net[0].rule is None, loop.feedback.rule is None, net[2].rule is None] == [False, False, True]


@pytest.mark.parametrize(
    "route", [BPTT(), SLTT(), OTTT(first="trace"), EProp()], ids=lambda route: type(route).__name__
)
def test_masked_weights_learn_as_the_others_do(route):
    """Without a diagonal: as a full matrix whose diagonal is zero, but for the diagonal itself, which gets nothing."""
    found = []
    for back in (NoSelf(6), nn.Linear(6, 6, bias=False)):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = torch.nn.Sequential(nn.Linear(4, 6), nn.Recurrent(nn.LIF(), back), nn.Linear(6, 2)).double()
            with torch.no_grad():
                back.weight.normal_().fill_diagonal_(0)
        use_route(net, route)
        xs = torch.randn(7, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2
        if route == BPTT():
            (net(xs).sum() / 7).backward()
        else:
            online(net, xs, lambda y: y.sum())
        found.append({name: p.grad for name, p in net.named_parameters()})
    masked, full = found
    assert masked["1.feedback.weight"].diagonal().eq(0).all()
    full["1.feedback.weight"].fill_diagonal_(0)
    assert full["1.feedback.weight"].any()
    assert all(torch.allclose(masked[name], full[name], rtol=1e-12, atol=1e-14) for name in full)
