"""Ctrl-C, SIGTERM and the end of a time limit end a run at the next whole step, with everything saved."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import FrameType, TracebackType
from typing import Any, Self

from snn4.core.errors import OptionError

__all__ = ["Interrupted", "OutOfTime", "StopAsked", "Stopper", "TimeUp", "time_limit"]

_deadline: ContextVar[float] = ContextVar("_deadline", default=math.inf)


class Interrupted(KeyboardInterrupt):
    """The run was stopped from outside; what to do to go on stands in the message."""


class OutOfTime(Interrupted):
    """The run was stopped by its `time_limit`; what to do to go on stands in the message."""


class StopAsked(Exception):  # noqa: N818 (nothing is wrong)
    """Raised between two steps after a stop was asked for."""


class TimeUp(StopAsked):
    """Raised between two steps after the end of the `time_limit`."""


@contextlib.contextmanager
def time_limit(minutes: float | None) -> Iterator[None]:
    """Inside, every training stops after so long with everything saved, as if Ctrl-C was pressed.

    For machines that are lent for minutes: a run is cut into calls, and the same call goes on. What a step, a
    checkpoint and the reading of data take comes on top: leave some seconds.

    Args:
        minutes: from now on; None for no limit. A limit inside another one can only be the earlier of both.

    Raises:
        OptionError: not a number above 0.

    Example:
        >>> import torch
        >>> from snn4.data import Split
        >>> from snn4.training import FitConfig, Task, fit
        >>> task = Task(lambda x, _: x[None], lambda ys: ys.mean(0), torch.nn.functional.cross_entropy)
        >>> split = Split(torch.eye(2), torch.tensor([0, 1]))
        >>> try:
        ...     with time_limit(1e-6):
        ...         fit(torch.nn.Linear(2, 2), task, split, split, FitConfig(epochs=9), seed=0, progress=False)
        ... except OutOfTime as stop:
        ...     print(stop)
        stopped in epoch 1, after step 1; nothing is kept, because fit() got no folder.
    """
    if minutes is not None and not 0 < minutes < math.inf:
        raise OptionError(f"the time limit is {minutes} minutes", "a number above 0, or None for no limit")
    end = math.inf if minutes is None else time.monotonic() + 60 * minutes
    token = _deadline.set(min(end, _deadline.get()))
    try:
        yield
    finally:
        _deadline.reset(token)


class Stopper:
    """Inside, a first Ctrl-C or SIGTERM is remembered for `check`; a second one ends at once, as usual.

    Signals belong to the main thread: in another one nothing is caught.

    Args:
        say: where to tell the user that the wish was heard.

    Example:
        >>> import os
        >>> with Stopper(lambda text: None) as stopper:
        ...     stopper.check()
        ...     signal.raise_signal(signal.SIGTERM)
        ...     stopper.check()
        Traceback (most recent call last):
        snn4.training.interruption.StopAsked
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._asked = say, False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()

    def check(self) -> None:
        """Raise `StopAsked` if a stop was asked for, `TimeUp` if the time is over."""
        if self._asked:
            raise StopAsked
        if time.monotonic() >= _deadline.get():
            raise TimeUp

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
        self._give_back()
        # a signal may come in the middle of a write to the same stream
        with contextlib.suppress(RuntimeError):
            self._say("Stopping after this step; once more stops at once, without saving.")

    def _give_back(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            # None: the handler was not set from Python, and cannot be given back
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
