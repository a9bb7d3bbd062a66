"""Delayed recall: remember a word through a silence, and repeat it when asked.

    steps       0 ... length - 1      length ... length + delay - 1      length + delay ... 2 length + delay - 1
    input       the symbols           nothing                            the cue at the first of them
    wanted      -                     -                                  the symbols, in the same order

Whoever forgets can only guess: with k symbols 1 / k of the answers are right.

Paper: [hochreiter1997lstm, arjovsky2016unitary], the copying problem of the second; for length 1 the store and recall
of [bellec2018lsnn].
Differs from the papers: a class is wanted only where the word is repeated; silence has no symbol of its own.
"""

from __future__ import annotations

import torch
from torch import Generator

from snn4.core.errors import OptionError
from snn4.data.dataset import Split

__all__ = ["delayed_recall"]


def delayed_recall(samples: int, delay: int, generator: Generator, *, symbols: int = 8, length: int = 1) -> Split:
    """Fresh samples of the delayed recall task.

    Args:
        samples: how many.
        delay: silent steps between the word and the cue.
        generator: of the random numbers.
        symbols: how many different ones there are.
        length: of the word.

    Returns:
        Inputs (samples, 2 length + delay, symbols + 1), float32: a spike for each symbol, and the cue in the last
        channel. Targets (samples, 2 length + delay), -1 where no answer is wanted.

    Raises:
        OptionError: a negative delay, another number below 1, or a single symbol.

    Example:
        >>> split = delayed_recall(2, delay=3, generator=torch.Generator().manual_seed(0), symbols=4)
        >>> split.inputs[0].T.int().tolist()
        [[1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]]
        >>> split.targets[0].tolist()
        [-1, -1, -1, -1, 0]
    """
    if samples < 1 or delay < 0 or length < 1 or symbols < 2:
        raise OptionError(
            f"delayed_recall got samples={samples}, delay={delay}, symbols={symbols}, length={length}",
            "samples and length of at least 1, symbols of at least 2, delay of at least 0",
        )
    word = torch.randint(symbols, (samples, length), generator=generator, device=generator.device)
    steps = 2 * length + delay
    inputs = torch.zeros(samples, steps, symbols + 1, device=word.device)
    inputs[:, :length].scatter_(2, word[:, :, None], 1.0)
    inputs[:, length + delay, symbols] = 1.0
    targets = torch.full((samples, steps), -1, device=word.device)
    targets[:, length + delay :] = word
    return Split(inputs, targets)
