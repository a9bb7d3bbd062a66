"""Delayed recall and the adding problem, checked sample by sample in plain Python."""

from __future__ import annotations

import pytest
import torch

from snn4.core.errors import OptionError
from snn4.data import adding, delayed_recall


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("delay", "symbols", "length"), [(0, 2, 1), (7, 5, 1), (10, 8, 4)])
def test_delayed_recall_asks_for_the_word_in_its_order(delay, symbols, length):
    split = delayed_recall(50, delay, generator(), symbols=symbols, length=length)
    assert split.inputs.shape == (50, 2 * length + delay, symbols + 1)
    for inputs, targets in zip(split.inputs.tolist(), split.targets.tolist(), strict=True):
        word = [step.index(1.0) for step in inputs[:length]]
        assert all(sum(step) == 1 and symbol < symbols for step, symbol in zip(inputs, word, strict=False))
        silent = inputs[length : length + delay] + inputs[length + delay + 1 :]
        assert all(sum(step) == 0 for step in silent)
        assert inputs[length + delay] == [0.0] * symbols + [1.0]
        assert targets == [-1] * (length + delay) + word
    assert set(split.targets.unique().tolist()) == {-1, *range(symbols)}


def test_adding_marks_one_number_in_each_half():
    split = adding(200, 31, generator(), levels=10)
    for inputs, target in zip(split.inputs.tolist(), split.targets.tolist(), strict=True):
        marked = [t for t, (_, mark) in enumerate(inputs) if mark]
        assert [mark for _, mark in inputs].count(1.0) == len(marked) == 2
        assert marked[0] < 15 <= marked[1]
        total = sum(inputs[t][0] for t in marked)
        assert target == min(int(total * 5), 9)
        assert all(0 <= number < 1 for number, _ in inputs)
    # every place can be marked
    assert split.inputs[..., 1].sum(0).min() > 0
    assert split.inputs.prod(-1).sum(1).max() < 2


def test_the_share_of_the_middle_levels():
    # of a triangular density on [0, 2): the level from 0.8 to 1 has the area (1 - 0.8^2) / 2 = 0.18
    levels = torch.bincount(adding(20_000, 2, generator()).targets, minlength=10) / 20_000
    expected = [0.02, 0.06, 0.1, 0.14, 0.18, 0.18, 0.14, 0.1, 0.06, 0.02]
    assert levels.tolist() == pytest.approx(expected, abs=0.012)


@pytest.mark.parametrize(
    "make", [lambda g: adding(8, 12, g), lambda g: delayed_recall(8, 4, g)], ids=["adding", "delayed_recall"]
)
def test_samples_follow_from_the_generator_alone(make):
    before = torch.get_rng_state()
    one, two, other = make(generator(1)), make(generator(1)), make(generator(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.inputs, two.inputs)
    assert torch.equal(one.targets, two.targets)
    assert not torch.equal(one.inputs, other.inputs)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: adding(0, 5, generator()),
        lambda: adding(3, 1, generator()),
        lambda: adding(3, 5, generator(), levels=1),
        lambda: delayed_recall(0, 3, generator()),
        lambda: delayed_recall(3, -1, generator()),
        lambda: delayed_recall(3, 3, generator(), symbols=1),
        lambda: delayed_recall(3, 3, generator(), length=0),
    ],
)
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(OptionError):
        wrong()
