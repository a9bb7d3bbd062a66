"""Which samples validate, and in which order the others come: functions of a seed, of nothing else.

Neither consumes a random stream. A run that goes on in epoch 7 after a crash therefore sees the order that it would
have seen without the crash, and two machines see the same one.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.data.dataset import Split

__all__ = ["hold_out", "order"]

# so that an order and a hold-out of the same seed have nothing in common
_ORDER, _HOLD_OUT = 0, 1


def order(n: int, seed: int, epoch: int) -> Tensor:
    """The order of `n` samples in one epoch, a function of seed and epoch.

    Args:
        n: number of samples.
        seed: not negative.
        epoch: counted from 0.

    Shape:
        (n,), int64: every number from 0 to n - 1 once.

    Raises:
        OptionError: a negative argument.

    Example:
        >>> order(5, seed=0, epoch=0).tolist() == order(5, seed=0, epoch=0).tolist()
        True
        >>> sorted(order(5, seed=0, epoch=1).tolist())
        [0, 1, 2, 3, 4]
    """
    if n < 0 or epoch < 0:
        raise OptionError(f"order got n = {n} and epoch = {epoch}", "numbers that are not negative")
    return torch.from_numpy(_permutation(n, _ORDER, epoch, seed))


def hold_out(split: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """Set a part aside for validation, of every class the same share.

    The validation part has `round(fraction * N)` samples; every class gives its share rounded down or up (those with
    the largest remainders up). Both parts keep the order of `split`, and together they are `split`.

    Args:
        split: what to cut, usually the training split.
        fraction: share of the validation part, between 0 and 1.
        seed: which samples; not negative.

    Returns:
        The rest (to train on) and the validation part.

    Raises:
        OptionError: a fraction outside (0, 1), or one that leaves a part empty.

    Example:
        >>> whole = Split(torch.arange(10.0)[:, None], torch.tensor([0] * 6 + [1] * 4))
        >>> train, val = hold_out(whole, 0.5, seed=0)
        >>> train.targets.tolist(), val.targets.tolist()
        ([0, 0, 0, 1, 1], [0, 0, 0, 1, 1])
    """
    size = round(fraction * len(split)) if 0 < fraction < 1 else 0
    if not 0 < size < len(split):
        raise OptionError(
            f"hold_out got fraction {fraction} of {len(split)} samples",
            "a fraction between 0 and 1 that leaves at least one sample in either part",
            "0.1 is usual.",
        )
    targets = split.targets.cpu().numpy()
    if targets.ndim > 1:
        # a class a step: the sample as a whole has none, and all count alike
        targets = np.zeros(len(targets), np.int64)
    classes, counts = np.unique(targets, return_counts=True)
    share = counts * (size / len(split))
    quota = np.floor(share).astype(np.int64)
    # stable, so that classes with equal remainders are served in the order of their numbers
    quota[np.argsort(quota - share, kind="stable")[: size - quota.sum()]] += 1
    held = np.zeros(len(split), dtype=bool)
    for label, some in zip(classes, quota, strict=True):
        members = np.flatnonzero(targets == label)
        held[members[_permutation(len(members), _HOLD_OUT, int(label), seed)[:some]]] = True
    return split.take(torch.from_numpy(np.flatnonzero(~held))), split.take(torch.from_numpy(np.flatnonzero(held)))


def _permutation(n: int, *words: int) -> NDArray[np.int64]:
    """A permutation drawn from `words`; of `RandomState`, because that one is the same in every version of numpy."""
    if min(words) < 0:
        raise OptionError(f"got the seed or class {min(words)}", "numbers that are not negative")
    # the seed comes last: it alone may need more than one 32-bit word
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(words))).permutation(np.arange(n))
