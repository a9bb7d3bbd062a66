"""Hand-worked traces and closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from snn4 import run
from snn4.neurons import IF, LI, LIF, CubaLIF, euler, exponential, plif


def trace(neuron, inputs):
    """Spikes, membranes before the reset, and membranes after it, of one neuron."""
    charged = []
    handle = neuron.surrogate.register_forward_pre_hook(
        lambda module, args: charged.append((args[0] + neuron.v_threshold).item())
    )
    spikes, after, state = [], [], None
    for x in inputs:
        y, state = run(neuron, torch.tensor([[[x]]], dtype=torch.float64), state)
        spikes.append(int(y.item()))
        after.append(state[""].v.item())
    handle.remove()
    return spikes, charged, after


def test_if_counts_with_a_soft_reset():
    spikes, before, after = trace(IF(), [0.75] * 6)
    assert spikes == [0, 1, 1, 1, 0, 1]
    assert before == [0.75, 1.5, 1.25, 1.0, 0.75, 1.5]
    assert after == [0.75, 0.5, 0.25, 0.0, 0.75, 0.5]


def test_if_with_a_hard_reset_loses_what_is_above():
    spikes, before, after = trace(IF(v_reset=0.0), [0.75] * 5)
    assert spikes == [0, 1, 0, 1, 0]
    assert before == [0.75, 1.5, 0.75, 1.5, 0.75]
    assert after == [0.75, 0.0, 0.75, 0.0, 0.75]


def test_if_fires_exactly_at_the_threshold():
    assert trace(IF(), [0.5, 0.5])[0] == [0, 1]


def test_if_with_another_resting_potential():
    spikes, before, after = trace(IF(v_reset=-0.5), [1.0, 0.25, 0.25, 1.0])
    # it starts at rest, at -0.5
    assert before == [0.5, 0.75, 1.0, 0.5]
    assert spikes == [0, 0, 1, 0]
    assert after == [0.5, 0.75, -0.5, 0.5]


# neurons.md of the sources, "How to check" 1: tau 2, a constant 1.5, threshold 1
@pytest.mark.parametrize(
    ("options", "spikes", "before"),
    [
        ({"decay_input": True, "v_reset": 0.0}, [0, 1, 0, 1, 0, 1], [0.75, 1.125, 0.75, 1.125, 0.75, 1.125]),
        ({"decay_input": True}, [0, 1, 0, 1, 0, 1], [0.75, 1.125, 0.8125, 1.15625, 0.828125, 1.1640625]),
        ({}, [1] * 6, [1.5, 1.75, 1.875, 1.9375, 1.96875, 1.984375]),
        # worked by hand: a hard reset forgets, so that every step is the first
        ({"v_reset": 0.0}, [1] * 6, [1.5] * 6),
    ],
)
def test_lif_on_a_constant_input(options, spikes, before):
    found = trace(LIF(tau=2.0, **options), [1.5] * 6)
    assert found[0] == spikes
    assert found[1] == before


def test_lif_decays_towards_its_reset():
    # v = v_reset + (v - v_reset) / 2 + x, from v_reset = -0.5
    spikes, before, after = trace(LIF(tau=2.0, v_reset=-0.5), [0.0, 1.0, 0.0, 1.25, 0.0])
    assert before == [-0.5, 0.5, 0.0, 1.0, -0.5]
    assert spikes == [0, 0, 0, 1, 0]
    assert after == [-0.5, 0.5, 0.0, -0.5, -0.5]


def test_lif_with_decayed_input_and_another_resting_potential():
    # H = V + (X - (V - V_r)) / tau
    v, expected, inputs = -0.25, [], [0.5, 3.0, 1.0, 4.0, 0.0, -2.0]
    for x in inputs:
        h = v + (x - (v + 0.25)) / 4
        expected.append(h)
        v = -0.25 if h >= 1 else h
    spikes, before, _ = trace(LIF(tau=4.0, v_reset=-0.25, decay_input=True), inputs)
    assert before == pytest.approx(expected, rel=1e-14)
    assert spikes == [int(h >= 1) for h in expected]
    assert 1 in spikes


@pytest.mark.parametrize(("decay", "beta"), [(euler, 0.75), (exponential, math.exp(-0.25))])
def test_the_two_readings_of_a_time_constant(decay, beta):
    # an impulse below the threshold decays as beta^t
    _, before, _ = trace(LIF(tau=4.0, decay=decay), [0.8, 0, 0, 0])
    assert before == pytest.approx([0.8 * beta**t for t in range(4)], rel=1e-14)
    # with a longer step the decay is that of dt / tau
    _, before, _ = trace(LIF(tau=8.0, decay=decay, dt=2.0), [0.8, 0, 0, 0])
    assert before == pytest.approx([0.8 * beta**t for t in range(4)], rel=1e-14)


@pytest.mark.parametrize("x", [1.5, 1.1, 1.05, 1.01, 0.99])
@pytest.mark.parametrize("tau", [1.5, 2.0, 5.0, 20.0])
def test_the_interval_between_spikes_is_the_closed_form(x, tau):
    neuron = LIF(tau=tau, v_reset=0.0, decay_input=True)
    spikes = neuron(torch.full((400, 1, 1), x, dtype=torch.float64)).flatten().nonzero().flatten()
    if x < 1:
        assert len(spikes) == 0
        return
    interval = math.ceil(math.log(1 - 1 / x) / math.log(1 - 1 / tau))
    assert spikes[0].item() == interval - 1
    assert set(spikes.diff().tolist()) == {interval}


def test_a_soft_reset_conserves_charge():
    x = torch.rand(500, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    s, state = run(IF(v_threshold=0.7), x)
    assert torch.allclose(x.sum(0), state[""].v + 0.7 * s.sum(0), rtol=1e-12)


def test_the_rate_of_if_is_its_input():
    rates = torch.linspace(0, 1, 11, dtype=torch.float64)
    s = IF()(rates.expand(1000, 1, 11))
    assert torch.allclose(s.mean(0)[0], rates, atol=1e-3)
    assert torch.equal(IF(v_threshold=2.0).transfer(torch.tensor([-1.0, 1.0, 5.0])), torch.tensor([0.0, 0.5, 1.0]))


def test_no_rate_is_claimed_without_a_closed_form():
    for neuron in (IF(v_reset=0.0), LIF(), CubaLIF(), LI()):
        with pytest.raises(NotImplementedError, match=type(neuron).__name__):
            neuron.transfer(torch.ones(1))


@pytest.mark.parametrize("decay_input", [False, True])
@pytest.mark.parametrize(("decay", "beta"), [(euler, 0.75), (exponential, math.exp(-0.25))])
def test_li_is_a_geometric_series(decay, beta, decay_input):
    y = LI(tau=4.0, decay=decay, decay_input=decay_input)(torch.full((50, 1, 1), 1.5, dtype=torch.float64))
    gain = 1 - beta if decay_input else 1.0
    expected = [1.5 * gain * (1 - beta ** (t + 1)) / (1 - beta) for t in range(50)]
    assert y.flatten().tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("decay", "of"), [(euler, lambda tau: 1 - 1 / tau), (exponential, lambda tau: math.exp(-1 / tau))]
)
def test_cubalif_answers_an_impulse_with_two_exponentials(decay, of):
    alpha, beta = of(2.5), of(6.0)
    neuron = CubaLIF(tau=6.0, tau_syn=2.5, decay=decay, v_threshold=100.0)
    _, before, _ = trace(neuron, [1.0] + [0.0] * 19)
    # sum over k of beta^(t-k) alpha^k; the input reaches the membrane in its own step
    expected = [(beta ** (t + 1) - alpha ** (t + 1)) / (beta - alpha) for t in range(20)]
    assert before == pytest.approx(expected, rel=1e-12)


def test_cubalif_step_by_step():
    # alpha = beta = 1/2:  i = .75 .375 1.1875 .59375;  v = .75 .75 1.5625 -> .5625, .875
    spikes, before, after = trace(CubaLIF(tau=2.0, tau_syn=2.0, decay=euler), [0.75, 0.0, 1.0, 0.0])
    assert before == [0.75, 0.75, 1.5625, 0.875]
    assert spikes == [0, 0, 1, 0]
    assert after == [0.75, 0.75, 0.5625, 0.875]


def test_the_reset_of_cubalif_leaves_the_current_alone():
    neuron = CubaLIF(tau=2.0, tau_syn=2.0, decay=euler, v_reset=0.0)
    _, state = run(neuron, torch.tensor([2.0]).view(1, 1, 1))
    assert state[""].v.item() == 0.0
    assert state[""].i.item() == 2.0


def test_cubalif_decays_towards_its_reset():
    neuron = CubaLIF(tau=4.0, tau_syn=2.0, decay=euler, v_reset=-0.5)
    _, before, _ = trace(neuron, [0.5, 0.0, 0.0])
    v, i, expected = -0.5, 0.0, []
    for x in (0.5, 0.0, 0.0):
        i = 0.5 * i + x
        v = -0.5 + 0.75 * (v + 0.5) + i
        expected.append(v)
    assert before == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("tau", [1.25, 2.0, 7.0])
def test_plif_starts_as_lif(tau):
    x = 3 * torch.rand(40, 2, 3, generator=torch.Generator().manual_seed(0))
    lif = LIF(tau=tau, v_reset=0.0, decay_input=True, detach_reset=True)
    # tau = 1 + e^(log(tau - 1)) is not always tau to the last bit
    assert (plif(tau)(x) != lif(x)).sum() <= 1


def test_plif_learns_the_paper_s_own_number():
    # 1 / tau = sigmoid(w), and raw = -w
    neuron = plif(5.0)
    raw = neuron.learned_tau.raw
    assert torch.sigmoid(-raw).item() == pytest.approx(1 / 5)
    assert raw.shape == ()
    with torch.no_grad():
        raw.fill_(2.0)
    assert (1 / neuron.tau).item() == pytest.approx(torch.sigmoid(torch.tensor(-2.0)).item())


def test_the_gradient_of_plif_by_hand():
    # two steps below the threshold, decayed input:  v1 = x/tau,  v2 = (1 - 1/tau) v1 + x/tau
    tau, x = 3.0, 0.9
    neuron = plif(tau).double()
    neuron(torch.full((2, 1, 1), x, dtype=torch.float64)).sum().backward()
    v1, dv1 = x / tau, -x / tau**2
    v2, dv2 = (1 - 1 / tau) * v1 + x / tau, v1 / tau**2 + (1 - 1 / tau) * dv1 - x / tau**2

    def psi(u):
        return 1 / (1 + (math.pi * u) ** 2)

    expected = (psi(v1 - 1) * dv1 + psi(v2 - 1) * dv2) * (tau - 1)  # dtau/draw = tau - 1
    assert neuron.learned_tau.raw.grad.item() == pytest.approx(expected, rel=1e-6)


def test_the_gradient_of_a_learned_threshold_by_hand():
    # one step, soft reset: ds/dv_threshold = -psi, and v_threshold = e^raw
    neuron = LIF(v_threshold=torch.nn.Parameter(torch.tensor(0.75, dtype=torch.float64)))
    neuron(torch.full((1, 1, 1), 0.5, dtype=torch.float64)).sum().backward()
    assert neuron.v_threshold.grad.item() == pytest.approx(-1 / (1 + (math.pi * 0.25) ** 2))
