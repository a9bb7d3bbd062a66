from __future__ import annotations

from collections import Counter
from itertools import permutations
from math import ceil, floor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snn4.core.errors import OptionError
from snn4.data import Split, hold_out, order


def numbered(labels: list[int]) -> Split:
    """A split whose inputs are the positions."""
    return Split(torch.arange(len(labels)).float()[:, None], torch.tensor(labels))


@given(
    labels=st.lists(st.integers(0, 5), min_size=2, max_size=60),
    fraction=st.floats(0.05, 0.95),
    seed=st.integers(0, 2**40),
)
def test_hold_out_is_disjoint_complete_and_stratified(labels, fraction, seed):
    size = round(fraction * len(labels))
    if not 0 < size < len(labels):
        with pytest.raises(OptionError):
            hold_out(numbered(labels), fraction, seed)
        return
    rest, held = hold_out(numbered(labels), fraction, seed)
    parts = [[int(i) for i in part.inputs.flatten()] for part in (rest, held)]
    assert sorted(parts[0] + parts[1]) == list(range(len(labels)))
    assert parts == [sorted(part) for part in parts]
    assert [labels[i] for i in parts[1]] == held.targets.tolist()
    assert len(held) == size
    counts, total = Counter(held.targets.tolist()), Counter(labels)
    for label, number in total.items():
        share = number * size / len(labels)
        assert floor(share - 1e-9) <= counts[label] <= ceil(share + 1e-9)
    again = hold_out(numbered(labels), fraction, seed)[1]
    assert torch.equal(again.inputs, held.inputs)


def test_hold_out_depends_on_the_seed_and_draws_every_sample():
    split = numbered([0, 1] * 20)
    held = [frozenset(hold_out(split, 0.2, seed)[1].inputs.flatten().tolist()) for seed in range(60)]
    assert len(set(held)) > 50
    # a sample is missed by one seed with probability 0.8
    assert frozenset.union(*held) == set(range(40))


def test_the_largest_remainder_is_rounded_up():
    # shares 2.8 and 1.2 of four
    _, held = hold_out(numbered([0] * 7 + [1] * 3), 0.4, seed=0)
    assert held.targets.tolist() == [0, 0, 0, 1]


def test_hold_out_and_order_of_one_seed_have_nothing_in_common():
    for seed in range(5):
        held = set(hold_out(numbered([0] * 50), 0.2, seed)[1].inputs.flatten().tolist())
        assert held != set(order(50, seed, epoch=0)[:10].tolist())


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan"), 0.01])
def test_hold_out_refuses_what_leaves_a_part_empty(fraction):
    with pytest.raises(OptionError, match="fraction"):
        hold_out(numbered([0, 1, 0]), fraction, 0)


@given(n=st.integers(0, 200), seed=st.integers(0, 2**63), epoch=st.integers(0, 1000))
def test_order_is_a_permutation_and_a_function_of_its_arguments(n, seed, epoch):
    drawn = order(n, seed, epoch)
    assert drawn.dtype == torch.int64
    assert sorted(drawn.tolist()) == list(range(n))
    torch.rand(3)
    assert torch.equal(drawn, order(n, seed, epoch))


def test_every_order_is_equally_likely():
    seen = Counter(tuple(order(3, seed, epoch).tolist()) for seed in range(40) for epoch in range(60))
    # 2400 draws of 6 orders: mean 400, standard deviation 18.3; five of them on either side
    assert set(seen) == set(permutations(range(3)))
    assert all(308 < count < 492 for count in seen.values())


def test_order_changes_with_epoch_and_seed():
    orders = {tuple(order(50, seed, epoch).tolist()) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


def test_order_stays_the_same_from_version_to_version():
    # a run that is resumed with another version of numpy must go on in the same order
    assert order(8, seed=0, epoch=0).tolist() == [6, 3, 5, 0, 7, 2, 1, 4]
    assert order(8, seed=7, epoch=3).tolist() == [3, 0, 7, 6, 4, 5, 1, 2]


@pytest.mark.parametrize("arguments", [(-1, 0, 0), (3, -1, 0), (3, 0, -1)])
def test_order_refuses_negative_numbers(arguments):
    with pytest.raises(OptionError, match="-1"):
        order(*arguments)
