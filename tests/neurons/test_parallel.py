"""PSN and its kin: products over time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snn4 import ShapeError, run
from snn4.neurons import PSN, MaskedPSN, SlidingPSN
from snn4.surrogates import LSG, Rectangle


def x(steps=12):
    return torch.randn(steps, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5


def lif_matrix(steps, tau):
    return torch.tensor(
        [[(1 / tau) * (1 - 1 / tau) ** (i - j) if j <= i else 0.0 for j in range(steps)] for i in range(steps)]
    ).double()


@pytest.mark.parametrize("tau", [1.5, 2.0, 5.0])
def test_psn_with_the_matrix_of_a_lif_is_a_lif_without_reset(tau):
    neuron = PSN(12).double()
    neuron.weight.data, neuron.bias.data = lif_matrix(12, tau), torch.full((12,), -0.4).double()
    xs, v, out = x().numpy(), np.zeros((3, 4)), []
    for step in xs:
        v = v + (step - v) / tau
        out.append((v >= 0.4).astype(float))
    assert np.array_equal(neuron(torch.from_numpy(xs)).detach().numpy(), np.stack(out))


def test_psn_starts_as_published():
    draw = torch.Generator().manual_seed(0)
    neuron = PSN(16, generator=draw)
    assert torch.equal(neuron.bias, -torch.ones(16))
    bound = neuron.weight.abs().max()
    assert 0.24 < bound <= 1 / 16**0.5
    assert torch.equal(neuron.weight, PSN(16, generator=draw.manual_seed(0)).weight)
    assert sum(p.numel() for p in neuron.parameters()) == 16 * 16 + 16


def test_psn_sees_the_future_and_a_closed_mask_does_not():
    xs, other = x(6), x(6)
    other[4] += 100.0
    for neuron, blind in ((PSN(6), False), (MaskedPSN(6, 3), True), (MaskedPSN(6, 3).masked(0.5), False)):
        neuron = neuron.double()
        with torch.no_grad():
            neuron.weight.fill_(0.05)
            changed = (neuron(xs) != neuron(other)).flatten(1).any(1).tolist()
        assert changed[4]
        assert any(changed[:4]) == (not blind)


def test_a_mask_of_one_step_has_no_memory():
    neuron = MaskedPSN(6, 1).double()
    assert torch.equal(neuron.causal_weight, neuron.weight * torch.eye(6).double())
    xs = x(6)
    expected = xs * neuron.weight.diagonal().view(-1, 1, 1) + neuron.bias.view(-1, 1, 1) >= 0
    assert torch.equal(neuron(xs), expected.double())


def test_an_open_mask_is_a_psn():
    masked, plain = MaskedPSN(6, 2).masked(0.0).double(), PSN(6).double()
    plain.load_state_dict({"weight": masked.weight, "bias": masked.bias})
    xs = 4 * x(6)
    assert torch.equal(masked(xs), plain(xs))
    half = masked.masked(0.5).causal_weight
    assert torch.equal(half.tril().triu(-1), masked.weight.tril().triu(-1))
    assert torch.equal(half.tril(-2), masked.weight.tril(-2) / 2)
    with pytest.raises(ValueError, match="share=1.5"):
        masked.masked(1.5)


def test_the_mask_is_saved_with_the_weights():
    one, other = MaskedPSN(4, 2).masked(0.25), MaskedPSN(4, 2)
    other.load_state_dict(one.state_dict())
    assert other.share.item() == 0.25


def test_a_sliding_psn_is_a_masked_one_with_equal_rows():
    sliding, masked = SlidingPSN(3).double(), MaskedPSN(10, 3).double()
    assert sliding.weight.tolist() == [0.25, 0.5, 1.0]
    with torch.no_grad():
        for i in range(10):
            for j in range(max(0, i - 2), i + 1):
                masked.weight[i, j] = sliding.weight[j - i + 2]
        masked.bias.fill_(-1.0)
    xs = x(10)
    assert torch.equal(sliding(xs), masked(xs))


def test_a_sliding_psn_carries_its_last_inputs():
    neuron, xs = SlidingPSN(4).double(), x()
    _, state = run(neuron, xs)
    assert state[""]._fields == ("x1", "x2", "x3")
    assert [torch.equal(state[""][k], xs[-1 - k]) for k in range(3)] == [True] * 3


@pytest.mark.parametrize("neuron", [PSN(4), MaskedPSN(4, 2)])
def test_another_length_is_refused(neuron):
    with pytest.raises(ShapeError, match="got 5 steps: expected the 4 steps"):
        neuron(torch.zeros(5, 1, 3))


def test_a_psn_has_no_membrane_that_a_surrogate_could_follow():
    assert PSN(4, Rectangle(0.5)).surrogate.width == 0.5
    with pytest.raises(ValueError, match="a width of its own"):
        PSN(4, LSG())
