"""What one synaptic layer did for each sample: operations, and words moved to and from memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Peak", "Work"]


class Work(NamedTuple):
    """Sums over the time steps, one number a sample. Whole numbers, exact in float64 up to 2^53.

    Args:
        dense: operations if no weight and no input were zero, taps on zero padding left out.
        taps: the same with those taps.
        macs: effective operations (weight and input not zero) of calls with an input outside {-1, 0, 1}.
        acs: effective operations of the other calls.
        dense_macs: `dense` of the calls that `macs` counts.
        paper_macs: operations that papers charge as MAC: `macs` of what no neuron has touched yet.
        paper_acs: operations that papers charge as AC; an integer k counts k times.
        in_words: input words read; of a call that is more than half zeros, the non-zero ones.
        out_words: output words written, likewise.
        weight_words: weights read as the published memory model counts: once a call, or for every input event.
        use_words: weights read when every use reads them anew.
        address_adds: additions that compute addresses.
        address_macs: multiplications and additions that compute addresses.
    """

    dense: Tensor
    taps: Tensor
    macs: Tensor
    acs: Tensor
    dense_macs: Tensor
    paper_macs: Tensor
    paper_acs: Tensor
    in_words: Tensor
    out_words: Tensor
    weight_words: Tensor
    use_words: Tensor
    address_adds: Tensor
    address_macs: Tensor

    @classmethod
    def zero(cls, samples: int) -> Work:
        """No work for `samples` samples."""
        return cls(*(torch.zeros(samples, dtype=torch.float64) for _ in cls._fields))

    def plus(self, other: Work) -> Work:
        """The sum, sample by sample."""
        return Work(*(a + b for a, b in zip(self, other, strict=True)))

    def times(self, factor: float) -> Work:
        """The work done `factor` times."""
        return Work(*(a * factor for a in self))

    @classmethod
    def join(cls, parts: Sequence[Work]) -> Work:
        """The work of several batches of samples, one after the other."""
        return cls(*(torch.cat(column) for column in zip(*parts, strict=True)))


class Peak(NamedTuple):
    """The most words that one call (one step of one sample) moved, for each sample.

    Args:
        in_words: of the input.
        out_words: of the output.
        weight_words: of the weights.
    """

    in_words: Tensor
    out_words: Tensor
    weight_words: Tensor

    @classmethod
    def zero(cls, samples: int) -> Peak:
        """No call yet."""
        return cls(*(torch.zeros(samples, dtype=torch.float64) for _ in cls._fields))

    def largest(self, other: Peak) -> Peak:
        """The larger of the two, sample by sample."""
        return Peak(*(torch.maximum(a, b) for a, b in zip(self, other, strict=True)))

    @classmethod
    def join(cls, parts: Sequence[Peak]) -> Peak:
        """The peaks of several batches of samples, one after the other."""
        return cls(*(torch.cat(column) for column in zip(*parts, strict=True)))
