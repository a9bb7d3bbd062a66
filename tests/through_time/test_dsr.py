"""DSR: numbers worked out by hand, exact identities of the simulation, and the clamp as a network of its own."""

from __future__ import annotations

import pytest
import torch

from snn4 import DSR, Learned, OptionError, nn, run, use_route
from snn4.surrogates import LSG, ATan

D = torch.float64


def sequence(*values):
    return torch.tensor(values, dtype=D).view(-1, 1, 1)


def constant(value, steps):
    return torch.full((steps, 1, 1), float(value), dtype=D)


@pytest.mark.parametrize(
    ("value", "rate", "left"),
    [(-1, 0, -20), (0.5, 0.6, -2), (1, 0.9, 2), (2.9, 3.0, -2), (3.1, 3.0, 2), (5.95, 6, -1), (7, 6, 20)],
)
def test_rates_of_integrate_and_fire(value, rate, left):
    ys, states = run(nn.DSRIF(6.0).double(), constant(value, 20))
    assert ys.mean().item() == pytest.approx(rate)
    assert states[""].v.item() == pytest.approx(left)


@pytest.mark.parametrize(
    ("values", "spikes", "left"),
    [
        ((1, 2, 3, 4, 5), (0, 1, 0, 1, 1), -3),
        ((5, 4, 3, 2, 1), (1, 1, 0, 0, 1), -3),
        ((20, -5, 0, 0, 0), (1, 1, 1, 0, 0), -3),
        ((-5, 0, 0, 0, 20), (0, 0, 0, 0, 1), 9),
    ],
)
def test_the_order_of_inputs_moves_the_membrane_alone(values, spikes, left):
    ys, states = run(nn.DSRIF(6.0).double(), sequence(*values))
    assert (ys / 6).flatten().tolist() == list(spikes)
    assert states[""].v.item() == left


@pytest.mark.parametrize(
    ("value", "rate"),
    [(0.2, 0.310307), (0.5, 0.568530), (1, 1.248134), (2, 2.055054), (3, 2.925016), (5, 5.121543), (5.9, 6), (7, 6)],
)
def test_weighted_rates_of_the_leaky_neuron(value, rate):
    neuron = nn.DSRLIF(v_threshold=0.3).double()
    ys = neuron(constant(value, 20))
    assert neuron.representation(ys).mean(ys).item() == pytest.approx(rate, abs=1e-6)


def test_the_leaky_neuron_on_a_ramp():
    xs, neuron = sequence(1, 2, 3, 4, 5), nn.DSRLIF(v_threshold=0.6, alpha=0.5, dt=0.1).double()
    ys, states = run(neuron, xs)
    told = neuron.representation(xs)
    assert ys.flatten().tolist() == pytest.approx([0, 0, 6, 6, 0])
    assert told.mean(xs).item() == pytest.approx(3.199138, abs=1e-6)
    assert told.mean(ys).item() == pytest.approx(2.501123, abs=1e-6)
    assert states[""].v.item() == pytest.approx(0.224622, abs=1e-6)


def test_the_identities_are_exact():
    draw = torch.Generator().manual_seed(0)
    xs = torch.randn(11, 4, 5, generator=draw, dtype=D) * 3 + 1
    ys, states = run(nn.DSRIF(2.0, alpha=0.3).double(), xs)
    assert torch.allclose(ys.mean(0), xs.mean(0) - states[""].v / 11, rtol=0, atol=1e-14)
    neuron = nn.DSRLIF(tau=1.5, v_threshold=0.4, dt=0.1).double()
    ys, states = run(neuron, xs)
    beta = torch.exp(torch.tensor(-0.1 / 1.5, dtype=D))
    weights = (beta ** torch.arange(10, -1, -1, dtype=D)).view(-1, 1, 1)
    expected = (1 - beta) / 0.1 * (weights * xs).sum(0) / weights.sum() - states[""].v / (0.1 * weights.sum())
    assert torch.allclose((weights * ys).sum(0) / weights.sum(), expected, rtol=0, atol=1e-13)
    # the same for spikes of height one
    for neuron in (nn.IF(1.5), nn.LIF(2.0, 1.5), nn.LIF(3.0, 0.5, decay_input=True)):
        ys, states = run(neuron, xs)
        told = neuron.representation(xs)
        left = states[""].v * told.weights[-1] / neuron.v_threshold
        assert torch.allclose(told.mean(ys), told.slope * told.mean(xs) - left, rtol=0, atol=1e-13)


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0])
def test_the_error_of_a_constant_input_stays_within_its_bound(alpha):
    size = torch.linspace(0, 5.99, 300, dtype=D).view(1, -1, 1)
    for steps in (5, 20):
        xs = size.expand(steps, -1, -1)
        neuron = nn.DSRIF(6.0, alpha).double()
        told = neuron.representation(xs)
        gap = (told.mean(neuron(xs)) - told.clamp(told.mean(xs))).abs().max().item()
        assert gap <= max(alpha, 1 - alpha) * 6 / steps + 1e-12
        assert gap > 0.9 * max(alpha, 1 - alpha) * 6 / steps - 6 / steps * 0.1
        assert told.residual == pytest.approx(max(alpha, 1 - alpha) * 6 / steps)


def gradients(neuron, xs, signal=(1, 0, 0, 0, 2), route=None):
    use_route(neuron, route or DSR())
    xs = xs.clone().requires_grad_()
    ys = neuron(xs)
    (ys * sequence(*signal)).sum().backward()
    grads = [p.grad.item() if p.grad is not None else 0.0 for p in neuron.parameters()]
    return xs.grad.flatten().tolist(), *grads


def test_gradients_of_integrate_and_fire():
    inside, threshold = gradients(nn.DSRIF(Learned(6.0)).double(), sequence(1, 2, 3, 4, 5))
    assert inside == pytest.approx([0.6] * 5)
    assert threshold == 0
    above, threshold = gradients(nn.DSRIF(Learned(6.0)).double(), constant(7, 5))
    assert above == [0] * 5
    assert threshold == pytest.approx(3)
    # the ends belong to it
    for end in (0.0, 6.0):
        assert gradients(nn.DSRIF(6.0).double(), constant(end, 4), (1, 0, 0, 2))[0] == pytest.approx([0.75] * 4)
    assert gradients(nn.DSRIF(6.0).double(), constant(-0.1, 5))[0] == [0] * 5


def leaky():
    return nn.DSRLIF(v_threshold=Learned(0.6), alpha=0.5, dt=0.1).double()


def test_gradients_of_the_leaky_neuron():
    inside, threshold = gradients(leaky(), sequence(1, 2, 3, 4, 5))
    assert inside == pytest.approx([0.645831] * 5, abs=1e-6)
    assert threshold == 0
    above, threshold = gradients(leaky(), constant(7, 5))
    assert above == [0] * 5
    assert threshold == pytest.approx(0.1 * 3.229153, abs=1e-7)
    _, scaled = gradients(leaky(), constant(7, 5), route=DSR(threshold_scale=0.001))
    assert scaled == pytest.approx(threshold / 1000)
    # here the ends do not belong to it
    assert gradients(leaky(), constant(0, 5))[0] == [0] * 5


@pytest.mark.parametrize("learned", [False, True])
def test_a_network_has_the_gradient_of_its_twin_of_clamps(learned):
    """Spikes of height one and a linear loss of the rates: only the clamp's slopes meet the gradient."""
    draw = torch.Generator().manual_seed(2)
    xs = torch.randn(6, 4, 3, generator=draw, dtype=D) + 0.4
    net = torch.nn.Sequential(nn.Linear(3, 5), nn.IF(Learned(0.7) if learned else 0.7)).double()
    with torch.no_grad():
        for parameter in net[0].parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=draw, dtype=D))
    use_route(net, DSR())
    weights = torch.randn(4, 5, generator=draw, dtype=D)
    (net(xs).mean(0) * weights).sum().backward()
    found = {name: p.grad.clone() for name, p in net.named_parameters()}
    net.zero_grad()
    mean = net[0](xs).mean(0)
    ((mean / net[1].v_threshold).clamp(0, 1) * weights).sum().backward()
    for name, p in net.named_parameters():
        assert torch.allclose(found[name], p.grad, rtol=1e-10, atol=1e-14), name
    assert found["0.weight"].any()


def test_a_linear_readout_is_differentiated_as_it_is():
    net = use_route(torch.nn.Sequential(nn.LI(tau=2.0)), DSR())
    xs = torch.ones(3, 1, 1, dtype=D, requires_grad=True)
    net(xs)[2].sum().backward()
    assert xs.grad.flatten().tolist() == [0.25, 0.5, 1.0]


def test_the_threshold_does_not_sink_below_its_floor():
    neuron = nn.DSRIF(Learned(0.02), lowest=0.01)
    with torch.no_grad():
        neuron.learned_v_threshold.raw.fill_(-1.0)
    assert neuron.v_threshold.item() == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("neuron", "says"),
    [
        (nn.ALIF, r"1 \(ALIF has no closed-form rate\)"),
        (lambda: nn.LIF(v_reset=0.0), r"1 \(LIF with a hard reset"),
        (lambda: nn.LIF(Learned(2.0)), r"1 \(LIF learns its time constant"),
        (lambda: nn.IF(surrogate=ATan(Learned(2.0))), r"1 \(IF learns its surrogate"),
        (lambda: nn.DSRLIF(surrogate=ATan(Learned(2.0))), r"1 \(DSRLIF learns its surrogate"),
        (lambda: nn.Recurrent(nn.IF(), nn.Linear(2, 2)), r"1.body \(inside Recurrent, which shows it one step"),
        (lambda: nn.Loop(torch.nn.Sequential(nn.IF())), r"1.body.0 \(inside Loop"),
    ],
)
def test_a_neuron_without_a_representation_is_refused_by_name(neuron, says):
    with pytest.raises(OptionError, match=says):
        use_route(torch.nn.Sequential(nn.Linear(2, 2), neuron()), DSR())


@pytest.mark.parametrize(
    "make",
    [
        lambda: DSR(-1.0),
        lambda: DSR(float("nan")),
        lambda: nn.DSRIF(alpha=0.0),
        lambda: nn.DSRIF(alpha=1.1),
        lambda: nn.DSRIF(lowest=0.0),
        lambda: nn.DSRIF(0.001),
        lambda: nn.DSRLIF(tau=0.01),
        lambda: nn.DSRLIF(dt=0.0),
        lambda: nn.DSRIF(surrogate=LSG()),
        lambda: nn.DSRLIF(surrogate="ATan"),
    ],
)
def test_wrong_options(make):
    with pytest.raises(OptionError):
        make()
