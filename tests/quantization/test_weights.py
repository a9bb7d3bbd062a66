"""Weight quantisation against the grid worked out by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn4 import nn
from snn4.core import OptionError
from snn4.quantization import FakeQuantise, quantise_weights, weight_bits


def test_grid_by_hand():
    # 3 bits: n = 3. Row 0: s = 1; row 1: s = 0.1
    weight = torch.tensor([[3.0, 0.4, -1.6], [0.3, 0.0, 0.14]])
    assert torch.allclose(FakeQuantise(3)(weight), torch.tensor([[3, 0, -2], [0.3, 0, 0.1]]))
    # one scale for all: s = 1
    assert FakeQuantise(3, axis=None)(weight).tolist() == [[3, 0, -2], [0, 0, 0]]


def test_halves_round_to_even_as_torch_rounds():
    assert FakeQuantise(4)(torch.tensor([[7.0, 0.5, 1.5, -0.5]])).tolist() == [[7, 0, 2, 0]]


@given(bits=st.integers(2, 8), seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_on_the_grid_near_and_symmetric(bits, seed):
    weight = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = FakeQuantise(bits)(weight)
    n = 2 ** (bits - 1) - 1
    for channel, quantised in zip(weight, found, strict=True):
        s = channel.abs().max() / n
        steps = quantised / s
        assert torch.allclose(steps, steps.round(), atol=1e-9)
        assert steps.abs().max() <= n + 1e-9
        assert (quantised - channel).abs().max() <= s / 2 + 1e-12
    assert torch.allclose(FakeQuantise(bits)(-weight), -found)


def test_a_channel_of_zeros_stays_zero():
    assert FakeQuantise(4)(torch.zeros(2, 3)).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_gradient_goes_straight_through():
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    upstream = torch.arange(12.0).reshape(3, 4)
    (FakeQuantise(2)(weight) * upstream).sum().backward()
    assert torch.equal(weight.grad, upstream)


def fixed(net: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """The same weights in every run, without touching the global seed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            if p.ndim > 1:
                p.copy_(torch.randn(p.shape, generator=generator) / p[0].numel() ** 0.5)
    return net


def net() -> torch.nn.Sequential:
    layers = (nn.Conv2d(1, 4, 3), torch.nn.ReLU(), nn.ConvTranspose2d(4, 2, 3), torch.nn.ReLU())
    return fixed(torch.nn.Sequential(*layers, nn.Flatten(), nn.Linear(72, 3)))


def images() -> torch.Tensor:
    return torch.rand(2, 3, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def test_layers_compute_with_quantised_weights_and_keep_their_kind():
    quantised, plain = net(), net()
    plain.load_state_dict(quantised.state_dict())
    assert quantise_weights(quantised, bits=3) == ["0", "2", "5"]
    assert [weight_bits(quantised[k]) for k in (0, 1, 2, 5)] == [8, None, 3, 3]
    assert isinstance(quantised[0], torch.nn.Conv2d)
    with torch.no_grad():
        for k, bits, axis in ((0, 8, 0), (2, 3, 1), (5, 3, 0)):
            channels = plain[k].weight.movedim(axis, 0).flatten(1)
            s = channels.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
            by_hand = (s * (channels / s).round()).reshape(plain[k].weight.movedim(axis, 0).shape).movedim(0, axis)
            plain[k].weight.copy_(by_hand)
    assert torch.allclose(quantised(images()), plain(images()), atol=1e-6)


def test_many_bits_change_little():
    plain = net()
    quantised = copy.deepcopy(plain)
    quantise_weights(quantised, bits=16)
    assert torch.allclose(quantised(images()), plain(images()), atol=1e-3)


def test_copies_state_dicts_and_training():
    first = net()
    quantise_weights(first, bits=4)
    twin = copy.deepcopy(first)
    assert torch.equal(twin(images()), first(images()))
    with torch.no_grad():
        twin[0].parametrizations.weight.original.add_(1)
    assert not torch.equal(twin(images()), first(images()))
    other = fixed(net(), seed=1)
    quantise_weights(other, bits=4)
    other.load_state_dict(first.state_dict())
    assert torch.equal(other(images()), first(images()))
    optimiser = torch.optim.SGD(first.parameters(), lr=0.05)
    losses = []
    for _ in range(20):
        loss = (first(images()) - 1).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert len(torch.unique(first[5].weight[0].detach())) <= 15


def test_first_layer_on_demand():
    narrow = net()
    quantise_weights(narrow, bits=2, first_bits=2)
    assert weight_bits(narrow[0]) == 2
    assert len(torch.unique(narrow[0].weight[0].detach())) <= 3


def test_refusals_change_nothing():
    with pytest.raises(OptionError, match="no linear"):
        quantise_weights(torch.nn.Sequential(torch.nn.ReLU()))
    for bits in (1, 17):
        untouched = net()
        with pytest.raises(OptionError):
            quantise_weights(untouched, bits=bits)
        assert weight_bits(untouched[0]) is None
    twice = net()
    quantise_weights(twice)
    with pytest.raises(OptionError, match="already"):
        quantise_weights(twice)


def test_a_baked_copy_computes_the_same_and_leaves_the_network_alone():
    from snn4.quantization import baked

    net = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(48, 2))
    quantise_weights(net, bits=3)
    x = torch.randn(4, 2, 6, 6)
    copy = baked(net)
    before = net(x)
    assert torch.equal(copy(x), before)
    assert type(copy[0]) is torch.nn.Conv2d
    assert sum(p.numel() for p in copy.parameters()) == sum(p.numel() for p in net.parameters())
    # at most 7 values a channel: the grid of 3 bits
    assert all(len(channel.unique()) <= 7 for channel in copy[3].weight)
    with torch.no_grad():
        copy[3].weight.zero_()
    assert torch.equal(net(x), before)
    assert weight_bits(net[0]) == 8
    assert weight_bits(net[3]) == 3
