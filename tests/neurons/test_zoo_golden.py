"""Published traces, and closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from snn4 import Learned, run
from snn4.neurons import (
    ALIF,
    BRF,
    CLIF,
    DALIF,
    RPLIF,
    TCLIF,
    Izhikevich,
    SEAdLIF,
    branch_mask,
    brf,
    dh_lif,
    heterogeneous,
    ltmd,
    se_adlif,
)


def trace(neuron, inputs, state=None):
    """Outputs, arguments of the surrogate (membrane minus threshold), and the states."""
    seen, ys, states = [], [], []
    handle = neuron.surrogate.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    state = neuron.initial(torch.zeros(1, 1, dtype=torch.float64)) if state is None else state
    for x in inputs:
        y, state = neuron.step(x * torch.ones(1, 1, dtype=torch.float64), state)
        ys.append(y.item())
        states.append(state)
    handle.remove()
    return ys, [a.squeeze() for a in seen], states


@pytest.mark.parametrize(("v_reset", "fourth"), [(0.0, 0.6), (None, 0.625)])
def test_da_lif(v_reset, fourth):
    ys, seen, _ = trace(DALIF(0.6, 0.5, v_reset=v_reset).double(), [1.0] * 4)
    assert ys == [0, 0, 1, 0]
    assert [a.item() + 1 for a in seen] == pytest.approx([0.6, 0.9, 1.05, fourth])


@pytest.mark.parametrize(("v_reset", "expected"), [(None, (1.875, 0.65)), (0.0, (1.0, 0.0))])
def test_gradients_of_the_da_lif_example(v_reset, expected):
    def parameter(value):
        return torch.nn.Parameter(torch.tensor(value, dtype=torch.float64))

    neuron = DALIF(parameter(0.6), parameter(0.5), v_reset=v_reset)
    _, seen, _ = trace(neuron, [1.0] * 4)
    grads = torch.autograd.grad(seen[-1], [neuron.alpha, neuron.beta])
    assert [g.item() for g in grads] == pytest.approx(expected)
    # the paper's own numbers: alpha = tanh(tau_a), beta = tanh(tau_b)
    neuron = DALIF(Learned(0.6), Learned(0.5), v_reset=v_reset).double()
    raws = [neuron.learned_alpha.raw, neuron.learned_beta.raw]
    assert [r.item() for r in raws] == pytest.approx([math.log(2), 0.549306], rel=1e-6)
    _, seen, _ = trace(neuron, [1.0] * 4)
    grads = torch.autograd.grad(seen[-1], raws)
    slopes = (1 - 0.6**2, 1 - 0.5**2)
    assert [g.item() for g in grads] == pytest.approx([e * s for e, s in zip(expected, slopes, strict=True)], rel=1e-6)


@pytest.mark.parametrize(("activation", "slope"), [("tanh", 0.75), ("sigmoid", 0.25), ("clamp", 1.0)])
def test_the_three_parameterisations_of_da_lif(activation, slope):
    neuron = DALIF(activation=activation).double()
    alpha = neuron.alpha
    assert alpha.item() == pytest.approx(0.5)
    (grad,) = torch.autograd.grad(alpha, neuron.learned_alpha.raw)
    assert grad.item() == pytest.approx(slope)
    assert sum(p.numel() for p in neuron.parameters()) == 2
    with torch.no_grad():
        for p in neuron.parameters():
            p.fill_(1e6)
    assert 0.99 < neuron.alpha.item() <= 1.0


@pytest.mark.parametrize("v_reset", [None, 0.0])
def test_alpha_is_a_threshold(v_reset):
    x = torch.randn(200, 1, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1
    one = DALIF(0.37, 0.6, 1.0, v_reset)(x)
    assert torch.equal(one, DALIF(1.0, 0.6, 1.0 / 0.37, v_reset)(x))
    assert one.any()


def test_limits_of_da_lif_without_spikes():
    neuron = DALIF(0.6, 0.5, v_threshold=100.0)
    _, state = run(neuron, torch.ones(100, 1, 1, dtype=torch.float64))
    assert state[""].v.item() == pytest.approx(1.2)
    noise = torch.randn(40, 1, 200_000, generator=torch.Generator().manual_seed(0))
    _, state = run(neuron, noise)
    assert state[""].v.var().item() == pytest.approx(0.48, rel=0.02)


def test_tc_lif():
    ys, seen, states = trace(TCLIF().double(), [0.6] * 8)
    dendrite = [0.6, 1.05, 1.2375, 1.1156, 1.2148, 1.5104, 1.4283, 1.4891]
    soma = [0.3, 0.825, 1.4437, 1.0016, 0.609, 1.3642, 1.0783, 0.8229]
    assert ys == [0, 0, 1, 1, 0, 1, 1, 0]
    assert [a.item() + 1 for a in seen] == pytest.approx(soma, abs=1e-4)
    before = [s.d.item() + 0.5 * y for s, y in zip(states, ys, strict=True)]
    assert before == pytest.approx(dendrite, abs=1e-4)


@pytest.mark.parametrize(("c1", "c2"), [(0.0, 0.0), (1.5, -0.5), (-1.4, 1.4)])
def test_tc_lif_turns_without_decaying(c1, c2):
    def sigma(c):
        return 1 / (1 + math.exp(-c))

    neuron = TCLIF(-sigma(c1), sigma(c2), v_threshold=1e6)
    zero = torch.zeros(1, 1, dtype=torch.float64)

    def step(d, v):
        return neuron.step(zero, neuron.State(d.view(1, 1), v.view(1, 1)))[1]

    jacobian = torch.autograd.functional.jacobian(lambda dv: torch.cat([*step(*dv)]).flatten(), torch.zeros(2).double())
    assert torch.linalg.det(jacobian).item() == pytest.approx(1.0)
    assert torch.linalg.eigvals(jacobian).abs().tolist() == pytest.approx([1.0, 1.0])


def test_srnn():
    # the authors' code starts the adaptation at the resting threshold
    start = torch.full((1, 1), 0.01, dtype=torch.float64)
    neuron, zero = ALIF(20.0, 150.0, 0.01, 1.8), torch.zeros(1, 1, dtype=torch.float64)
    ys, _, states = trace(neuron, [0.5] * 7, neuron.State(zero, start, zero))
    assert [t for t, y in enumerate(ys) if y] == [1, 3, 6]
    thresholds = [0.01 + 1.8 * s.a.item() for s in states[:5]]
    assert thresholds == pytest.approx([0.02788, 0.02776, 0.0396, 0.03941, 0.05117], abs=1e-5)


def test_a_relative_alif_only_rescales_the_surrogate():
    x = torch.rand(50, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one, other = ALIF(relative=True), ALIF()
    assert torch.equal(one(x), other(x))
    _, near, states = trace(one, [0.3, 0.4])
    _, plain, _ = trace(other, [0.3, 0.4])
    for a, b, s in zip(near, plain, states, strict=True):
        assert a.item() == pytest.approx(b.item() / (0.01 + 1.8 * s.a.item()))


@pytest.mark.parametrize(("tau", "tau_a", "k", "radius"), [(5.0, 60.0, 1.0, 0.897), (25.0, 300.0, 1.0, 0.9786)])
def test_se_adlif_is_stable(tau, tau_a, k, radius):
    neuron = SEAdLIF(tau, tau_a, k, v_threshold=1e6)
    zero = torch.zeros(1, 1, dtype=torch.float64)

    def step(va):
        _, state = neuron.step(zero, neuron.State(va[0].view(1, 1), va[1].view(1, 1)))
        return torch.cat([*state]).flatten()

    jacobian = torch.autograd.functional.jacobian(step, torch.zeros(2, dtype=torch.float64))
    assert torch.linalg.eigvals(jacobian).abs().max().item() == pytest.approx(radius, abs=5e-4)


def test_rp_lif():
    ys, seen, states = trace(RPLIF().double(), [2.5] * 6)
    theta = [1.0] + [s.factor.item() for s in states]
    assert ys == [1, 1, 0, 1, 1, 1]
    before = [a.item() + t for a, t in zip(seen, theta, strict=False)]
    assert before == pytest.approx([1.25, 1.375, 1.3375, 1.91875, 1.70938, 1.50469], abs=1e-5)
    assert [s.v.item() for s in states] == pytest.approx([0.25, 0.175, 1.3375, 0.91875, 0.50938, 0.06469], abs=1e-5)
    assert theta[1:] == pytest.approx([1.2, 1.44, 1.0, 1.2, 1.44, 1.728])


def test_rp_lif_does_not_rise_for_ever():
    _, state = run(RPLIF(cap=3.0, v_threshold=0.5), torch.full((100, 1, 1), 1e6))
    assert state[""].factor.item() == 3.0


def test_clif_by_hand():
    # tau 2: h = 1; m = 0 sigmoid(.5) + 1;  v = 1 - (1 + sigmoid(1)); then h = v / 2 + 1, no spike; ...
    ys, seen, states = trace(CLIF().double(), [1.0, 1.0, 1.0])
    v1 = -1 / (1 + math.exp(-1))
    h2 = v1 / 2 + 1
    m2 = 1 / (1 + math.exp(-h2 / 2))
    h3 = h2 / 2 + 1
    m3 = m2 / (1 + math.exp(-h3 / 2)) + 1
    assert ys == [1, 0, 1]
    assert [a.item() + 1 for a in seen] == pytest.approx([1.0, h2, h3])
    assert [s.m.item() for s in states] == pytest.approx([1.0, m2, m3])
    assert states[2].v.item() == pytest.approx(h3 - 1 - 1 / (1 + math.exp(-m3)))


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ((0.02, 0.2, -65.0, 8.0), 20),
        ((0.1, 0.2, -65.0, 2.0), 63),
        ((0.02, 0.2, -50.0, 2.0), 43),
        ((0.02, 0.2, -55.0, 4.0), 28),
        ((0.02, 0.25, -65.0, 2.0), 44),
    ],
    ids=["regular", "fast", "chattering", "bursting", "low threshold"],
)
def test_the_cells_of_izhikevich(kind, count):
    spikes = Izhikevich(*kind)(torch.full((1000, 1, 1), 10.0, dtype=torch.float64)).flatten()
    assert int(spikes.sum()) == count
    if count == 20:
        assert spikes.nonzero().flatten()[:4].tolist() == [3, 30, 78, 140]


@pytest.mark.parametrize(("omega", "p"), [(5.0, -0.12508), (10.0, -0.50126), (50.0, -13.3975)])
def test_the_pole_of_brf_lies_on_the_unit_circle(omega, p):
    neuron = BRF(omega)
    assert neuron.balance == pytest.approx(p, abs=1e-4)
    assert abs(complex(1 + 0.01 * neuron.balance, 0.01 * omega)) == pytest.approx(1.0, rel=1e-15)
    learned = BRF(Learned(omega)).double()
    assert learned.balance.item() == pytest.approx(p, abs=1e-4)


def test_the_drive_of_brf_is_a_factor_of_its_input():
    x = 60 * torch.rand(60, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = BRF(drive=4.0)(x)
    assert found.any()
    assert torch.equal(found, BRF()(4 * x))
    assert "drive=4" in repr(BRF(drive=4.0))
    assert brf((3,), drive=4.0).drive == 4.0


def test_brf():
    spikes = BRF(10.0, 1.0)(torch.full((200, 1, 1), 20.0, dtype=torch.float64)).flatten()
    assert spikes.nonzero().flatten().tolist() == [5, 10, 18]


def test_builders_draw_from_the_published_ranges():
    def made(build):
        return build(torch.Generator().manual_seed(3)), build(torch.Generator().manual_seed(3))

    one, two = made(lambda g: brf((1000,), generator=g))
    assert torch.equal(one.omega, two.omega)
    assert 5 <= one.omega.min() < 5.1
    assert 9.9 < one.omega.max() <= 10
    assert one.b_offset.max() > 2.9
    one, two = made(lambda g: se_adlif((1000,), generator=g))
    assert torch.equal(one.tau_a, two.tau_a)
    assert 60 <= one.tau_a.min() < 61
    assert one.b.max() > 1.9
    one, two = made(lambda g: dh_lif(1000, 2, generator=g))
    assert torch.equal(one.alpha, two.alpha)
    assert one.alpha.logit().min().item() == pytest.approx(2.0, abs=0.02)
    assert one.alpha.logit().max().item() == pytest.approx(6.0, abs=0.02)
    assert one.beta.logit().max().item() == pytest.approx(4.0, abs=0.02)


@pytest.mark.parametrize("distribution", ["normal", "uniform", "gamma", "lognormal"])
def test_heterogeneous_time_constants(distribution):
    def value(seed):
        return heterogeneous(20.0, 5.0, (20_000,), distribution, generator=torch.Generator().manual_seed(seed)).value

    tau = value(0)
    assert tau.mean().item() == pytest.approx(20, abs=0.2)
    assert tau.std().item() == pytest.approx(5, abs=0.15)
    assert torch.equal(tau, value(0))
    assert not torch.equal(tau, value(1))
    low = heterogeneous(2.0, 3.0, (1000,), distribution, low=1.0, generator=torch.Generator().manual_seed(0)).value
    assert low.min() > 1


def test_branches_divide_the_inputs():
    mask = branch_mask(700, 64, 8, generator=torch.Generator().manual_seed(0)).view(8, 64, 700)
    assert torch.equal(mask.sum(0), torch.ones(64, 700))
    assert set(mask.sum(2).unique().tolist()) <= {87.0, 88.0}
    assert not torch.equal(mask[:, 0], mask[:, 1])


def test_a_learned_threshold_by_hand():
    neuron = ltmd(0.5, v_reset=None).double()
    neuron(torch.full((1, 1, 1), 0.3, dtype=torch.float64)).sum().backward()
    psi = 1 / (1 + (math.pi * 0.2) ** 2)
    assert neuron.learned_v_threshold.raw.grad.item() == pytest.approx(-psi * 0.5, rel=1e-6)
