"""What can be done with a run folder afterwards: read its options, evaluate, profile, report."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any

import torch

from snn4.core.errors import CheckpointError, OptionError
from snn4.core.files import read_json
from snn4.data import load
from snn4.profiling import Comparison, Profile
from snn4.profiling import compare as side_by_side
from snn4.profiling import profile as profile_network
from snn4.recipes.comparison import FILES, PROFILED, SCHEMA, Experiment, deployed, make_networks, make_tasks
from snn4.recipes.recipe import Recipe, get
from snn4.training import Task, evaluate, load_weights
from snn4.view import write_report, write_study

__all__ = ["evaluate_folder", "profile_folder", "read_config", "rebuilt", "report_folder", "study_result"]


def read_config(folder: Path) -> tuple[Recipe, Any]:
    """The recipe of a run folder, and the options that it was started with.

    Raises:
        CheckpointError: config.json is missing, damaged, of another version, or its options do not exist any more.
    """
    path = folder / "config.json"
    try:
        kept = read_json(path)
        schema, name, options = kept["schema"], kept["recipe"], kept["config"]
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as cause:
        raise CheckpointError(
            f"{path} cannot be read ({cause})", "the options of a run, as snn4 run writes them", "Start the run again."
        ) from cause
    if schema != SCHEMA:
        raise CheckpointError(
            f"{path} has the version {schema}", f"version {SCHEMA}", "Use the snn4 release that wrote it, or run again."
        )
    try:
        recipe = get(name)
        return recipe, rebuilt(recipe.config, options)
    except (OptionError, TypeError, ValueError) as cause:
        raise CheckpointError(
            f"{path} does not fit this version of snn4 ({cause})",
            "options that the recipe knows",
            "Use the snn4 release that wrote it, or run again.",
        ) from cause


def rebuilt(kind: Any, options: Any) -> Any:
    """A dataclass from what `dataclasses.asdict` and JSON made of it.

    Raises:
        TypeError: a field that there is not, or a value of another type.
    """
    if not isinstance(options, dict):
        raise TypeError(f"{kind.__name__} is {type(options).__name__}")
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for name, value in typing.cast("dict[str, Any]", options).items():
        if name not in hints:
            raise TypeError(f"{kind.__name__} has no option {name!r}")
        hint = hints[name]
        if dataclasses.is_dataclass(hint):
            value = rebuilt(hint, value)
        elif typing.get_origin(hint) is tuple and isinstance(value, list):
            value = tuple(typing.cast("list[Any]", value))
        elif not _fits(hint, value):
            raise TypeError(f"{kind.__name__}.{name} is {value!r}")
        values[name] = value
    return kind(**values)


def _fits(hint: Any, value: Any) -> bool:
    """Whether a JSON value can be of an annotated type; only what options are made of is looked at."""
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(one, value) for one in typing.get_args(hint))
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint) if isinstance(hint, type) else True


def _trained(
    folder: Path, data: Path | None, download: bool
) -> tuple[dict[str, torch.nn.Module], dict[str, Task], Any, Any]:
    """The trained networks of a run folder, with their task and data."""
    recipe, config = read_config(folder)
    if recipe.experiment is None:
        raise CheckpointError(
            f"{folder} is a run of {recipe.name}, a study of many networks",
            "the run of a comparison",
            "Its table and picture lie in the folder.",
        )
    experiment: Experiment = recipe.experiment(config)
    networks = make_networks(experiment, config)
    missing = [FILES[name] for name in networks if not (folder / FILES[name]).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder} holds no {', '.join(missing)}",
            "the weights of a finished run",
            f"Finish it with: snn4 resume {folder}",
        )
    for name, net in networks.items():
        load_weights(net, folder / FILES[name])
    networks["snn"] = deployed(networks["snn"])
    dataset = experiment.prepare(load(experiment.data, data, download=download))
    return networks, make_tasks(experiment, config, dataset), dataset, config


def evaluate_folder(folder: Path, data: Path | None, download: bool) -> dict[str, Any]:
    """Evaluate the trained networks of a run folder on the test split again.

    Args:
        folder: the run folder.
        data: folder of the data sets, or None for the usual places.
        download: fetch what is missing.

    Raises:
        CheckpointError: the run is not finished, or a file is damaged.
    """
    networks, tasks, dataset, config = _trained(folder, data, download)
    found = {name: evaluate(net, tasks[name], dataset.test, seed=config.seed) for name, net in networks.items()}
    return {
        name: {"test_accuracy": e.accuracy, "test_loss": e.loss, "accuracy_by_step": e.accuracy_by_step}
        for name, e in found.items()
    }


def profile_folder(folder: Path, data: Path | None = None, download: bool = False) -> Comparison:
    """Profile the trained networks of a run folder side by side, on test samples.

    Args:
        folder: the run folder.
        data: folder of the data sets, or None for the usual places.
        download: fetch what is missing.

    Raises:
        CheckpointError: the run is not finished, or a file is damaged.
    """
    networks, tasks, dataset, config = _trained(folder, data, download)
    profiles: dict[str, Profile] = {}
    for name, net in networks.items():
        xs = tasks[name].encode(dataset.test.inputs[:PROFILED], torch.Generator().manual_seed(config.seed))
        profiles[name] = profile_network(net, xs, batch_size=128)
    return side_by_side(profiles)


def study_result(folder: Path) -> dict[str, Any] | None:
    """What result.json of a run folder holds; None where it is no study's, missing or damaged."""
    try:
        result = read_json(folder / "result.json")
    except (OSError, ValueError):
        return None
    return typing.cast("dict[str, Any]", result) if isinstance(result, dict) and "study" in result else None


def report_folder(folder: Path, lang: str = "en") -> Path:
    """Write report.html of a run folder again, of a comparison or a study, from its results alone.

    Args:
        folder: the run folder.
        lang: of a comparison's page, "en" or "ja"; a study's is in English.

    Returns:
        The path of the page.

    Raises:
        CheckpointError: the run is not finished, its result is damaged, or a study's rows are of another version.
    """
    if not (folder / "result.json").is_file():
        raise CheckpointError(
            f"{folder} holds no result.json",
            "the result of a finished run",
            f"Finish it with: snn4 resume {folder}",
        )
    kept = study_result(folder)
    if kept is None:
        # what is damaged is told there
        return write_report(folder, lang=lang)
    try:
        recipe = get(kept["recipe"])
        if recipe.tables is None or recipe.draw is None:
            raise TypeError(f"{recipe.name} is a comparison")
        tables, pictures = recipe.tables(kept["study"]), recipe.draw(kept["study"])
        return write_study(folder, kept["title"], kept["command"], tables, pictures)
    except (OptionError, KeyError, TypeError) as cause:
        raise CheckpointError(
            f"{folder / 'result.json'} does not fit this version of snn4 ({type(cause).__name__}: {cause})",
            "the rows of a study, as it leaves them",
            f"Its tables and pictures lie in {folder}; use the snn4 release that wrote it for the page.",
        ) from cause
