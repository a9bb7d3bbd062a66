"""Activation checkpointing that knows the state.

torch.utils.checkpoint runs a part of the network again during backward(). Under `run` that part had states to start
from, which a second run from rest would miss. `checkpoint` keeps a snapshot of the session and re-enters it.

Paper: [chen2016checkpointing]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import ParamSpec, TypeVar

import torch
import torch.utils.checkpoint as torch_checkpoint

from snn4.through_time.session import Session, current, opened

__all__ = ["checkpoint"]

P = ParamSpec("P")
R = TypeVar("R")


def checkpoint(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `function` without keeping its activations; backward() computes them again.

    Works in a plain call and under `run`, with a state, in threads, and when backward() comes after `run` has returned.
    Inside `torch.compile` it is a plain call: the compiler makes its own choice of what to keep.

    Args:
        function: a module, or a function that calls modules.
        args: its arguments.
        kwargs: its keyword arguments.

    Example:
        >>> from snn4 import nn
        >>> part, x = torch.nn.Sequential(nn.Linear(3, 4), nn.LIF()), torch.randn(6, 1, 3)
        >>> torch.equal(checkpoint(part, x), part(x))
        True
    """
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return function(*args, **kwargs)
    session = current()

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        if session is None:
            return opened(None), opened(None)
        # the snapshot is taken before the first run changes the call counts
        return _allowed(session), opened(session.fork())

    result: R = torch_checkpoint.checkpoint(function, *args, use_reentrant=False, context_fn=contexts, **kwargs)
    return result


@contextmanager
def _allowed(session: Session) -> Iterator[None]:
    """Tell the session that the checkpoint around it is ours."""
    before, session.in_checkpoint = session.in_checkpoint, True
    try:
        yield
    finally:
        session.in_checkpoint = before
