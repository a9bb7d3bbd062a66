"""What went wrong, told so that the reader can put it right.

    Snn4Error
    ├── ShapeError          (ValueError)    a tensor of the wrong shape, dtype or length in time
    ├── NotFiniteError      (ValueError)    NaN or infinity where a number is needed
    ├── OptionError         (ValueError)    an argument, option, recipe or member that does not exist or is out of range
    ├── StateError          (RuntimeError)  a state that does not belong to this network, batch or call
    ├── GraphError          (RuntimeError)  a gradient asked of a graph that is gone, or recomputed in the wrong place
    ├── DataFileError       (OSError)       a data file that is missing, damaged or truncated
    ├── CheckpointError     (OSError)       a checkpoint or run folder that cannot be read, or belongs to something else
    ├── StorageError        (OSError)       a folder that cannot be written, a disk that is full
    └── MissingLibraryError (ImportError)   an optional library that this call needs

Each says what came, what was expected and what to do. Each is also the built-in exception that a caller who does not
know snn4 would catch.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "CheckpointError",
    "DataFileError",
    "GraphError",
    "MissingLibraryError",
    "NotFiniteError",
    "OptionError",
    "ShapeError",
    "Snn4Error",
    "StateError",
    "StorageError",
    "suggest",
]


class Snn4Error(Exception):
    """Base of every error that snn4 raises on purpose.

    Args:
        came: what was found, with the object's name first: `"LIF got x of shape (32, 10)"`.
        expected: what would have been right: `"(T, B, *features)"`.
        advice: what to do about it, a full sentence.

    Example:
        >>> str(Snn4Error("LIF got x of shape (32, 10)", "(T, B, *features)", "Is the time axis missing?"))
        'LIF got x of shape (32, 10): expected (T, B, *features). Is the time axis missing?'
    """

    def __init__(self, came: str, expected: str, advice: str = "") -> None:
        self.came, self.expected, self.advice = came, expected, advice
        super().__init__(came, expected, advice)

    def __str__(self) -> str:
        return f"{self.came}: expected {self.expected}.{' ' * bool(self.advice)}{self.advice}"


class ShapeError(Snn4Error, ValueError):
    """A tensor of the wrong shape, dtype or length in time."""


class NotFiniteError(Snn4Error, ValueError):
    """NaN or infinity where a number is needed."""


class OptionError(Snn4Error, ValueError):
    """An argument, option, recipe or member that does not exist or is out of range."""


class StateError(Snn4Error, RuntimeError):
    """A state that does not belong to this network, batch or call."""


class GraphError(Snn4Error, RuntimeError):
    """A gradient asked of a graph that is gone, or recomputed in the wrong place."""


class DataFileError(Snn4Error, OSError):
    """A data file that is missing, damaged or truncated."""


class CheckpointError(Snn4Error, OSError):
    """A checkpoint or run folder that cannot be read, or that belongs to something else."""


class StorageError(Snn4Error, OSError):
    """A folder that cannot be written, or a disk that is full."""


class MissingLibraryError(Snn4Error, ImportError):
    """An optional library that this call needs."""


def suggest(name: str, known: Sequence[str]) -> str:
    """Advice for an unknown name: the nearest known ones, else all of them.

    Example:
        >>> suggest("mnits", ["mnist", "digits"])
        'Did you mean mnist?'
        >>> suggest("zzz", ["mnist", "digits"])
        'Known: digits, mnist.'
    """
    import difflib

    # compared without capitals: "lif" means LIF
    spelled = {one.lower(): one for one in known}
    near = [spelled[one] for one in difflib.get_close_matches(name.lower(), list(spelled), n=3)]
    if near:
        return f"Did you mean {' or '.join(near)}?"
    shown = sorted(known)[:30]
    return f"Known: {', '.join(shown)}{f' and {len(known) - 30} more' * (len(known) > 30)}."
