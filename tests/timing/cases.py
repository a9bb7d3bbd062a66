"""Time constants, random layers and an independent simulator, for the tests of exact spike times."""

from __future__ import annotations

import math

import numpy as np
import torch

INF = math.inf
# every case of the kernel, and what lies close to the equal one
CONSTANTS = [
    (2.0, 1.0),
    (1.0, 1.0),
    (INF, 1.0),
    (1.0, INF),
    (INF, INF),
    (20.0, 5.0),
    (3.0, 0.7),
    (0.5, 1.3),
    (1.0, 1.0 + 1e-9),
    (1.0, 1.0001),
]
METHODS = ["analytic", "eventprop", "two_stage"]


def layer(seed, inputs=6, out=1, batch=1, spikes=1, mean=1.0):
    """Times (B, N_in, K) in [0, 4] and weights N(mean, 1.5), float64."""
    generator = torch.Generator().manual_seed(seed)
    times = torch.rand(batch, inputs, spikes, generator=generator, dtype=torch.float64) * 4
    weight = torch.randn(out, inputs, generator=generator, dtype=torch.float64) * 1.5 + mean
    return times.sort(-1).values, weight


def close_to(actual, expected, relative):
    """Whether no element is off by more than `relative` of the largest one."""
    scale = max(float(expected.detach().abs().max()), 1e-3)
    return float((actual.detach() - expected.detach()).abs().max()) <= relative * scale


def simulate(times, weight, tau_v, tau_i, threshold, window, steps):
    """Spike times of one neuron by small steps of Euler's method, with the arrivals and crossings interpolated."""
    arrivals = sorted((float(t), float(w)) for row, w in zip(times, weight, strict=True) for t in row if t < window)
    dt, v, i, at, found = window / steps, 0.0, 0.0, 0, []
    leak_v, leak_i = (0.0 if tau_v == INF else 1.0 / tau_v), (0.0 if tau_i == INF else 1.0 / tau_i)
    for n in range(steps):
        clock = n * dt
        while clock < (n + 1) * dt - 1e-15:
            stop = (n + 1) * dt
            if at < len(arrivals) and arrivals[at][0] < stop:
                stop = max(arrivals[at][0], clock)
            h = stop - clock
            # the midpoint rule
            v_half, i_half = v + h / 2 * (i - leak_v * v), i - h / 2 * leak_i * i
            v_new, i_new = v + h * (i_half - leak_v * v_half), i - h * leak_i * i_half
            if v_new >= threshold:
                share = (threshold - v) / (v_new - v)
                clock, v, i = clock + share * h, 0.0, i + share * (i_new - i)
                found.append(clock)
                continue
            clock, v, i = stop, v_new, i_new
            while at < len(arrivals) and arrivals[at][0] <= clock:
                i += arrivals[at][1]
                at += 1
    return np.array(found)
