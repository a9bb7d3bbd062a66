from __future__ import annotations

import pytest
import torch
from torch.nn.functional import pad

from snn4.core.errors import OptionError, ShapeError
from snn4.data import Cutout, Flip, Shift, Stretch, compose, order

MEMBERS = [
    Shift(0),
    Shift(1),
    Shift(2, fill=7),
    Flip(),
    Cutout(1),
    Cutout(3, fill=9),
    Stretch(0.2, 0.1, by=(1, 1)),
    compose(Shift(1), Flip()),
]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(batch: int, channels: int = 2, height: int = 4, width: int = 5) -> torch.Tensor:
    """The same image in every sample, all its pixels different and none of them 0."""
    image = torch.arange(1, channels * height * width + 1, dtype=torch.uint8).reshape(channels, height, width)
    return image.expand(batch, -1, -1, -1).clone()


@pytest.mark.parametrize("member", MEMBERS, ids=repr)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_shape_and_type_are_kept_and_the_input_is_left_alone(member, dtype):
    x = numbered(6).to(dtype)
    before = x.clone()
    y = member(x, generator())
    assert y.shape == x.shape
    assert y.dtype == dtype
    assert torch.equal(x, before)
    assert torch.equal(y, member(x, generator()))
    assert member(x[:0], generator()).shape == (0, 2, 4, 5)


@pytest.mark.parametrize("member", [Shift(2), Flip(), Cutout(2), Stretch(0.5, 0.5)], ids=repr)
def test_every_sample_has_its_own_draw_and_the_global_generator_is_left_alone(member):
    state = torch.get_rng_state()
    y = member(numbered(64), generator())
    assert len({tuple(image.flatten().tolist()) for image in y}) > 1
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(y, member(numbered(64), generator(1)))


@pytest.mark.parametrize("member", MEMBERS, ids=repr)
def test_samples_do_not_meet(member):
    x = numbered(5)
    other = x.clone()
    other[3] = 200
    same = [0, 1, 2, 4]
    assert torch.equal(member(x, generator())[same], member(other, generator())[same])


@pytest.mark.parametrize("pixels", [1, 2, 6])
def test_shift_is_a_crop_of_the_padded_image_and_reaches_every_place(pixels):
    x = numbered(1)
    padded = pad(x, (pixels,) * 4, value=99)
    places = [(row, column) for row in range(2 * pixels + 1) for column in range(2 * pixels + 1)]
    crops = {tuple(padded[0, :, r : r + 4, c : c + 5].flatten().tolist()) for r, c in places}
    moved = Shift(pixels, fill=99)(numbered(40 * len(places)), generator())
    assert {tuple(image.flatten().tolist()) for image in moved} == crops


def test_shift_is_even_over_the_places():
    x = torch.zeros(4000, 1, 3, 3)
    x[:, :, 1, 1] = 1
    # the bright pixel goes to each of nine places: mean 444, standard deviation 19.9
    counts = Shift(1)(x, generator()).sum(0).flatten()
    assert counts.sum() == 4000
    assert ((counts > 345) & (counts < 544)).all()


def test_flip_mirrors_left_and_right():
    x = numbered(400)
    mirrored = x.flip(3)
    y = Flip()(x, generator())
    chosen = (y == mirrored).flatten(1).all(1)
    assert ((y == x).flatten(1).all(1) ^ chosen).all()
    # mean 200, standard deviation 10
    assert 150 < chosen.sum() < 250
    assert torch.equal(Flip(1.0)(x, generator()), mirrored)
    assert torch.equal(Flip(0.0)(x, generator()), x)


@pytest.mark.parametrize("size", [1, 2, 3, 11])
def test_cutout_blanks_a_clipped_square_in_all_channels(size):
    expected = set()
    for y in range(4):
        for x in range(5):
            rows = [r for r in range(4) if y - size // 2 <= r < y - size // 2 + size]
            columns = [c for c in range(5) if x - size // 2 <= c < x - size // 2 + size]
            image = numbered(1)[0]
            for r in rows:
                for c in columns:
                    image[:, r, c] = 0
            expected.add(tuple(image.flatten().tolist()))
    cut = Cutout(size)(numbered(1000), generator())
    assert {tuple(image.flatten().tolist()) for image in cut} == expected


def test_compose_applies_in_order_with_one_generator():
    x = numbered(8)
    stream = generator()
    by_hand = Cutout(2)(Flip()(Shift(2)(x, stream), stream), stream)
    assert torch.equal(compose(Shift(2), Flip(), Cutout(2))(x, generator()), by_hand)
    assert compose()(x, generator()) is x
    assert compose(lambda x, g: x + 1, lambda x, g: x * 2)(torch.ones(1), generator()) == 4


def test_wrong_arguments_are_refused():
    with pytest.raises(OptionError, match="pixels = -1"):
        Shift(-1)
    with pytest.raises(OptionError, match="size = 0"):
        Cutout(0)
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(OptionError, match="probability"):
            Flip(p)
    for member in (Shift(1), Flip(), Cutout(1)):
        with pytest.raises(ShapeError, match="before it is encoded"):
            member(torch.zeros(8, 2, 1, 4, 4), generator())


def test_a_batch_is_drawn_and_augmented_the_same_in_every_run():
    x = torch.arange(20.0).reshape(20, 1, 1, 1).expand(-1, 1, 3, 3)
    batches = [Shift(1)(x[order(20, seed=3, epoch=1)[:8]], generator(5)) for _ in range(2)]
    assert torch.equal(*batches)


def test_stretch_of_nothing_changes_nothing():
    x = torch.rand(3, 2, 5, 7, generator=generator())
    assert torch.allclose(Stretch(0, 0)(x, generator()), x, atol=1e-6)


def test_stretch_scales_a_ramp_about_its_middle_and_moves_it():
    """A ramp of the rows stays one: its slope is the factor, its value in the middle the distance that it was moved."""
    rows = torch.arange(-10.0, 11.0, dtype=torch.float64)
    x = rows.reshape(1, 1, -1, 1).expand(200, 1, -1, 5)
    y = Stretch(0.3, 0.0, by=(2.0, 0.0))(x, generator())
    slope, middle = y[:, 0, 11, 2] - y[:, 0, 10, 2], y[:, 0, 10, 2]
    assert torch.allclose(y[:, 0, 8:13, 2], middle[:, None] + slope[:, None] * rows[8:13], atol=1e-9)
    assert slope.log().abs().max() <= 0.3
    assert slope.log().min() < -0.25
    assert slope.log().max() > 0.25
    assert 1.8 < middle.abs().max() <= 2.0


@pytest.mark.parametrize("wrong", [(-0.1, 0.0), (0.0, float("nan"))])
def test_stretch_refuses_what_is_no_size(wrong):
    with pytest.raises(OptionError, match="numbers of 0 or more"):
        Stretch(*wrong)
