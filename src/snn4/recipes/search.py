"""Arms of an ablation with equal search budgets: as many candidates each, then the best one with several seeds."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from snn4.core.errors import OptionError
from snn4.models import conv_net
from snn4.recipes.comparison import Experiment
from snn4.recipes.options import NeuronOptions
from snn4.recipes.study import Study
from snn4.recipes.tables import Row
from snn4.recipes.trials import Trial, best, run_trials, seeds_of

__all__ = ["Arm", "compare_arms", "experiment_of", "folder_name", "quantities"]


@dataclasses.dataclass(frozen=True)
class Arm:
    """One side of an ablation.

    Args:
        labels: what it is, the first entries of its rows.
        candidates: what is searched: a word for each setting, and the neurons that it makes.
    """

    labels: Mapping[str, Any]
    candidates: Mapping[str, NeuronOptions]


def folder_name(*parts: object) -> str:
    """Parts as the name of a folder; the last one is the seed.

    Example:
        >>> folder_name("full", "LIF, ATan", 4, 0)
        'full-lif-atan-4-seed0'
    """
    *words, seed = parts
    return re.sub(r"[^a-z0-9.]+", "-", "-".join(map(str, words)).lower()).strip("-") + f"-seed{seed}"


def compare_arms(
    study: Study,
    arms: Sequence[Arm],
    config: Any,
    make: Callable[[Any, Mapping[str, Any]], Experiment],
    *,
    spread: Mapping[str, Sequence[Any]] | None = None,
) -> list[Row]:
    """Search each arm with one seed and the short budget, then train its best with all seeds and the full one.

    Args:
        study: where the trials run.
        arms: with equally many candidates.
        config: the study's options; has epochs, limit, full_epochs, full_limit, seed and seeds.
        make: from the options of a trial and its labels to its experiment.
        spread: options that the full part varies besides (not searched anew), each with its values.

    Raises:
        OptionError: the arms' budgets are not equal.
    """
    if len({len(arm.candidates) for arm in arms}) > 1:
        counts = {" ".join(map(str, arm.labels.values())): len(arm.candidates) for arm in arms}
        raise OptionError(f"the arms have {counts} candidates", "as many for each, for an equal search budget")

    def trial(arm: Arm, word: str, budget: str, seed: int, **changes: Any) -> Trial:
        one = dataclasses.replace(config, seed=seed, neuron=arm.candidates[word], **changes)
        labels = {**arm.labels, **{name: changes[name] for name in spread or {}}}
        labels |= {"setting": word, "budget": budget, "seed": seed}
        name = folder_name(*[value for key, value in labels.items() if key != "seed"], seed)
        return Trial(name, labels, make(one, labels), one, quantities)

    short = {"epochs": config.epochs, "limit": config.limit}
    full = {"epochs": config.full_epochs, "limit": config.full_limit}
    rows: list[Row] = []
    for arm in arms:
        first = {name: values[len(values) // 2] for name, values in (spread or {}).items()}
        chosen = next(iter(arm.candidates))
        if len(arm.candidates) > 1:
            tried = [trial(arm, word, "short", config.seed, **short, **first) for word in arm.candidates]
            found = run_trials(study, tried)
            rows += found
            chosen = next((row["setting"] for row in best(found, 1)), chosen)
        varied = _combinations(spread or {})
        rows += run_trials(
            study, [trial(arm, chosen, "full", seed, **full, **more) for more in varied for seed in seeds_of(config)]
        )
    return rows


def _combinations(spread: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{}]
    for name, values in spread.items():
        found = [{**one, name: value} for one in found for value in values]
    return found


def quantities(net: torch.nn.Module) -> dict[str, Any]:
    """What training has made of the neurons' and surrogates' learned quantities: path and name to mean.

    Example:
        >>> from snn4 import Learned, nn
        >>> quantities(torch.nn.Sequential(nn.LIF(tau=Learned(2.0))))
        {'learned': {'0.tau': 2.0}}
    """
    found: dict[str, float] = {}
    for path, module in net.named_modules():
        owner, _, name = path.rpartition(".")
        if name.startswith("learned_"):
            short = name.removeprefix("learned_")
            found[f"{owner}.{short}" if owner else short] = round(float(module().detach().mean()), 6)
    return {"learned": found} if found else {}


def experiment_of(recipe: str, title: str, config: Any) -> Experiment:
    """The convolutional network of studies on Fashion-MNIST.

    Args:
        recipe: its name.
        title: one line.
        config: has channels, hidden widths and steps.
    """

    def build(neuron: Callable[[], torch.nn.Module], steps: int) -> torch.nn.Module:
        return conv_net((1, 28, 28), config.channels, 10, neuron, steps=steps, dense=config.hidden)

    widths = "-".join(map(str, (*config.channels, *config.hidden, 10)))
    words = f"3 x 3 convolutions and dense {widths}, batch norm"
    return Experiment(recipe, title, "fashion", 1 / 6, words, build, {})
