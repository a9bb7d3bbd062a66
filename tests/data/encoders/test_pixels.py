from __future__ import annotations

import pytest
import torch

from snn4.core.errors import NotFiniteError, OptionError, ShapeError
from snn4.data import Pixels


def test_the_pixels_come_in_reading_order():
    x = torch.arange(2 * 3 * 2 * 5.0).view(2, 3, 2, 5)
    y = Pixels(steps=10)(x)
    assert y.shape == (10, 2, 3)
    for t in range(10):
        assert torch.equal(y[t], x[:, :, t // 5, t % 5])


def test_one_permutation_for_all_images_and_calls():
    encoder = Pixels(steps=784, permutation=3)
    places = encoder.places()
    assert sorted(places.tolist()) == list(range(784))
    x = torch.rand(4, 1, 28, 28)
    y = encoder(x)
    assert torch.equal(y[:, :, 0], x.flatten(1)[:, places].T)
    assert torch.equal(encoder(x[:1]), y[:, :1])
    assert torch.equal(Pixels(steps=784, permutation=3)(x), y)
    assert not torch.equal(Pixels(steps=784, permutation=4)(x), y)
    assert not torch.equal(y, Pixels(steps=784)(x))
    # neighbours lie far apart: 784 / 3 for two places drawn at random
    assert (places[1:] - places[:-1]).abs().float().mean() == pytest.approx(784 / 3, rel=0.1)


def test_decoding_gives_the_image_back():
    x = torch.rand(2, 3, 4, 4)
    for permutation in (None, 0, 7):
        encoder = Pixels(16, permutation)
        assert torch.equal(encoder.decode(encoder(x)), x.flatten(2))


def test_the_permutation_of_a_seed_is_the_same_for_ever():
    # numpy's RandomState, which is frozen; published results on permuted images hang on it
    assert Pixels(8, 0).places().tolist() == [6, 3, 5, 0, 7, 2, 1, 4]


def test_what_does_not_fit_is_told():
    with pytest.raises(ShapeError, match="H W = 784"):
        Pixels(784)(torch.zeros(2, 1, 8, 8))
    with pytest.raises(ShapeError):
        Pixels(64)(torch.zeros(2, 64))
    with pytest.raises(ShapeError, match="floating point"):
        Pixels(64)(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
    with pytest.raises(NotFiniteError):
        Pixels(1)(torch.full((1, 1, 1, 1), float("nan")))
    with pytest.raises(OptionError):
        Pixels(0)
    with pytest.raises(OptionError, match="seed"):
        Pixels(4, -1)
