"""Back-propagation through time, against the recursion of the papers written out here in plain numbers."""

from __future__ import annotations

import pytest
import torch

from snn4.neurons import IF, LIF, CubaLIF, euler
from snn4.surrogates import Triangle

INPUTS = (0.7, 0.9, 0.2, 1.7, 0.05, 0.6)
WEIGHTS = (1.0, -0.5, 2.0, 0.3, 1.5, -1.0)


def psi(x, width=1.0):
    return max(0.0, width - abs(x)) / width**2


@pytest.mark.parametrize(("detach", "expected"), [(True, 3.6125), (False, 2.687)])
def test_the_published_example(detach, expected):
    # one weight 0.6, three inputs of 1, decay 1/2, threshold 1, soft reset, triangle of width 1, loss = sum of spikes
    w = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
    neuron = LIF(tau=2.0, surrogate=Triangle(), detach_reset=detach)
    s = neuron(w * torch.ones(3, 1, 1, dtype=torch.float64))
    assert s.flatten().tolist() == [0, 0, 1]
    s.sum().backward()
    assert w.grad.item() == pytest.approx(expected, abs=5e-4 if not detach else 1e-12)
    if not detach:
        # in full: .95 + (.9 + .5 .1 .95) + (.6 + .5 .4 .9475)
        assert w.grad.item() == pytest.approx(0.95 + 0.9475 + 0.7895, rel=1e-12)


def by_hand(beta, gain, v_reset, detach, threshold=1.0):
    """dL/dx of L = sum_t w_t s_t, by  delta_t = psi_t w_t + beta h_t delta_(t+1).

    h is the derivative of the membrane after the reset by the membrane before it:
    soft  1 - threshold psi,  hard  (1 - s) - (u - v_reset) psi;  without the psi terms where the reset is detached.
    """
    rest = v_reset or 0.0
    v, charged = rest, []
    for x in INPUTS:
        u = rest + beta * (v - rest) + gain * x
        s = float(u >= threshold)
        charged.append((u, s))
        v = u - s * threshold if v_reset is None else (v_reset if s else u)
    grads, delta = [], 0.0
    for (u, s), w in zip(reversed(charged), reversed(WEIGHTS), strict=True):
        g = psi(u - threshold)
        if v_reset is None:
            h = 1.0 if detach else 1.0 - threshold * g
        else:
            h = (1.0 - s) if detach else (1.0 - s) - (u - v_reset) * g
        delta = g * w + beta * h * delta
        grads.append(gain * delta)
    assert 0 < sum(s for _, s in charged) < len(charged)
    return grads[::-1]


@pytest.mark.parametrize("decay_input", [False, True])
@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("v_reset", [None, 0.0, -0.5, 0.25])
@pytest.mark.parametrize("tau", [1.25, 2.0, 8.0])
def test_lif(tau, v_reset, detach, decay_input):
    scale = tau if decay_input else 1.0  # so that it fires now and then
    beta, gain = 1 - 1 / tau, scale * (1 / tau if decay_input else 1.0)
    neuron = LIF(tau=tau, v_reset=v_reset, surrogate=Triangle(), detach_reset=detach, decay_input=decay_input)
    x = torch.tensor(INPUTS, dtype=torch.float64).view(-1, 1, 1).requires_grad_()
    (neuron(scale * x).flatten() * torch.tensor(WEIGHTS, dtype=torch.float64)).sum().backward()
    assert x.grad.flatten().tolist() == pytest.approx(by_hand(beta, gain, v_reset, detach), rel=1e-10, abs=1e-13)


@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("v_reset", [None, 0.0, -0.5])
def test_if(v_reset, detach):
    neuron = IF(v_reset=v_reset, surrogate=Triangle(), detach_reset=detach)
    x = torch.tensor(INPUTS, dtype=torch.float64).view(-1, 1, 1).requires_grad_()
    (neuron(x).flatten() * torch.tensor(WEIGHTS, dtype=torch.float64)).sum().backward()
    assert x.grad.flatten().tolist() == pytest.approx(by_hand(1.0, 1.0, v_reset, detach), rel=1e-10, abs=1e-13)


def test_cubalif_has_a_second_recursion_for_the_current():
    # dL/di_t = dL/du_t + alpha dL/di_(t+1),  dL/dx_t = dL/di_t
    alpha, beta = 0.5, 0.75
    i = v = 0.0
    charged = []
    for x in INPUTS:
        i = alpha * i + 0.5 * x
        u = beta * v + i
        s = float(u >= 1)
        charged.append(u)
        v = u - s
    expected, du, di = [], 0.0, 0.0
    for u, w in zip(reversed(charged), reversed(WEIGHTS), strict=True):
        g = psi(u - 1)
        du = g * w + beta * (1 - g) * du
        di = du + alpha * di
        expected.append(0.5 * di)
    neuron = CubaLIF(tau=4.0, tau_syn=2.0, decay=euler, surrogate=Triangle())
    x = torch.tensor(INPUTS, dtype=torch.float64).view(-1, 1, 1).requires_grad_()
    (neuron(0.5 * x).flatten() * torch.tensor(WEIGHTS, dtype=torch.float64)).sum().backward()
    assert x.grad.flatten().tolist() == pytest.approx(expected[::-1], rel=1e-10, abs=1e-13)


class Smooth(Triangle):
    """The primitive in place of the step: what the backward pass pretends to be."""

    def forward(self, x):
        return self.primitive(x)


@pytest.mark.parametrize("v_reset", [None, 0.0, -0.5])
@pytest.mark.parametrize("member", [IF, LIF, CubaLIF])
def test_with_a_smooth_spike_autograd_is_finite_differences(member, v_reset):
    neuron = member(v_reset=v_reset, surrogate=Smooth(2.0))
    x = torch.rand(5, 2, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(neuron, x)
