from __future__ import annotations

from math import sqrt

import pytest
import torch

from snn4.data import Poisson

STEPS, COPIES = 50, 400


@pytest.mark.parametrize("gain", [1.0, 0.3])
@pytest.mark.parametrize("value", [0.02, 0.25, 0.5, 0.9])
def test_counts_are_binomial(value, gain):
    p = gain * value
    spikes = Poisson(STEPS, gain)(torch.full((COPIES,), value), torch.Generator().manual_seed(0))
    assert set(spikes.unique().tolist()) <= {0.0, 1.0}
    trials = STEPS * COPIES
    assert abs(spikes.mean().item() - p) < 5 * sqrt(p * (1 - p) / trials)
    counts = spikes.sum(0).double()
    variance = STEPS * p * (1 - p)
    # the variance of a sample variance is about 2 variance^2 / n, and the fourth moment adds its share for small p
    fourth = variance * (1 + 3 * variance - 6 * p * (1 - p))
    error = sqrt((fourth - variance**2) / COPIES)
    assert abs(counts.var().item() - variance) < 5 * error


def test_steps_neurons_and_samples_are_independent():
    spikes = Poisson(200)(torch.full((20, 20), 0.5), torch.Generator().manual_seed(0)) - 0.5
    pairs = {
        "steps": (spikes[1:], spikes[:-1]),
        "samples": (spikes[:, 1:], spikes[:, :-1]),
        "neurons": (spikes[:, :, 1:], spikes[:, :, :-1]),
    }
    for name, (a, b) in pairs.items():
        correlation = 4 * (a * b).mean().item()
        assert abs(correlation) < 5 / sqrt(a.numel()), name


def test_the_ends_are_certain():
    spikes = Poisson(5000)(torch.tensor([[0.0, 1.0]]), torch.Generator().manual_seed(0))
    assert spikes.sum(0).tolist() == [[0.0, 5000.0]]


def test_decode_takes_the_gain_out():
    x = torch.linspace(0, 1, 11)
    encoder = Poisson(4000, gain=0.5)
    error = encoder.decode(encoder(x, torch.Generator().manual_seed(0))) - x
    # at most 5 deviations of sqrt(1 / 4) / sqrt(4000) / gain
    assert error.abs().max() < 5 * 0.5 / sqrt(4000) / 0.5


def test_rare_spikes_survive_half_precision():
    x = torch.full((200_000,), 2.0**-10, dtype=torch.bfloat16)
    count = Poisson(1)(x, torch.Generator().manual_seed(0)).float().sum().item()
    assert abs(count - 195.3) < 5 * sqrt(195.3)


def test_without_a_generator_it_draws_like_torch():
    x = torch.full((1000,), 0.5)
    assert not torch.equal(Poisson(3)(x), Poisson(3)(x))
