"""A recipe: one experiment, one file, one dataclass of options.

The file of a recipe holds `Config` (a frozen dataclass with `seed` and `epochs`, and a class method `smoke()` for a run
of seconds), `TITLE`, `EXPECTED` (what its results must reach) and `main(config, ...)`; besides `experiment(config)` of
a comparison, `tables(rows)` and `draw(rows)` of a study. Everything else, the command line, the run folder and the list
of recipes, follows from it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from snn4.core.errors import OptionError, suggest

__all__ = ["Recipe", "get", "names"]

# in the order in which a newcomer should meet them
_NAMES = (
    "digits",
    "mnist",
    "fashion",
    "cifar10",
    "cifar10_resnet19_lsg",
    "cifar10_preact_dsr",
    "cifar10_resnet18_dalif",
    "cifar10_msresnet18_integer",
    "yinyang_times",
    "multispike_mnist",
    "single_spike_mnist",
    "multispike_fashion",
    "multispike_conv_mnist",
    "leak_study",
    "sltt_memory",
    "dsr",
    "online",
    "integer_lif",
    "tclif_sequence",
    "direct_training",
    "lsg_ablation",
    "dalif_ablation",
    "learning_dynamics",
    "trt",
    "braille",
    "radar",
    "ecg",
    "shd",
    "ecg_neurons",
    "shd_neurons",
)


class Main(Protocol):
    """What runs a recipe."""

    def __call__(
        self, config: Any, *, out: Path, resume: bool, progress: bool, lang: str, data: Path | None, download: bool
    ) -> dict[str, Any]:
        """Train, compare, report; returns what result.json holds."""
        ...


@dataclass(frozen=True)
class Recipe:
    """One experiment.

    Args:
        name: how the command line calls it.
        title: one line.
        config: the dataclass of its options.
        expected: figure -> what it must reach.
        main: runs it.
        experiment: from its options to the three networks; `None` for a study of many runs.
        tables: of a study, from its rows to heading and cells.
        draw: of a study, from its rows to heading and picture.
    """

    name: str
    title: str
    config: type[Any]
    expected: Mapping[str, Any]
    main: Main
    experiment: Callable[[Any], Any] | None = None
    tables: Callable[[Any], Mapping[str, Any]] | None = None
    draw: Callable[[Any], Mapping[str, Any]] | None = None

    def smoke(self) -> Any:
        """Options of a tiny run."""
        return self.config.smoke()

    def small(self) -> Any:
        """Options for a CPU, of a recipe that is written for a GPU.

        Raises:
            OptionError: the recipe has no others than its own.
        """
        make = getattr(self.config, "small", None)
        if make is None:
            raise OptionError(
                f"--small is given for {self.name}", "a recipe that is written for a GPU", "Leave it away."
            )
        return make()


def names() -> list[str]:
    """All recipes.

    Example:
        >>> names()[:4]
        ['digits', 'mnist', 'fashion', 'cifar10']
    """
    return list(_NAMES)


def get(name: str) -> Recipe:
    """A recipe by its name.

    Raises:
        OptionError: there is none.
    """
    if name not in _NAMES:
        raise OptionError(f"the recipe {name!r}", "a known recipe", suggest(name, names()))
    module = importlib.import_module(f"snn4.recipes.{name}")
    made = [vars(module).get(part) for part in ("experiment", "tables", "draw")]
    return Recipe(name, module.TITLE, module.Config, module.EXPECTED, module.main, *made)
