from __future__ import annotations

import random

import numpy as np
import torch

from snn4.training import randomness


class Noisy(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = torch.Generator().manual_seed(5)

    def forward(self, xs):
        return xs + torch.rand(xs.shape, generator=self.generator)


def draw(net):
    return (
        torch.rand(3).tolist(),
        torch.randn(3).tolist(),
        random.random(),
        random.gauss(0, 1),
        np.random.rand(),  # noqa: NPY002
        np.random.randn(),  # noqa: NPY002
        net(torch.zeros(2)).tolist(),
    )


def test_every_state_comes_back():
    net = torch.nn.Sequential(Noisy())
    # one draw first, so that the second number of each pair of normal ones is waiting
    draw(net)
    states = randomness.capture(net)
    first = draw(net)
    assert draw(net) != first
    randomness.restore(net, states)
    assert draw(net) == first


def test_a_scope_starts_from_its_numbers_and_leaves_no_trace():
    net = torch.nn.Sequential(Noisy())
    states = randomness.capture(net)
    expected = draw(net)
    randomness.restore(net, states)
    inside = []
    for seed in (1, 1, 2):
        with randomness.scope(net, seed):
            inside.append(torch.rand(3).tolist())
            draw(net)
    assert inside[0] == inside[1] != inside[2]
    assert draw(net) == expected


def test_generators_differ_in_each_number():
    drawn = {
        torch.rand(1, generator=randomness.generator("cpu", *numbers)).item()
        for numbers in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 10), (0, 1), (-1, 0, 0), (2**70, 0))
    }
    assert len(drawn) == 8
