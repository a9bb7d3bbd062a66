"""Models by name."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from snn4.core.errors import OptionError, suggest

__all__ = ["builder", "create", "names", "register"]

Build = TypeVar("Build", bound=Callable[..., torch.nn.Module])

_builders: dict[str, Callable[..., torch.nn.Module]] = {}


def register(build: Build) -> Build:
    """Make a function that builds a network available under its own name."""
    _builders[build.__name__] = build
    return build


def names(pattern: str = "*") -> list[str]:
    """Names of all models that match a pattern with wildcards.

    Example:
        >>> names("sew*")
        ['sew_resnet18', 'sew_resnet34', 'sew_resnet50']
    """
    return sorted(fnmatch.filter(_builders, pattern))


def builder(name: str) -> Callable[..., torch.nn.Module]:
    """The function that builds a model.

    Raises:
        OptionError: there is no such model.

    Example:
        >>> builder("mlp").__name__
        'mlp'
    """
    if name not in _builders:
        raise OptionError(f"the model {name!r}", "a known model", suggest(name, names()))
    return _builders[name]


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
        >>> net = create("sew_resnet18", neuron=torch.nn.ReLU, classes=10, small=True)
    """
    return builder(name)(*args, **options)
