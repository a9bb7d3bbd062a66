"""Surrogates that change: with the membrane, with a search, with the epoch, at random."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from snn4 import Learned, OptionError, nn
from snn4.neurons import DALIF, LIF
from snn4.surrogates import (
    LSG,
    MSG,
    Annealed,
    ATan,
    Dspike,
    Rectangle,
    Sigmoid,
    Slayer,
    Triangle,
    anneal,
    double_gaussian,
    search_temperature,
)
from snn4.surrogates.surrogate import Membrane


def grid(low=-2.0, high=2.0, points=4001):
    return torch.linspace(low, high, points, dtype=torch.float64)


def logistic(x):
    return 1 / (1 + math.exp(-x))


# ---------------------------------------------------------------------------------------------------------------- LSG


@pytest.mark.parametrize(("decay", "width"), [(0.2, 1.0198), (0.5, 1.1180), (0.8, 1.2806), (0.0, 1.0), (-0.5, 1.1180)])
def test_the_width_of_lsg(decay, width):
    membrane = Membrane(decay, 0.5)
    assert LSG().width(membrane) == pytest.approx(width, abs=1e-4)
    assert LSG(0.2).width(membrane) == pytest.approx(0.2 * width, abs=1e-4)
    psi = LSG().derivative(grid(), membrane)
    assert psi.max().item() == pytest.approx(1 / width, abs=1e-4)
    assert float((psi > 0).double().mean() * 4) == pytest.approx(width, abs=2e-3)


def test_the_published_window():
    x = torch.tensor([0.0, 0.559016, -0.559016, 0.559018], dtype=torch.float64)
    psi = LSG().derivative(x, Membrane(0.5, 0.5)).tolist()
    assert psi == pytest.approx([0.894427, 0.894427, 0.894427, 0.0], abs=1e-6)


def slope(neuron, x):
    """What the neuron's gradient says one step after rest."""
    leaf = torch.tensor([[[x]]], dtype=torch.float64, requires_grad=True)
    neuron(leaf).sum().backward()
    return leaf.grad.item()


def test_the_neuron_hands_over_its_decay_and_threshold():
    # beta = .5, threshold .5: the window is 1.118 wide, and .8944 high
    assert slope(LIF(2.0, 0.5, surrogate=LSG()), 0.5) == pytest.approx(1 / math.sqrt(1.25))
    assert slope(LIF(2.0, 2.0, surrogate=LSG()), 2.0) == pytest.approx(0.25 / math.sqrt(1.25))
    assert slope(DALIF(1.0, -0.5, 0.5, surrogate=LSG()), 0.5) == pytest.approx(1 / math.sqrt(1.25))
    learned = LIF(Learned(2.0), Learned(0.5), surrogate=LSG()).double()
    assert slope(learned, 0.5) == pytest.approx(1 / math.sqrt(1.25), rel=1e-6)
    with torch.no_grad():
        learned.learned_tau.raw.fill_(math.log(4.0))  # tau = 5, beta = .8
    assert slope(learned, 0.5) == pytest.approx(1 / math.sqrt(1.64), rel=1e-6)


def test_the_paper_s_neuron_learns_the_paper_s_number():
    neuron = LIF(Learned(1.25), 0.5, 0.0, LSG())
    assert neuron.learned_tau.raw.item() == pytest.approx(-1.386, abs=1e-3)
    assert neuron.beta.item() == pytest.approx(0.2)
    with torch.no_grad():
        neuron.learned_tau.raw.fill_(0.7)
    assert neuron.beta.item() == pytest.approx(logistic(0.7))


def test_each_neuron_of_a_layer_has_its_own_width():
    tau = torch.tensor([1.25, 2.0, 5.0], dtype=torch.float64)  # beta .2, .5, .8
    x = torch.full((1, 1, 3), 0.5, dtype=torch.float64, requires_grad=True)
    LIF(tau, 0.5, surrogate=LSG())(x).sum().backward()
    assert (1 / x.grad.flatten()).tolist() == pytest.approx([1.0198, 1.1180, 1.2806], abs=1e-4)


def test_no_gradient_goes_through_the_width():
    xs = torch.rand(20, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    grads = []
    for surrogate in (LSG(), Rectangle(2 * 0.5 * math.sqrt(1.25))):
        neuron = LIF(Learned(2.0), Learned(0.5), surrogate=surrogate).double()
        neuron(xs).sum().backward()
        grads.append([p.grad.item() for p in neuron.parameters()])
    assert grads[0] == pytest.approx(grads[1], rel=1e-6)
    assert all(grads[0])


def test_a_learned_scale_of_lsg_gets_the_gradient_of_the_ramp():
    neuron = LIF(2.0, 0.5, surrogate=LSG(Learned(1.0))).double()
    neuron(torch.full((1, 1, 1), 0.6, dtype=torch.float64)).sum().backward()
    # Psi = x / (scale w) + 1/2: dPsi/dscale = -x / w at scale 1, and scale = e^raw
    assert neuron.surrogate.learned_scale.raw.grad.item() == pytest.approx(-0.1 / math.sqrt(1.25), rel=1e-6)


# ------------------------------------------------------------------------------------------------------------- Dspike


@pytest.mark.parametrize(("b", "peak"), [(1.0, 1.0820), (2.0, 1.3130), (3.0, 1.6572), (5.0, 2.5339), (10.0, 5.0005)])
def test_the_peak_of_dspike(b, peak):
    assert Dspike(b).derivative(torch.zeros(1)).item() == pytest.approx(peak, abs=5e-5)
    x = grid(-1, 1, 200_001)
    assert torch.trapezoid(Dspike(b).derivative(x), x).item() == pytest.approx(1.0, abs=1e-4)


def test_the_published_point_of_dspike():
    # x = .25 of the unit interval is .25 below the threshold
    x = torch.tensor([-0.25], dtype=torch.float64)
    assert Dspike(3.0).primitive(x).item() == pytest.approx(0.149146, abs=1e-6)
    assert Dspike(3.0).derivative(x).item() == pytest.approx(0.988654, abs=1e-6)


def test_dspike_goes_from_a_window_to_the_step():
    x = grid() + 1e-4
    torch.testing.assert_close(Dspike(1e-3).derivative(x), Rectangle(1.0).derivative(x), atol=1e-5, rtol=0)
    torch.testing.assert_close(Dspike(1e4).primitive(x), (x >= 0).double(), atol=0.12, rtol=0)


def samples(*intervals):
    return torch.cat([torch.linspace(low, high, 2001, dtype=torch.float64) for low, high in intervals])


@pytest.mark.parametrize(
    ("first", "second", "epsilon", "best"),
    [
        # differences see only what lies near the threshold, as a sharp surrogate does
        ([(-0.5, 0.5)], [(-0.5, -0.1), (0.1, 0.5)], 0.05, 4.0),
        # differences with a wide step see all of both alike, as a flat surrogate does
        ([(-0.05, 0.05)], [(-0.5, -0.3), (0.3, 0.5)], 0.6, 2.0),
    ],
    ids=["sharper", "flatter"],
)
def test_the_temperature_follows_finite_differences(first, second, epsilon, best):
    weight = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    net, (one, two) = Dspike(3.0), (samples(*first), samples(*second))
    before = weight.detach().clone()
    found = search_temperature(
        net, lambda: net(one + weight[0] - 1).mean() + net(two + weight[1] - 1).mean(), weight, epsilon=epsilon
    )
    assert found.b == net.b == best
    assert sorted(found.similarity) == [2.0, 3.0, 4.0]
    assert max(found.similarity.values()) == found.similarity[best] > 0.7
    assert torch.equal(weight, before)
    assert weight.grad is None


def test_a_search_covers_all_layers_and_some_weights():
    draw = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.LIF(surrogate=Dspike(3.0)), nn.Linear(8, 2), nn.LIF(surrogate=Dspike(3.0)))
    x = 3 * torch.rand(5, 4, 6, generator=draw)
    found = search_temperature(net, lambda: net(x).mean(), net[0].weight, entries=5, step=0.5, generator=draw)
    assert {net[1].surrogate.b, net[3].surrogate.b} == {found.b}
    assert found.b in (2.5, 3.0, 3.5)


def test_what_a_search_refuses():
    w = torch.nn.Parameter(torch.ones(1))
    for net in (Sigmoid(), nn.Sequential(Dspike(2.0), Dspike(3.0)), Dspike(Learned(3.0))):
        with pytest.raises(OptionError, match="one temperature"):
            search_temperature(net, lambda: w.sum(), w)
    other = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(OptionError, match="does not depend on"):
        search_temperature(Dspike(), lambda: other.sum(), w)
    with pytest.raises(OptionError, match="numbers > 0"):
        search_temperature(Dspike(), lambda: w.sum(), w, step=0.0)


# ---------------------------------------------------------------------------------------------------------- annealing


def test_the_schedule():
    sharp = Annealed(Sigmoid(2.0), sharpness=8.0, hold=0.0)
    assert [sharp.at(p).k.item() for p in (0.0, 1 / 3, 2 / 3, 1.0)] == pytest.approx([1, 2, 4, 8])
    sharp = Annealed(Sigmoid(2.0), sharpness=5.0, schedule="linear", hold=0.2)
    assert [sharp.at(p).k.item() for p in (0.0, 0.4, 0.8, 0.9, 1.0)] == pytest.approx([1, 3, 5, 5, 5])


def test_an_annealed_surrogate_is_a_steeper_one():
    x = grid()
    torch.testing.assert_close(
        Annealed(Sigmoid(2.0), 5.0).at(1.0).double().derivative(x), Sigmoid(10.0).derivative(x), rtol=1e-6, atol=1e-9
    )
    torch.testing.assert_close(
        Annealed(Triangle(1.0), 4.0).at(1.0).double().primitive(x), Triangle(0.25).primitive(x), rtol=1e-6, atol=1e-9
    )


def test_annealing_a_network_survives_a_checkpoint():
    net = nn.Sequential(nn.Linear(2, 3), nn.LIF(surrogate=Annealed(sharpness=4.0)), nn.Linear(3, 2), nn.LIF())
    anneal(net, 1.0)
    twin = nn.Sequential(nn.Linear(2, 3), nn.LIF(surrogate=Annealed(sharpness=4.0)), nn.Linear(3, 2), nn.LIF())
    twin.load_state_dict(net.state_dict())
    assert twin[1].surrogate.k.item() == 4.0


def test_what_annealing_refuses():
    with pytest.raises(OptionError, match="without an annealed surrogate"):
        anneal(nn.LIF(), 0.5)
    for progress in (-0.1, 1.1, float("nan")):
        with pytest.raises(OptionError, match="a share of the training"):
            Annealed().at(progress)
    for options in ({"sharpness": 0.5}, {"sharpness": float("inf")}, {"schedule": "cosine"}, {"hold": 1.0}):
        with pytest.raises(OptionError, match="Annealed"):
            Annealed(**options)
    with pytest.raises(OptionError, match="a width of its own"):
        Annealed(LSG())
    with pytest.raises(OptionError, match="a Surrogate"):
        Annealed(torch.sigmoid)
    with pytest.raises(OptionError, match=r"Write MSG\(Annealed"):
        Annealed(MSG())


# ---------------------------------------------------------------------------------------------------------------- MSG


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def gradient(surrogate, x):
    x = x.clone().requires_grad_()
    surrogate.train()(x).sum().backward()
    return x.grad


def test_the_base_of_msg_is_the_published_triangle():
    # alpha - alpha^2 |x| for |x| < 1 / alpha, alpha = 2
    x = grid(-1, 1, 41)
    torch.testing.assert_close(MSG().derivative(x), (2 - 4 * x.abs()).clamp(min=0))


def test_masks_at_their_ends():
    x = grid(-0.4, 0.4, 101)
    assert torch.equal(gradient(MSG(p=0.0), x), gradient(Triangle(0.5), x))
    assert not gradient(MSG(p=1.0), x).any()
    evaluated = x.clone().requires_grad_()
    MSG(p=1.0).eval()(evaluated).sum().backward()
    assert torch.equal(evaluated.grad, gradient(Triangle(0.5), x))


@pytest.mark.parametrize("base", [Triangle(0.5), ATan(Learned(2.0)), LSG()], ids=["fixed", "learned", "following"])
def test_a_share_passes_and_is_what_it_was(base):
    x = torch.zeros(40_000)
    plain = gradient(copy.deepcopy(base), x)[0].item()
    for rescale in (False, True):
        grad = gradient(MSG(base, p=0.3, rescale=rescale, generator=draw()), x)
        assert grad.unique().tolist() == pytest.approx([0.0, plain / 0.7 if rescale else plain])
        assert grad.count_nonzero().item() / 40_000 == pytest.approx(0.7, abs=0.01)


def test_masks_thin_out_with_depth():
    s = torch.zeros(40_000, requires_grad=True)
    masks = [MSG(Rectangle(4.0), p=0.5, generator=g) for g in (draw(1), draw(2), draw(3))]
    x = s
    for m in masks:
        x = m.train()(x) * 0.25
    x.sum().backward()
    assert s.grad.count_nonzero().item() / 40_000 == pytest.approx(0.5**3, abs=0.006)


def test_masks_are_new_at_every_step_and_follow_their_generator():
    def grads(seed):
        neuron = nn.LIF(surrogate=MSG(ATan(), generator=draw(seed)), detach_reset=True, tau=1.0).train()
        x = torch.ones(4, 1, 1000, requires_grad=True)
        neuron(x).sum().backward()
        return x.grad != 0

    one = grads(0)
    assert torch.equal(one, grads(0))
    assert not torch.equal(one, grads(1))
    assert not torch.equal(one[0], one[1])


def test_the_masks_of_two_layers_differ():
    surrogate = MSG(ATan(), generator=draw())
    net = [nn.LIF(surrogate=surrogate), nn.LIF(surrogate=surrogate)]
    one, other = (gradient(neuron.surrogate, torch.zeros(1000)) for neuron in net)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_what_msg_refuses(p):
    with pytest.raises(OptionError, match="a probability"):
        MSG(p=p)
    with pytest.raises(OptionError, match="below 1 to rescale"):
        MSG(p=1.0, rescale=True)
    with pytest.raises(OptionError, match="not masked"):
        MSG(MSG())


# --------------------------------------------------------------------------------------------------------- the others


def test_other_formulas():
    x = (-1.2, -0.3, 0.0, 0.4, 2.0)
    points = torch.tensor(x, dtype=torch.float64)
    assert Slayer().derivative(points).tolist() == pytest.approx([math.exp(-5 * abs(v)) for v in x])
    assert Triangle(1.0, gamma=0.3).derivative(points).tolist() == pytest.approx([0.3 * max(0, 1 - abs(v)) for v in x])

    def normal(v, deviation):
        return math.exp(-(v**2) / (2 * deviation**2)) / math.sqrt(2 * math.pi * deviation**2)

    expected = [0.5 * (1.15 * normal(v, 0.5) - 0.30 * normal(v, 3.0)) for v in x]
    assert double_gaussian().derivative(points).tolist() == pytest.approx(expected)


# -------------------------------------------------------------------------------------------------------------- width


@pytest.mark.parametrize("make", [Rectangle, Triangle, ATan, Sigmoid, Dspike, Slayer, LSG])
@pytest.mark.parametrize("value", [0.0, 1e-5, 1e5, float("inf"), float("nan"), -1.0])
def test_a_width_near_zero_or_infinity_is_refused(make, value):
    with pytest.raises(OptionError, match=f"{make.__name__} got .*from 0.0001 to 10000"):
        make(value)
    with pytest.raises(OptionError, match=make.__name__):
        make(Learned(value))


@pytest.mark.parametrize("make", [Rectangle, Triangle, ATan, Sigmoid, Dspike, Slayer, LSG])
@pytest.mark.parametrize("raw", [-1e4, 1e4])
def test_a_width_that_is_driven_away_stays_and_comes_back(make, raw):
    neuron = LIF(2.0, 0.5, surrogate=make(Learned(1.0)))
    (parameter,) = neuron.parameters()
    with torch.no_grad():
        parameter.fill_(raw)
    (name,) = neuron.surrogate.quantities
    assert getattr(neuron.surrogate, name).item() == pytest.approx(1e4 if raw > 0 else 1e-4, rel=1e-4)
    xs = torch.rand(6, 2, 50, generator=draw(), requires_grad=True)
    neuron(xs).sum().backward()
    assert xs.grad.isfinite().all()
    assert parameter.grad.isfinite().all()
    # a loss that pulls it back reaches it, one that pushes on does not
    for sign, moves in ((1.0, raw > 0), (-1.0, raw < 0)):
        (grad,) = torch.autograd.grad(sign * getattr(neuron.surrogate, name), parameter)
        assert (grad != 0) == moves
