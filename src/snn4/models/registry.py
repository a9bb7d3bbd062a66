"""Models by name."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from snn4.core.errors import OptionError, suggest

__all__ = ["create", "names", "register"]

Build = TypeVar("Build", bound=Callable[..., torch.nn.Module])

_builders: dict[str, Callable[..., torch.nn.Module]] = {}


def register(build: Build) -> Build:
    """Make a function that builds a network available under its own name."""
    _builders[build.__name__] = build
    return build


def names(pattern: str = "*") -> list[str]:
    """Names of all models that match a pattern with wildcards.

    Example:
        >>> names("ml*")
        ['mlp']
    """
    return sorted(fnmatch.filter(_builders, pattern))


def create(name: str, /, *args: Any, **options: Any) -> torch.nn.Module:
    """Build a model by its name.

    Args:
        name: one of `names()`.
        args: as the builder takes them.
        options: as the builder takes them.

    Raises:
        OptionError: there is no such model.

    Example:
        >>> create("mlp", 64, [32], 10)(torch.zeros(1, 2, 1, 8, 8)).shape
        torch.Size([1, 2, 10])
    """
    if name not in _builders:
        raise OptionError(f"the model {name!r}", "a known model", suggest(name, names()))
    return _builders[name](*args, **options)
