"""tdBN, and what norms over time take their statistics over."""

from __future__ import annotations

import math

import pytest
import torch

from snn4 import OptionError, nn


def inputs(*features):
    return torch.randn(4, 6, *features, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3 + 1


@pytest.mark.parametrize("alpha", [1.0, 1 / math.sqrt(2)])
@pytest.mark.parametrize("v_threshold", [0.5, 1.0, 2.0])
def test_the_output_fits_the_threshold(v_threshold, alpha):
    y = nn.TdBN2d(3, v_threshold, alpha, eps=1e-30).double()(inputs(3, 5, 5))
    for c in range(3):
        assert y[:, :, c].mean().item() == pytest.approx(0, abs=1e-10)
        assert y[:, :, c].std(correction=0).item() == pytest.approx(alpha * v_threshold, rel=1e-10)


@pytest.mark.parametrize(("layer", "features"), [(nn.TdBN1d, (3,)), (nn.TdBN1d, (3, 7)), (nn.TdBN2d, (3, 4, 5))])
def test_the_formula(layer, features):
    x = inputs(*features)
    norm = layer(3, v_threshold=0.7, alpha=0.5).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
        norm.bias.copy_(torch.tensor([-1.0, 0.5, 4.0]))
    shape = (1, 1, 3) + (1,) * (len(features) - 1)
    axes = [0, 1, *range(3, x.ndim)]
    mean, var = x.mean(axes, keepdim=True), x.var(axes, correction=0, keepdim=True)
    expected = norm.weight.view(shape) * 0.35 * (x - mean) / (var + 1e-5).sqrt() + norm.bias.view(shape)
    assert torch.allclose(norm(x), expected, rtol=1e-10, atol=1e-12)
    # eval mode: with the running statistics, after one step of momentum 0.1 from (0, 1)
    norm.eval()
    running_mean, running_var = 0.1 * mean, 0.9 + 0.1 * x.var(axes, correction=1, keepdim=True)
    expected = norm.weight.view(shape) * 0.35 * (x - running_mean) / (running_var + 1e-5).sqrt() + norm.bias.view(shape)
    assert torch.allclose(norm(x), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("layer", "features"), [(nn.BatchNorm1d, (3,)), (nn.BatchNorm2d, (3, 4, 5)), (nn.BatchNorm3d, (3, 2, 3, 2))]
)
def test_batch_statistics_are_taken_over_time_batch_and_space(layer, features):
    x = inputs(*features)
    norm = layer(3).double()
    y = norm(x)
    axes = [0, 1, *range(3, x.ndim)]
    mean, var = x.mean(axes), x.var(axes, correction=0)
    shape = (1, 1, 3) + (1,) * (len(features) - 1)
    assert torch.allclose(y, (x - mean.view(shape)) / (var.view(shape) + 1e-5).sqrt(), rtol=1e-10)
    assert torch.allclose(norm.running_mean, 0.1 * mean)
    assert torch.allclose(norm.running_var, 0.9 + 0.1 * x.var(axes, correction=1))
    assert norm.num_batches_tracked.item() == 1


@pytest.mark.parametrize("options", [{"v_threshold": 0.0}, {"alpha": -1.0}, {"affine": False}])
@pytest.mark.parametrize("layer", [nn.TdBN1d, nn.TdBN2d])
def test_what_makes_no_sense_is_refused(layer, options):
    with pytest.raises(OptionError, match=layer.__name__):
        layer(3, **options)


def nets():
    return torch.nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.LIF(), torch.nn.Sequential(nn.BatchNorm2d(3)))


def test_torch_s_conversion_is_refused():
    for net in (nets(), nn.BatchNorm2d(3), nn.TdBN2d(3)):
        with pytest.raises(OptionError, match=r"snn4.nn.SyncBatchNorm.convert_sync_batchnorm"):
            torch.nn.SyncBatchNorm.convert_sync_batchnorm(net)


def test_our_conversion_keeps_everything():
    net = nets().double()
    x = inputs(1, 5, 5)
    net(x)  # so that the statistics are no longer those of the start
    with torch.no_grad():
        net[1].weight.mul_(1.5)
    net.eval()
    expected = net(x)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(net)
    assert converted is net
    assert type(net[1]) is nn.SyncBatchNorm
    assert type(net[3][0]) is nn.SyncBatchNorm
    assert net[1].training is False
    assert net[1].weight.dtype == torch.float64
    assert torch.allclose(net(x), expected, rtol=1e-12)
    # alone, without other processes, it trains as batch norm does
    trained, other = nets().double(), nets().double()
    other.load_state_dict(trained.state_dict())
    nn.SyncBatchNorm.convert_sync_batchnorm(other)
    assert torch.allclose(trained(x), other(x), rtol=1e-12)
    assert torch.allclose(trained[1].running_mean, other[1].running_mean)


def test_our_conversion_of_a_single_layer():
    assert type(nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm1d(3))) is nn.SyncBatchNorm
    plain = nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm1d(3, affine=False, track_running_stats=False))
    assert plain.running_mean is None
    with pytest.raises(OptionError, match="TdBN2d, whose scale it would lose"):
        nn.SyncBatchNorm.convert_sync_batchnorm(torch.nn.Sequential(nn.TdBN2d(3)))


def test_a_foreign_batch_norm_inside_fold_is_converted_by_torch():
    net = torch.nn.Sequential(nn.Fold(torch.nn.BatchNorm2d(3)), nn.LIF())
    converted = torch.nn.SyncBatchNorm.convert_sync_batchnorm(net)
    assert type(converted[0].module) is torch.nn.SyncBatchNorm


@pytest.mark.parametrize("norm", [lambda: nn.TdBN2d(4, 0.5), lambda: nn.TEBN2d(4, 5), lambda: nn.BNTT2d(4, 5)])
def test_under_autocast_the_dtype_stays_that_of_the_input(norm):
    with torch.autocast("cpu", torch.bfloat16):
        ys = nn.Sequential(nn.Conv2d(2, 4, 3), norm())(torch.randn(5, 2, 2, 6, 6))
    assert ys.dtype == torch.bfloat16
