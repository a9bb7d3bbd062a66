"""e-prop: equal to back-propagation through time where nothing goes through other neurons; the published recursion."""

from __future__ import annotations

import pytest
import torch

from snn4 import EProp, GraphError, Learned, OptionError, StateError, checkpoint, nn, use_route
from snn4.models import lsnn
from snn4.surrogates import MSG, Triangle
from snn4.training import online

D = torch.float64


def make(neuron, readout=None, *, recurrent=False, bias=True):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        middle = nn.Recurrent(neuron, nn.Linear(5, 5, bias=False)) if recurrent else neuron
        layers = [nn.Linear(3, 5, bias=bias), middle, nn.Linear(5, 2)]
        return torch.nn.Sequential(*layers, *([] if readout is None else [readout])).double()


def sequence(steps=9):
    draw = torch.Generator().manual_seed(1)
    return (
        torch.randn(steps, 4, 3, generator=draw, dtype=D) * 2,
        torch.randn(steps, 4, 2, generator=draw, dtype=D),
    )


def by_eprop(net, xs, targets, route=None):
    use_route(net, route or EProp())
    count = iter(range(len(xs)))
    steps = online(net, xs, lambda y: (y[0] - targets[next(count)]).square().sum())
    return steps.outputs, {name: p.grad for name, p in net.named_parameters()}


def by_bptt(net, xs, targets, forward=None):
    ys = (forward or net)(xs)
    ((ys - targets).square().sum() / len(xs)).backward()
    return ys.detach(), {name: p.grad for name, p in net.named_parameters()}


def close(one, other):
    return {name: torch.allclose(one[name], other[name], rtol=1e-9, atol=1e-12) for name in other}


NEURONS = {
    "LIF": lambda: nn.LIF(tau=3.0),
    "LIF hard, detached": lambda: nn.LIF(tau=3.0, v_reset=0.0, detach_reset=True),
    "LIF decay input": lambda: nn.LIF(tau=2.0, v_threshold=0.5, decay_input=True),
    "ALIF": lambda: nn.ALIF(tau=4.0, tau_a=10.0, v_threshold=0.2),
    "ALIF detached": lambda: nn.ALIF(tau=4.0, tau_a=10.0, v_threshold=0.2, detach_reset=True),
    "CubaLIF": lambda: nn.CubaLIF(3.0, 2.0),
    # their states do not rest at zero
    "RPLIF": lambda: nn.RPLIF(tau=3.0, v_threshold=0.2),
    "Izhikevich": lambda: nn.Izhikevich(v_threshold=-64.0),
}


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("readout", [None, "leaky", "decay input"])
def test_without_recurrence_it_is_back_propagation_through_time(name, readout):
    def net():
        last = None if readout is None else nn.LI(tau=4.0, decay_input=readout == "decay input")
        return make(NEURONS[name](), last)

    xs, targets = sequence()
    ys, found = by_eprop(net(), xs, targets)
    expected_ys, expected = by_bptt(net(), xs, targets)
    assert torch.allclose(ys, expected_ys, rtol=1e-12, atol=1e-14)
    assert all(close(found, expected).values()), close(found, expected)
    assert found["0.weight"].any()


@pytest.mark.parametrize("name", ["LIF", "ALIF"])
def test_with_recurrence_only_the_way_through_other_neurons_is_left_out(name):
    """The reference: the unrolled network, in which a spike that comes back carries no gradient."""
    xs, targets = sequence()
    net = make(NEURONS[name](), nn.LI(tau=4.0), recurrent=True)

    def cut(xs):
        first, loop, last, readout = net
        state, spikes, ys = loop.body.initial(first(xs)[0]), torch.zeros(4, 5, dtype=D), []
        v = torch.zeros(4, 2, dtype=D)
        for x in first(xs):
            spikes, state = loop.body.step(x + loop.feedback.weight.matmul(spikes.detach().T).T, state)
            v = readout.beta * v + last(spikes[None, None])[0, 0]
            ys.append(v)
        return torch.stack(ys)

    expected_ys, expected = by_bptt(net, xs, targets, cut)
    expected = {key: value.clone() for key, value in expected.items()}
    net.zero_grad()
    ys, found = by_eprop(net, xs, targets)
    assert torch.allclose(ys, expected_ys, rtol=1e-12, atol=1e-14)
    assert all(close(found, expected).values()), close(found, expected)
    assert found["1.feedback.weight"].any()
    # and it is something that is left out
    net.zero_grad()
    from snn4 import BPTT

    _, whole = by_bptt(use_route(net, BPTT()), xs, targets)
    assert not close(found, whole)["1.feedback.weight"]


def test_the_published_recursion_of_an_adapting_neuron():
    """eps_v = alpha eps_v + (1 - alpha) z;   eps_a = psi (1 - rho) (...) + rho eps_a, written out for one synapse."""
    alpha, rho = torch.exp(torch.tensor([-1 / 4.0, -1 / 10.0], dtype=D)).tolist()
    neuron = nn.ALIF(4.0, 10.0, 0.3, beta=1.5, surrogate=Triangle(1.0), detach_reset=True)
    net = torch.nn.Sequential(nn.Linear(1, 1, bias=False), neuron).double()
    torch.nn.init.constant_(net[0].weight, 0.9)
    xs = torch.tensor([1.0, 1.0, 0.0, 2.0, 1.0, 1.0], dtype=D)
    v = a = s = eps_v = eps_a = psi = total = 0.0
    for x in xs.tolist():
        # the adaptation hears of the last spike, and so of what the synapse did to it
        eps_a = rho * eps_a + (1 - rho) * psi * (eps_v - 1.5 * eps_a)
        a = rho * a + (1 - rho) * s
        theta = 0.3 + 1.5 * a
        v = alpha * v + (1 - alpha) * 0.9 * x - s * theta
        eps_v = alpha * eps_v + (1 - alpha) * x - s * 1.5 * eps_a
        psi = max(0.0, 1 - abs(v - theta))
        s = float(v >= theta)
        total += psi * (eps_v - 1.5 * eps_a)
    use_route(net, EProp())
    steps = online(net, xs.view(-1, 1, 1), lambda y: y.sum() * len(xs))
    assert steps.outputs.sum() >= 2
    assert net[0].weight.grad.item() == pytest.approx(total, rel=1e-12)


def test_random_feedback_replaces_the_transposed_weights_and_nothing_else():
    xs, targets = sequence()
    route = EProp(feedback="random", generator=torch.Generator().manual_seed(5))
    net = make(nn.LIF(tau=3.0))
    ys, found = by_eprop(net, xs, targets, route)
    expected_ys, expected = by_eprop(make(nn.LIF(tau=3.0)), xs, targets)
    assert torch.equal(ys, expected_ys)
    assert torch.allclose(found["2.weight"], expected["2.weight"])
    assert not torch.allclose(found["0.weight"], expected["0.weight"])
    # with the transposed weights put in its place it is symmetric again
    other = use_route(make(nn.LIF(tau=3.0)), route)
    other[2].rule.back.copy_(other[2].weight.detach())
    count = iter(range(len(xs)))
    online(other, xs, lambda y: (y[0] - targets[next(count)]).square().sum())
    assert torch.allclose(other[0].weight.grad, expected["0.weight"], rtol=1e-5)
    again = use_route(make(nn.LIF(tau=3.0)), route)
    assert torch.equal(again[2].rule.back, net[2].rule.back)
    assert EProp("random", generator=torch.Generator().manual_seed(5)) == route


def test_a_stream_goes_on_with_its_eligibility():
    xs, targets = sequence()
    one, other = (use_route(make(nn.ALIF(4.0, 10.0, 0.2), nn.LI(), recurrent=True), EProp()) for _ in range(2))
    count = iter(range(9))
    online(one, xs, lambda y: (y[0] - targets[next(count)]).square().sum())
    count = iter(range(9))
    first = online(other, xs[:4], lambda y: (y[0] - targets[next(count)]).square().sum() * (4 / 9))
    online(other, xs[4:], lambda y: (y[0] - targets[next(count)]).square().sum() * (5 / 9), state=first.state)
    for mine, theirs in zip(other.parameters(), one.parameters(), strict=True):
        assert torch.allclose(mine.grad, theirs.grad, rtol=1e-9, atol=1e-12)
    with pytest.raises(StateError):
        online(other, xs[4:, :2], lambda y: y.sum(), state=first.state)


@pytest.mark.parametrize(
    ("layer", "neuron", "says"),
    [
        (lambda: nn.Linear(3, 3), nn.plif, r"1 \(LIF learns quantities of its own\)"),
        (lambda: nn.Linear(3, 3), lambda: nn.LIF(v_threshold=Learned(1.0)), "learns quantities"),
        (lambda: nn.Linear(3, 3), lambda: nn.PSN(steps=4), r"1 \(PSN\): its T x T weights"),
        (lambda: nn.ConvTranspose1d(3, 3, 3), nn.LIF, r"0 \(ConvTranspose1d, neither Linear nor a convolution\)"),
    ],
)
def test_what_has_no_eligibility_is_refused_by_name(layer, neuron, says):
    with pytest.raises(OptionError, match=says):
        use_route(torch.nn.Sequential(layer(), neuron()), EProp())


@pytest.mark.parametrize("norm", [lambda: nn.LayerNorm(3), lambda: nn.BatchNorm1d(3, affine=False)])
def test_norms_between_weights_and_a_neuron_are_refused_by_name(norm):
    net = torch.nn.Sequential(nn.Linear(3, 3), norm(), nn.LIF())
    with pytest.raises(OptionError, match=r"1 \((Layer|Batch)Norm.*, between weights and a neuron\)"):
        use_route(net, EProp())
    # elsewhere they change nothing
    for fits in (
        [norm(), nn.Linear(3, 3), nn.LIF()],
        [nn.Linear(3, 3), nn.LIF(), norm(), nn.Linear(3, 3)],
        [nn.Linear(3, 3), nn.Recurrent(nn.LIF(), nn.Linear(3, 3)), norm(), nn.Linear(3, 3), nn.LIF()],
    ):
        net = use_route(torch.nn.Sequential(*fits), EProp())
        online(net, torch.randn(2, 4, 3), lambda y: y.sum())


def test_layers_that_do_not_add_up_to_the_input_of_a_neuron_are_refused():
    net = use_route(torch.nn.Sequential(nn.Linear(3, 3), torch.nn.Tanh(), nn.LIF()), EProp())
    with pytest.raises(OptionError, match="do not add up to its input"):
        online(net, torch.randn(2, 1, 3), lambda y: y.sum())


def test_it_wants_one_step_at_a_time():
    net = use_route(make(nn.LIF()), EProp())
    xs, _ = sequence()
    with pytest.raises(GraphError, match=r"Train with FitConfig\(online='batch'\)"):
        net(xs)
    with torch.no_grad():
        assert torch.equal(net(xs), make(nn.LIF())(xs))


def test_wrong_options():
    for wrong in (
        {"filter": 1.0},
        {"feedback": "random"},
        {"feedback": "adaptive"},
        {"generator": torch.Generator()},
    ):
        with pytest.raises(OptionError, match="EProp got"):
            EProp(**wrong)
    net = torch.nn.Sequential(nn.Linear(3, 3), nn.LI(2.0), nn.Linear(3, 3), nn.LI(4.0))
    with pytest.raises(OptionError, match=r"0\.5, 0\.75"):
        use_route(net, EProp())


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("autocast", [False, True])
def test_layers_that_add_up_in_another_order_or_in_few_bits_are_no_norm(count, autocast):
    class Sum(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = torch.nn.ModuleList([nn.Linear(3, 4) for _ in range(count)])
            self.neuron = nn.LIF()

        def forward(self, xs):
            total = self.parts[-1](xs)
            for part in reversed(self.parts[:-1]):
                total = part(xs) + total
            return self.neuron(total)

    net = use_route(Sum(), EProp())
    online(net, torch.randn(5, 8, 3) * 3, lambda y: y.sum(), autocast=autocast)
    assert all(p.grad.any() for p in net.parameters())


def test_a_checkpoint_changes_no_gradient():
    xs, targets = sequence()
    found = []
    for checkpointed in (False, True):
        net = use_route(make(nn.ALIF(4.0, 10.0, 0.2), nn.LI()), EProp())

        class Whole(torch.nn.Module):
            def __init__(self, net, checkpointed):
                super().__init__()
                self.net, self.checkpointed = net, checkpointed

            def forward(self, xs):
                if not self.checkpointed:
                    return self.net(xs)
                return self.net[2:](checkpoint(self.net[:2], xs))

        count = iter(range(len(xs)))
        whole = Whole(net, checkpointed)
        online(whole, xs, lambda y, count=count: (y[0] - targets[next(count)]).square().sum())
        found.append([p.grad for p in net.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def test_random_masks_are_refused():
    with pytest.raises(OptionError, match="random masks"):
        use_route(torch.nn.Sequential(nn.Linear(3, 3), nn.LIF(surrogate=MSG())), EProp())


def test_readouts_with_several_decays_are_told():
    net = torch.nn.Sequential(nn.Linear(3, 3), nn.LIF(), nn.Linear(3, 2), nn.LI(tau=torch.tensor([2.0, 4.0])))
    with pytest.raises(OptionError, match=r"decays 0.5, 0.75: expected one. Write EProp\(filter=0.5\)"):
        use_route(net, EProp())
    assert use_route(net, EProp(filter=0.5))[0].rule.kappa == 0.5


def test_neurons_side_by_side_are_told():
    net = use_route(lsnn(3, 2, regular_neurons=4, adaptive_neurons=3), EProp())
    with pytest.raises(OptionError, match=r"a layer of \(7,\) before a LIF of \(4,\).*side by side"):
        online(net, torch.randn(2, 1, 3), lambda y: y.sum())
