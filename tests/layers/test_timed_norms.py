"""TEBN and BNTT: their statistics worked by hand, and sequences that are cut."""

from __future__ import annotations

import pytest
import torch

import snn4
from snn4 import OptionError, ShapeError, StateError, models, nn

# (T = 2, B = 2, C = 1)
X = torch.tensor([[[1.0], [3.0]], [[5.0], [15.0]]], dtype=torch.float64)


def exact(norm):
    """Without the eps that keeps a variance from being zero."""
    inner = getattr(norm, "norm", norm)
    inner.eps = 1e-30
    return norm.double()


def test_tebn_by_hand():
    norm = exact(nn.TEBN1d(1, steps=2))
    with torch.no_grad():
        norm.p.copy_(torch.tensor([1.0, 0.5]))
        norm.weight.fill_(2.0)
        norm.bias.fill_(1.0)
    # over all four: mean 6, variance (25 + 9 + 1 + 81) / 4 = 29
    sigma = 29**0.5
    z = [2 * d / sigma + 1 for d in (-5, -3, -1, 9)]
    assert norm(X).flatten().tolist() == pytest.approx([z[0], z[1], 0.5 * z[2], 0.5 * z[3]])
    # eval: the running statistics after one batch, 0.1 of mean 6 and of the unbiased variance 116 / 3
    mean, var = 0.6, 0.9 + 0.1 * 116 / 3
    expected = [2 * (x - mean) / var**0.5 + 1 for x in (1, 3, 5, 15)]
    expected[2:] = [0.5 * e for e in expected[2:]]
    assert norm.eval()(X).flatten().tolist() == pytest.approx(expected)


def test_bntt_by_hand():
    norm = exact(nn.BNTT1d(1, steps=2))
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([[1.0], [3.0]]))
    # each step alone: mean 2 and deviation 1, mean 10 and deviation 5
    assert norm(X).flatten().tolist() == pytest.approx([-1, 1, -3, 3])
    assert norm.running_mean.flatten().tolist() == pytest.approx([0.2, 1.0])
    # unbiased variances 2 and 50
    assert norm.running_var.flatten().tolist() == pytest.approx([0.9 + 0.2, 0.9 + 5.0])
    expected = [0.8 / 1.1**0.5, 2.8 / 1.1**0.5, 3 * 4 / 5.9**0.5, 3 * 14 / 5.9**0.5]
    assert norm.eval()(X).flatten().tolist() == pytest.approx(expected)


def test_bntt_has_no_bias():
    assert {name for name, _ in nn.BNTT2d(3, steps=4).named_parameters()} == {"weight"}
    assert nn.BNTT2d(3, steps=4).eps == 1e-4
    assert torch.equal(nn.BNTT1d(2, 3).eval()(torch.zeros(3, 4, 2)), torch.zeros(3, 4, 2))


@pytest.mark.parametrize(
    ("layer", "features"), [(nn.TEBN1d, (3, 5)), (nn.TEBN2d, (3, 4, 4)), (nn.BNTT1d, (3,)), (nn.BNTT2d, (3, 4, 4))]
)
def test_a_sequence_may_be_cut_anywhere(layer, features):
    torch.manual_seed(0)
    norm = layer(3, steps=6).double()
    torch.nn.init.normal_(norm.p if hasattr(norm, "p") else norm.weight)
    x = torch.randn(6, 4, *features, dtype=torch.float64)
    norm(x)
    norm.eval()
    whole = norm(x)
    for cut in (1, 3, 5):
        first, state = snn4.run(norm, x[:cut])
        second, last = snn4.run(norm, x[cut:], state)
        assert torch.equal(torch.cat([first, second]), whole)
        assert int(last[""].t) == 6
    stream = snn4.Stream(norm)
    assert torch.equal(torch.cat([stream(step) for step in x.split(1)]), whole)
    # without a state, every call is the start of a sequence
    assert not torch.equal(norm(x[3:]), whole[3:])


def test_bntt_may_be_cut_in_training_and_learns_the_same():
    whole, cut = nn.BNTT1d(3, steps=4), nn.BNTT1d(3, steps=4)
    x = torch.randn(4, 5, 3)
    expected = whole(x)
    first, state = snn4.run(cut, x[:3])
    second, _ = snn4.run(cut, x[3:], state)
    assert torch.equal(torch.cat([first, second]), expected)
    assert torch.equal(cut.running_mean, whole.running_mean)
    (expected**3).sum().backward()
    (torch.cat([first, second]) ** 3).sum().backward()
    assert torch.allclose(cut.weight.grad, whole.weight.grad)


def test_they_know_the_time_inside_a_loop():
    norm = nn.TEBN1d(3, steps=5)
    torch.nn.init.normal_(norm.p)
    norm.eval()
    x = torch.randn(5, 2, 3)
    assert torch.equal(nn.Loop(norm)(x), norm(x))


@pytest.mark.parametrize("layer", [nn.TEBN1d, nn.BNTT1d])
def test_what_does_not_fit_is_told(layer):
    norm = layer(3, steps=4).eval()
    with pytest.raises(StateError, match="of 4 steps got steps 0 to 4"):
        norm(torch.zeros(5, 2, 3))
    _, state = snn4.run(norm, torch.zeros(3, 2, 3))
    with pytest.raises(StateError, match="of 4 steps got steps 3 to 4"):
        snn4.run(norm, torch.zeros(2, 2, 3), state)
    with pytest.raises(ShapeError, match="3 channels"):
        norm(torch.zeros(4, 2, 5))
    with pytest.raises(ShapeError):
        norm(torch.zeros(4, 3))
    for sizes in ((0, 4), (3, 0)):
        with pytest.raises(OptionError, match="both >= 1"):
            layer(*sizes)
    with pytest.raises(OptionError, match="eps"):
        nn.BNTT1d(3, 4, eps=0.0)


def test_networks_take_them_as_their_norm():
    for norm in (nn.TEBN2d, nn.BNTT2d):
        net = models.sew_resnet18(1, 3, nn.IF, small=True, norm=lambda channels, norm=norm: norm(channels, steps=3))
        assert net(torch.rand(3, 2, 1, 8, 8)).shape == (3, 2, 3)
        block = models.SEWBlock(8, 8, 1, nn.IF, lambda channels, norm=norm: norm(channels, steps=3))
        x = torch.randint(2, (3, 2, 8, 4, 4)).float()
        assert torch.equal(block(x), x)
