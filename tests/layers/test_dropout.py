"""Dropout: one mask for a whole sequence."""

from __future__ import annotations

import pytest
import torch

from snn4 import OptionError, ShapeError, Stream, nn, run


@pytest.mark.parametrize(
    ("layer", "features"), [(nn.Dropout, (50,)), (nn.Dropout, (3, 4, 5)), (nn.Dropout2d, (20, 3, 3))]
)
def test_one_mask_for_all_steps(layer, features):
    y = layer(0.4)(torch.ones(9, 5, *features))
    assert torch.equal(y, y[:1].expand_as(y))
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.6).item()}


def test_the_items_of_a_batch_have_masks_of_their_own():
    y = nn.Dropout(0.5)(torch.ones(2, 8, 64))[0]
    assert len({tuple(row.tolist()) for row in y}) == 8


def test_whole_channels_are_dropped():
    y = nn.Dropout2d(0.5)(torch.ones(3, 4, 30, 5, 6))
    assert torch.equal(y, y[..., :1, :1].expand_as(y))


def test_the_share_that_is_dropped():
    y = nn.Dropout(0.3)(torch.ones(1, 100, 1000))
    # 100,000 draws: four standard deviations are 0.0058
    assert (y == 0).float().mean().item() == pytest.approx(0.3, abs=0.006)
    assert y.mean().item() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("layer", [nn.Dropout, nn.Dropout2d])
def test_the_mask_goes_on_over_chunks(layer):
    net, x = torch.nn.Sequential(layer(0.5)), torch.rand(8, 3, 20, 2) + 1
    y1, state = run(net, x[:3])
    y2, state2 = run(net, x[3:5], state)
    y3, _ = run(net, x[5:], state2)
    masks = torch.cat([y1, y2, y3]) / x
    assert torch.allclose(masks, masks[:1].expand_as(masks))
    assert torch.equal(state["0"].mask, state2["0"].mask)
    # a fresh sequence draws a fresh mask
    assert not torch.equal(run(net, x)[1]["0"].mask, state["0"].mask)


def test_carrying_a_mask_draws_nothing():
    net, x = nn.Dropout(0.5), torch.ones(4, 3, 20)
    _, state = run(net, x)
    before = torch.get_rng_state()
    run(net, x, state)
    assert torch.equal(before, torch.get_rng_state())


def test_a_stream_keeps_its_mask_until_reset():
    stream, x = Stream(nn.Dropout(0.5)), torch.ones(2, 3, 200)
    first = stream(x)
    assert torch.equal(stream(x), first)
    stream.reset()
    assert not torch.equal(stream(x), first)


def test_in_eval_mode_it_does_nothing():
    x = torch.randn(4, 3, 5)
    layer = nn.Dropout(0.9).eval()
    before = torch.get_rng_state()
    assert torch.equal(layer(x), x)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(nn.Dropout(0.0)(x), x)


def test_run_takes_a_network_whose_only_state_is_idle():
    # an ANN with dropout, in eval mode
    x = torch.randn(4, 3, 5)
    for net in (torch.nn.Sequential(nn.Linear(5, 2), nn.ReLU(), nn.Dropout(0.5)).eval(), nn.Dropout(0.0)):
        y, state = run(net, x)
        assert torch.equal(y, net(x))
        assert not state
        y, _ = run(net, x, state)
        assert torch.equal(y, net(x))


def test_eval_mode_keeps_a_mask_for_later():
    net, x = nn.Dropout(0.5), torch.ones(2, 3, 40)
    _, state = run(net, x)
    _, kept = run(net.eval(), x, state)
    assert torch.equal(kept[""].mask, state[""].mask)


def test_gradients_pass_where_the_mask_does():
    x = torch.ones(4, 2, 30, requires_grad=True)
    y = nn.Dropout(0.5)(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_the_same_seed_gives_the_same_mask():
    x = torch.ones(4, 2, 30)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        one = nn.Dropout(0.5)(x)
        torch.manual_seed(3)
        assert torch.equal(nn.Dropout(0.5)(x), one)


@pytest.mark.parametrize("p", [-0.1, 1.0, 2.0, float("nan")])
@pytest.mark.parametrize("layer", [nn.Dropout, nn.Dropout2d])
def test_what_is_no_probability_is_refused(layer, p):
    with pytest.raises(OptionError, match=layer.__name__):
        layer(p)


@pytest.mark.parametrize("training", [True, False])
def test_a_missing_time_axis_is_refused(training):
    with pytest.raises(ShapeError, match="Dropout got x"):
        nn.Dropout(0.5).train(training)(torch.zeros(3, 4))
