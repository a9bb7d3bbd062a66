"""Each neuron against a loop over plain numpy arrays, in numbers that are written out here."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tests.neurons.zoo import draw

from snn4 import run
from snn4.neurons import (
    ALIF,
    BRF,
    CLIF,
    DALIF,
    DHLIF,
    GLIF,
    IBRALIF,
    KLIF,
    RPLIF,
    TCLIF,
    AdEx,
    AdLIF,
    IntegerLIF,
    Izhikevich,
    SEAdLIF,
    SlidingPSN,
    TernaryLIF,
)

T, SHAPE = 60, (4, 5)


def inputs(scale, shape=SHAPE, shift=0.4):
    return (torch.randn(T, *shape, generator=draw(), dtype=torch.float64) + shift) * scale


def sigma(x):
    return 1 / (1 + np.exp(-x))


def heaviside(x):
    return (x >= 0).astype(float)


def da_lif(xs):
    v, out = np.zeros(SHAPE), []
    for x in xs:
        v = -0.4 * v + 0.7 * x
        s = heaviside(v - 0.9)
        v = v - 0.9 * s
        out.append(s)
    return out, v


def tc_lif(xs):
    d, v, out = np.zeros(SHAPE), np.zeros(SHAPE), []
    b1, b2 = -sigma(0.5), sigma(-0.25)
    for x in xs:
        d = d + b1 * v + x
        v = v + b2 * d
        s = heaviside(v - 1.25)
        d, v = d - 0.7 * s, v - 1.25 * s
        out.append(s)
    return out, v


def alif(xs):
    v, b, s, out = np.zeros(SHAPE), np.zeros(SHAPE), np.zeros(SHAPE), []
    alpha, rho = math.exp(-1 / 5), math.exp(-1 / 30)
    for x in xs:
        b = rho * b + (1 - rho) * s
        theta = 0.2 + 1.8 * b
        v = alpha * v + (1 - alpha) * x - theta * s
        s = heaviside(v - theta)
        out.append(s)
    return out, v


def ad_lif(xs):
    u, w, s, out = np.zeros(SHAPE), np.zeros(SHAPE), np.zeros(SHAPE), []
    alpha, beta = math.exp(-1 / 8), math.exp(-1 / 40)
    for x in xs:
        w = beta * w + 0.3 * u + 0.6 * s
        u = alpha * (u - 0.8 * s) + (1 - alpha) * (x - w)
        s = heaviside(u - 0.8)
        out.append(s)
    return out, u


def se_ad_lif(xs):
    u, w, out = np.zeros(SHAPE), np.zeros(SHAPE), []
    du, dw = math.exp(-1 / 6), math.exp(-1 / 100)
    for x in xs:
        u = du * u + (1 - du) * (x - w)
        s = heaviside(u - 1)
        u = np.where(s > 0, 0.0, u)
        w = dw * w + (1 - dw) * (0.7 * u + 1.3 * s) * 50.0
        out.append(s)
    return out, u


def glif(xs):
    u, s, out = np.zeros(SHAPE), np.zeros(SHAPE), []
    alpha, beta, gamma, tau, leak, c, v_re = 0.6, 0.3, 0.7, 0.4, 0.05, 0.8, 0.45
    for x in xs:
        current = x * (1 - beta * (1 - c))
        u = (1 - alpha * (1 - tau)) * u * (1 - gamma * s) - (1 - alpha) * leak + current - (1 - gamma) * v_re * s
        s = heaviside(u - 0.55)
        out.append(s)
    return out, u


def klif(xs, *, soft=False, scale_reset=False):
    v, out, k = np.zeros(SHAPE), [], 1.6
    for x in xs:
        h = v + (x - v) / 3
        f = np.maximum(k * h, 0)
        s = heaviside(f - 0.8)
        if soft:
            v = (f - 0.8 * s) / (k if scale_reset else 1)
        else:
            v = np.where(s > 0, 0.0, f / k if scale_reset else f)
        out.append(s)
    return out, v


def clif(xs):
    u, m, out = np.zeros(SHAPE), np.zeros(SHAPE), []
    for x in xs:
        u = (1 - 1 / 3) * u + x
        s = heaviside(u - 1)
        m = m * sigma(u / 3) + s
        u = u - s * (1 + sigma(m))
        out.append(s)
    return out, u


def rp_lif(xs):
    v, theta, out = np.zeros(SHAPE), np.full(SHAPE, 0.5), []
    for x in xs:
        v = v + (x - v) / 2.5
        s = heaviside(v - theta)
        v = v - s * theta
        theta = np.where(s > 0, np.minimum(1.5 * theta, 3 * 0.5), 0.5)
        out.append(s)
    return out, v


def ternary(xs):
    v, out = np.zeros(SHAPE), []
    for x in xs:
        v = 0.75 * v + x
        up, down = v >= 1.0, v <= -0.7
        v = np.where(up, v - 1.0, np.where(down, v + 0.7, v))
        out.append(np.where(up, 1.0, np.where(down, -1.0, 0.0)))
    return out, v


def integer(xs):
    v, out = np.zeros(SHAPE), []
    for x in xs:
        h = 0.5 * v + x
        c = np.rint(np.clip(h / 0.8, 0, 3))
        v = h - 0.8 * c
        out.append(c)
    return out, v


def ibra(xs):
    v, out, unit = np.zeros(SHAPE), [], 2.1 / 7
    for x in xs:
        h = 0.25 * v + x
        y = unit * np.rint(np.clip(h / unit, 0, 7))
        v = h - y
        out.append(y)
    return out, v


def brf(xs):
    v, w, q, out = np.zeros(SHAPE), np.zeros(SHAPE), np.zeros(SHAPE), []
    dt, omega = 0.01, 12.0
    p = (-1 + math.sqrt(1 - (dt * omega) ** 2)) / dt
    for x in xs:
        b = p - 0.5 - q
        v, w = v + dt * (b * v - omega * w + x), w + dt * (omega * v + b * w)
        s = heaviside(v - 1 - q)
        q = 0.9 * q + s
        out.append(s)
    return out, v


def izhikevich(xs):
    v, u, out = np.full(SHAPE, -65.0), np.full(SHAPE, -13.0), []
    for x in xs:
        for _ in range(2):
            held = np.clip(v, -120, 1000)
            v = v + 0.5 * (0.04 * held**2 + 5 * held + 140 - u + x)
        u = u + 0.02 * (0.2 * v - u)
        s = heaviside(v - 30)
        v, u = np.where(s > 0, -65.0, v), u + 8 * s
        out.append(s)
    return out, v


def adex(xs):
    v, w, out = np.full(SHAPE, -70.6), np.zeros(SHAPE), []
    for x in xs:
        rise = 30 * 2 * np.exp(np.minimum((v + 50.4) / 2, 20))
        v, w = v + (1.0 / 281) * (-30 * (v + 70.6) + rise - w + x), w + (1.0 / 144) * (4 * (v + 70.6) - w)
        s = heaviside(v - 20)
        v, w = np.where(s > 0, -70.6, v), w + 80.5 * s
        out.append(s)
    return out, v


def sliding(xs):
    out = []
    for t in range(T):
        h = sum(w * xs[t - 2 + i] for i, w in enumerate((0.25, 0.5, 1.0)) if t - 2 + i >= 0)
        out.append(heaviside(h - 1.0))
    return out, xs[-1]


CASES = {
    "DALIF": (lambda: DALIF(0.7, -0.4, 0.9, None), da_lif, 1.5, "v"),
    "TCLIF": (lambda: TCLIF(-sigma(0.5), sigma(-0.25), 0.7, 1.25), tc_lif, 0.8, "v"),
    "ALIF": (lambda: ALIF(5.0, 30.0, 0.2, 1.8), alif, 1.0, "v"),
    "AdLIF": (lambda: AdLIF(8.0, 40.0, 0.3, 0.6, 0.8), ad_lif, 6.0, "v"),
    "SEAdLIF": (lambda: SEAdLIF(6.0, 100.0, 0.7, 1.3, 50.0), se_ad_lif, 5.0, "v"),
    "GLIF": (lambda: GLIF(0.6, 0.3, 0.7, 0.4, 0.05, 0.8, 0.45, 0.55), glif, 0.6, "v"),
    "KLIF": (lambda: KLIF(1.6, 3.0, 0.8), klif, 1.5, "v"),
    "KLIF scaled": (lambda: KLIF(1.6, 3.0, 0.8, scale_reset=True), lambda xs: klif(xs, scale_reset=True), 1.5, "v"),
    "KLIF soft": (
        lambda: KLIF(1.6, 3.0, 0.8, None, scale_reset=True),
        lambda xs: klif(xs, soft=True, scale_reset=True),
        1.5,
        "v",
    ),
    "CLIF": (lambda: CLIF(3.0), clif, 0.8, "v"),
    "RPLIF": (lambda: RPLIF(2.5, 0.5, 1.5, cap=3.0), rp_lif, 2.0, "v"),
    "TernaryLIF": (lambda: TernaryLIF(4.0, 1.0, 0.7), ternary, 0.8, "v"),
    "IntegerLIF": (lambda: IntegerLIF(3, 2.0, 0.8), integer, 1.5, "v"),
    "IBRALIF": (lambda: IBRALIF(3, 2.1), ibra, 1.5, "v"),
    "BRF": (lambda: BRF(12.0, -0.5), brf, 60.0, "v"),
    "Izhikevich": (lambda: Izhikevich(), izhikevich, 15.0, "v"),
    "AdEx": (lambda: AdEx(dt=1.0), adex, 1200.0, "v"),
    "SlidingPSN": (lambda: SlidingPSN(3), sliding, 0.8, "x1"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_equations(name):
    make, oracle, scale, field = CASES[name]
    xs = inputs(scale)
    with torch.no_grad():
        ys, state = run(make().double(), xs)
    expected, v = oracle(xs.numpy())
    np.testing.assert_allclose(ys.numpy(), np.stack(expected), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(getattr(state[""], field).numpy(), v, rtol=1e-9, atol=1e-9)
    share = float(ys.count_nonzero()) / ys.numel()
    assert 0.02 < share < 0.95, share


def test_dendrites():
    alpha = np.array([[0.1, 0.3, 0.5], [0.7, 0.9, 0.95]])
    xs = inputs(1.5, (4, 2, 3)).numpy()
    d, v, s, out = np.zeros((4, 2, 3)), np.zeros((4, 3)), np.zeros((4, 3)), []
    for x in xs:
        d = alpha * d + (1 - alpha) * x
        v = 0.6 * v + (1 - 0.6) * (d[:, 0] + d[:, 1]) - 0.5 * s
        s = heaviside(v - 0.5)
        out.append(s)
    neuron = DHLIF(torch.from_numpy(alpha), 0.6, 0.5)
    ys, state = run(neuron, torch.from_numpy(xs))
    assert np.array_equal(ys.numpy(), np.stack(out))
    np.testing.assert_allclose(state[""].v.numpy(), v, rtol=1e-12)
    np.testing.assert_allclose(state[""].d.numpy(), d, rtol=1e-12)
    assert ys.any()
    assert not ys.all()


def test_adex_follows_its_differential_equation():
    # fourth-order Runge-Kutta with a quarter of the step, an integrator that shares nothing with forward Euler
    def slope(v, w, x):
        rise = 30 * 2 * math.exp(min((v + 50.4) / 2, 20))
        return (-30 * (v + 70.6) + rise - w + x) / 281, (4 * (v + 70.6) - w) / 144

    dt, x, v, w, fired = 0.005, 1000.0, -70.6, 0.0, []
    for step in range(int(60 / dt)):
        k1 = slope(v, w, x)
        k2 = slope(v + dt / 2 * k1[0], w + dt / 2 * k1[1], x)
        k3 = slope(v + dt / 2 * k2[0], w + dt / 2 * k2[1], x)
        k4 = slope(v + dt * k3[0], w + dt * k3[1], x)
        v += dt / 6 * (k1[0] + 2 * k2[0] + 2 * k3[0] + k4[0])
        w += dt / 6 * (k1[1] + 2 * k2[1] + 2 * k3[1] + k4[1])
        if v >= 20:
            v, w = -70.6, w + 80.5
            fired.append((step + 1) * dt)
    found = AdEx(dt=0.02)(torch.full((3000, 1, 1), 1000.0, dtype=torch.float64)).flatten().nonzero().flatten()
    times = [(k + 1) * 0.02 for k in found.tolist()]
    assert len(times) == len(fired) > 2
    assert times == pytest.approx(fired, rel=0.01)
