"""Options that a study settles itself. Whoever gives one of them is told, so that none is passed over in silence."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

from snn4.core.errors import OptionError

__all__ = ["ROUTE", "settled"]

ROUTE = ("train.route", "train.route_settings", "train.online")
"""How the networks are differentiated through time."""


def settled(recipe: str, config: Any, names: Iterable[str], why: str) -> None:
    """Refuse options that stand otherwise than the study has them.

    Args:
        recipe: the study.
        config: its options.
        names: the options that it settles, as `train.route`.
        why: by what, a sentence.

    Raises:
        OptionError: one of them was given.

    Example:
        >>> from snn4.recipes.dsr import Config
        >>> settled("dsr", Config(), ROUTE, "Each network has a route of its own.")
    """
    usual = type(config)()
    for name in names:
        given, own = (operator.attrgetter(name)(options) for options in (config, usual))
        # names of members are read without regard to capitals
        if (given.lower() if isinstance(given, str) else given) != own:
            option = f"--{name.replace('_', '-')}"
            words = " ".join(map(str, given)) if isinstance(given, tuple) else str(given)
            raise OptionError(f"{recipe} got {option} {words}", f"no {option}, which it settles itself", why)
