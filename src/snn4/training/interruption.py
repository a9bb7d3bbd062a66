"""Ctrl-C and SIGTERM end a run at the next whole step, with everything saved."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["Interrupted", "StopAsked", "Stopper"]


class Interrupted(KeyboardInterrupt):
    """The run was stopped from outside; what to do to go on stands in the message."""


class StopAsked(Exception):  # noqa: N818 (nothing is wrong)
    """Raised between two steps after a stop was asked for."""


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
        """Raise `StopAsked` if a stop was asked for."""
        if self._asked:
            raise StopAsked

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
