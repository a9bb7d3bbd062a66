from __future__ import annotations

import pytest
import torch

from snn4.core.errors import OptionError, ShapeError
from snn4.data import normalise, unit


def test_unit_scales_bytes_and_leaves_floats():
    x = torch.arange(256, dtype=torch.uint8)
    assert unit(x).dtype == torch.float32
    assert unit(x).tolist() == [float(torch.tensor(i / 255)) for i in range(256)]
    half = torch.ones(3, dtype=torch.bfloat16)
    assert unit(half) is half
    with pytest.raises(ShapeError, match="int64"):
        unit(torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 4, 5), (6, 2, 3, 4, 5)])
def test_normalise_works_channel_by_channel(shape):
    x = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = (0.1, 0.2, 0.3), (1.0, 2.0, 4.0)
    y = normalise(x, mean, std)
    for channel in range(3):
        expected = (x.select(-3, channel).double() / 255 - mean[channel]) / std[channel]
        assert torch.allclose(y.select(-3, channel).double(), expected, atol=1e-6)


def test_one_mean_serves_any_shape_and_keeps_the_type():
    x = torch.tensor([0.25, 0.75], dtype=torch.float64)
    assert normalise(x, (0.5,), (0.25,)).tolist() == [-1.0, 1.0]
    assert normalise(x, (0.5,), (0.25,)).dtype == torch.float64


def test_normalised_training_images_have_mean_0_and_deviation_1():
    x = torch.randint(0, 256, (50, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    scaled = x / 255
    mean, std = scaled.mean((0, 2, 3)).tolist(), scaled.std((0, 2, 3)).tolist()
    y = normalise(x, mean, std)
    assert torch.allclose(y.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(y.std((0, 2, 3)), torch.ones(3), atol=1e-5)


def test_normalise_refuses():
    x = torch.zeros(2, 3, 4, 4)
    with pytest.raises(ShapeError, match="2 means"):
        normalise(x, (0.0, 0.0), (1.0, 1.0))
    with pytest.raises(ShapeError, match="3 means"):
        normalise(torch.zeros(3, 4), (0.0,) * 3, (1.0,) * 3)
    for mean, std in (((0.0,), (0.0,)), ((0.0,), (1.0, 1.0)), ((), ())):
        with pytest.raises(OptionError, match="normalise got mean"):
            normalise(x, mean, std)
