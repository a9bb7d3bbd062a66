"""Integer training and spike inference: the same numbers, spike for spike."""

from __future__ import annotations

import copy

import pytest
import torch

from snn4 import OptionError, nn
from snn4.neurons import IBRALIF, IntegerLIF, UnaryLIF, binary, unary


def column(*values):
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1)


def test_the_published_counts():
    neuron, state, counts, left = IntegerLIF(), None, [], []
    state = neuron.initial(column(0.0)[0])
    for x in column(1.3, 2.6, -0.4, 5.8, 0.2):
        c, state = neuron.step(x, state)
        counts.append(c.item())
        left.append(state.v.item())
    assert counts == [1, 3, 0, 4, 1]
    assert left == pytest.approx([0.3, -0.325, -0.48125, 1.67969, -0.38008], abs=1e-5)


def test_halves():
    halves = column(0.5, 1.5, 2.5, 3.5)
    assert IntegerLIF(4, 1.0)(halves).flatten().tolist() == [0, 2, 2, 4]
    assert IntegerLIF(4, 1.0, rounding="up")(halves).flatten().tolist() == [1, 2, 3, 4]


def test_the_gradient_is_one_from_zero_to_the_last_level():
    x = column(-1e-3, 0.0, 1.3, 4.0, 4.0 + 1e-3).requires_grad_()
    IntegerLIF(4, 1.0)(x).sum().backward()
    assert x.grad.flatten().tolist() == [0, 1, 1, 1, 0]


def test_the_gradient_through_time_leaves_the_reset_out():
    # u2 = beta (u1 - s1) + x2, with s1 a constant: d(s1 + s2)/dx1 = 1 + beta
    x = column(1.3, 2.6).requires_grad_()
    IntegerLIF()(x).sum().backward()
    assert x.grad.flatten().tolist() == pytest.approx([1.25, 1.0])


def test_counts_become_spikes_and_back():
    counts = torch.tensor([0.0, 1.0, 4.0, 2.0, 3.0])
    spikes, bits = unary(counts, 4), binary(counts, 3)
    assert (spikes.sum(), bits.sum()) == (10, 5)
    assert set(spikes.tolist()) == {0.0, 1.0}
    assert torch.equal(spikes.view(5, 4).sum(1), counts)
    assert torch.equal(bits.view(5, 3) @ torch.tensor([1.0, 2.0, 4.0]), counts)
    many = torch.arange(64.0)
    assert torch.equal(binary(many, 6).view(64, 6) @ 2.0 ** torch.arange(6), many)
    # if all counts up to 63 are as frequent: 31.5 spikes in 63 steps, or 3 in 6
    assert unary(many, 63).sum() / 64 == 31.5
    assert binary(many, 6).sum() / 64 == 3


def test_a_linear_layer_sees_the_sum_of_the_virtual_steps():
    draw = torch.Generator().manual_seed(0)
    weight = torch.randint(-8, 9, (3, 5), generator=draw).double() / 8
    counts = torch.tensor([[0.0, 1.0, 4.0, 2.0, 3.0]], dtype=torch.float64)
    assert torch.equal((unary(counts, 4) @ weight.T).sum(0), (counts @ weight.T)[0])
    weighed = binary(counts, 3) @ weight.T * torch.tensor([[1.0], [2.0], [4.0]])
    assert torch.equal(weighed.sum(0), (counts @ weight.T)[0])


@pytest.mark.parametrize("rounding", ["even", "up"])
@pytest.mark.parametrize("levels", [1, 2, 4, 8])
def test_a_network_and_its_spiking_twin_agree_spike_for_spike(levels, rounding):
    draw = torch.Generator().manual_seed(levels)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        IntegerLIF(levels, 4 / 3, 0.5, rounding=rounding),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1),
        IntegerLIF(levels, 2.0, rounding=rounding),
        nn.Flatten(),
        nn.Linear(24, 5),
        IntegerLIF(levels, rounding=rounding),
    ).double()
    for p in net.parameters():
        # dyadic numbers, so that sums are exact in any order
        p.data = torch.randint(-24, 33, p.shape, generator=draw).double() / 64
    twin = nn.Sequential(*(UnaryLIF(m) if isinstance(m, IntegerLIF) else copy.deepcopy(m) for m in net))
    for module in twin:
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.bias.data /= levels
    x = torch.randint(0, 64, (3, 2, 2, 4, 4), generator=draw).double() / 16
    # the image, spread over the virtual steps as the bias is
    slots = (x / levels).repeat_interleave(levels, 0)
    for trained, spiking in zip(net, twin, strict=True):
        x, slots = trained(x), spiking(slots)
        if isinstance(spiking, UnaryLIF):
            assert set(slots.unique().tolist()) == {0.0, 1.0}
            assert torch.equal(slots, unary(x, levels))


def test_a_twin_refuses_half_a_step():
    with pytest.raises(ValueError, match="7 virtual steps: expected a multiple of its 4 levels"):
        UnaryLIF(IntegerLIF())(torch.zeros(7, 1, 3))


def test_ibra_is_an_integer_lif_in_other_units():
    x = 3 * torch.randn(50, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ys = IBRALIF(3, 2.8)(x)
    assert torch.allclose(ys, IntegerLIF(7, v_threshold=0.4)(x) * 0.4, rtol=1e-12)
    assert len(ys.unique()) == 8


def test_the_range_of_ibra_is_learned():
    # y = unit round(clip(h / unit)):  dy/dv_max = (c - h / unit) / levels inside, 1 above, 0 below
    neuron = IBRALIF(2, torch.nn.Parameter(torch.tensor(1.5, dtype=torch.float64)), 1.0)
    for x, expected in ((0.4, (1 - 0.8) / 3), (0.9, (2 - 1.8) / 3), (5.0, 1.0), (-1.0, 0.0)):
        neuron.zero_grad()
        neuron(column(x)).sum().backward()
        assert neuron.v_max.grad.item() == pytest.approx(expected)


def test_what_is_no_count_is_refused():
    for bad in (2.5, -1.0, 4.0):
        with pytest.raises(OptionError, match="unary got values .*whole numbers from 0 to 3"):
            unary(torch.tensor([0.0, bad]), 3)
        with pytest.raises(OptionError, match="binary got values .*whole numbers from 0 to 3"):
            binary(torch.tensor([0.0, bad]), 2)
    assert unary(torch.empty(0, 2), 3).shape == (0, 2)
