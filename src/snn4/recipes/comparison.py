"""The comparison that every recipe ends in: the SNN, the ANN of the same architecture, and the ANN's quantised twin.

All three get the same data, the same splits, the same recipe and the same number of epochs. The validation split
chooses the epoch; the test split is read once, at the very end, after all three are trained.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Generator

from snn4.core.errors import OptionError
from snn4.core.files import write_json
from snn4.data import DataSet, Split, hold_out, load
from snn4.layers import SpikingTwin, integer_levels
from snn4.profiling import latency, profile
from snn4.quantization import baked, bits_for_steps, quantised_twin
from snn4.recipes.beginning import First, begin, fit_configs, together
from snn4.recipes.options import NeuronOptions, TrainingOptions, command_line
from snn4.recipes.recipe import Main
from snn4.recipes.snapshot import write_snapshot
from snn4.recipes.tasks import make_task, shown
from snn4.through_time import use_route
from snn4.training import Evaluation, Fitted, Task, check_route, environment, evaluate, fit, save_weights
from snn4.view import write_report

__all__ = [
    "FILES",
    "Experiment",
    "ImageConfig",
    "RunConfig",
    "Timed",
    "compare",
    "deployed",
    "make_networks",
    "make_tasks",
    "measure",
    "runner",
    "splits",
    "threads",
]

FILES = {"snn": "model.safetensors", "ann": "ann.safetensors", "ann_quantised": "ann_quantised.safetensors"}
SCHEMA = 1
WEIGHT_BITS = 8
# enough to know a rate to a fraction of a percent, few enough to take seconds
PROFILED = 512


class RunConfig(Protocol):
    """What the options of every comparison have in common."""

    @property
    def seed(self) -> int:
        """Of everything random."""
        ...

    @property
    def epochs(self) -> int:
        """Passes over the training split."""
        ...

    @property
    def limit(self) -> int | None:
        """Use only so many training samples."""
        ...

    @property
    def train(self) -> TrainingOptions:
        """Of all three networks."""
        ...


class ImageConfig(RunConfig, Protocol):
    """What the options of a recipe over time steps have besides."""

    @property
    def steps(self) -> int:
        """Time steps of the SNN."""
        ...

    @property
    def neuron(self) -> NeuronOptions:
        """Of the SNN."""
        ...


class Build(Protocol):
    """Makes a network: the same architecture for any neuron."""

    def __call__(self, neuron: Callable[[], torch.nn.Module], steps: int) -> torch.nn.Module:
        """A fresh network, its weights drawn from torch's generator."""
        ...


@dataclasses.dataclass(frozen=True)
class Timed:
    """What differs where the SNN computes with spike times and not over time steps.

    Args:
        network: makes the SNN, its weights drawn from torch's generator.
        task: how it is trained; the ANN and its twin have the usual task.
        train: the training options of the ANN and its twin.
        activation_bits: of the quantised twin; there is no number of time steps to derive them from.
    """

    network: Callable[[], torch.nn.Module]
    task: Callable[[DataSet], Task]
    train: TrainingOptions
    activation_bits: int


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What a recipe adds to the common course.

    Args:
        recipe: its name.
        title: one line.
        data: name of the data set.
        validation: share of the training split that is set aside to choose by, unless the data set is published with
            such a part.
        architecture: in words.
        build: makes the networks.
        expected: figures that the results must reach.
        timed: of a network of spike times.
        task: how all three are trained, where they do not get one frame that is held.
        networks: which of the three are trained; the SNN is one of them.
        first: a cheaper beginning of the SNN's training.
        prepare: changes the data set before anything else sees it.
    """

    recipe: str
    title: str
    data: str
    validation: float
    architecture: str
    build: Build
    expected: Mapping[str, Any]
    timed: Timed | None = None
    task: Callable[[DataSet, TrainingOptions], Task] | None = None
    networks: tuple[str, ...] = tuple(FILES)
    first: First | None = None
    prepare: Callable[[DataSet], DataSet] = lambda data: data


def make_tasks(experiment: Experiment, config: RunConfig, data: DataSet) -> dict[str, Task]:
    """How each of the three networks is trained."""
    if experiment.timed is None:
        tasks = dict.fromkeys(FILES, (experiment.task or make_task)(data, config.train))
        if _shown_again(experiment, config):
            tasks["snn"] = shown(tasks["snn"], cast("ImageConfig", config).steps)
        return tasks
    usual = make_task(data, experiment.timed.train)
    return {"snn": experiment.timed.task(data), "ann": usual, "ann_quantised": usual}


def _shown_again(experiment: Experiment, config: RunConfig) -> bool:
    """Whether the one frame of a sample is shown at every step, because the network runs one step at a time."""
    return config.train.online != "no" and experiment.task is None


def make_networks(experiment: Experiment, config: RunConfig) -> dict[str, torch.nn.Module]:
    """The three networks, each with weights that follow from the seed alone.

    Raises:
        OptionError: options out of range, or neurons, layers and a route that do not go together.
    """

    def seeded(make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(Generator().manual_seed(config.seed).get_state())
            return make()

    def ann() -> torch.nn.Module:
        return experiment.build(torch.nn.ReLU, 1)

    bits = None
    if experiment.timed is not None:
        if config.train.route != "bptt" or config.train.online != "no":
            raise OptionError(
                f"{experiment.recipe} got --train.route {config.train.route} and --train.online {config.train.online}",
                "none: exact spike times have no steps that a route could go through",
                "Choose how their gradient is computed with --timing.method.",
            )
        snn, bits = experiment.timed.network, experiment.timed.activation_bits
    else:
        snn = _stepped(experiment, cast("ImageConfig", config))
    net = seeded(snn)
    # the opponent has as many values as the SNN can tell apart
    bits = bits or bits_for_steps(cast("ImageConfig", config).steps * (integer_levels(net) or 1))
    made = {"snn": lambda: net, "ann": lambda: seeded(ann)}
    made["ann_quantised"] = lambda: quantised_twin(seeded(ann), bits, WEIGHT_BITS)
    return {name: make() for name, make in made.items() if name in experiment.networks}


def deployed(net: torch.nn.Module) -> torch.nn.Module:
    """A trained network as it runs: integer neurons with binary spikes where they can, all others as they are."""
    if not integer_levels(net):
        return net
    try:
        return SpikingTwin(net)
    except OptionError:
        # a readout that leaks at every step, say, knows no virtual ones: such a network runs with counts
        return net


def _stepped(experiment: Experiment, config: ImageConfig) -> Callable[[], torch.nn.Module]:
    """An SNN over time steps."""
    if isinstance(config.steps, bool) or config.steps < 1:
        raise OptionError(f"--steps got {config.steps}", "a whole number >= 1", "8 is a good start.")
    neuron, route = config.neuron.factory(config.steps), config.train.through_time()
    held = 1 if _shown_again(experiment, config) else config.steps

    def snn() -> torch.nn.Module:
        net = use_route(experiment.build(neuron, held), route)
        check_route(net, config.train.online)
        return net

    return snn


def compare(
    experiment: Experiment,
    config: RunConfig,
    *,
    out: Path,
    resume: bool,
    progress: bool,
    lang: str,
    data: Path | None,
    download: bool,
) -> dict[str, Any]:
    """Train the three networks, test each once, and write the run folder.

    Args:
        experiment: the recipe's part.
        config: its options.
        out: the run folder.
        resume: go on with what the folder holds; without it the folder is new.
        progress: show progress bars.
        lang: of the report, "en" or "ja".
        data: folder of the data sets, or None for the usual places.
        download: fetch what is missing.

    Returns:
        What result.json holds.
    """
    networks, fits = make_networks(experiment, config), fit_configs(experiment, config)
    dataset = experiment.prepare(load(experiment.data, data, download=download))
    train, val = splits(dataset, experiment.validation, config)
    tasks = make_tasks(experiment, config, dataset)
    options: dict[str, Any] = dataclasses.asdict(config)  # pyright: ignore[reportArgumentType, reportCallIssue]
    with threads(config.train.threads):
        if not resume:
            write_json(out / "config.json", {"schema": SCHEMA, "recipe": experiment.recipe, "config": options})
            write_json(out / "environment.json", environment())
        how: dict[str, Any] = {"seed": config.seed, "folder": out, "progress": progress}
        how["identity"] = {"recipe": experiment.recipe, "options": options}
        fitted: dict[str, Fitted] = {}
        for name, net in networks.items():
            first = begin(experiment, config, name, net, tasks[name], (train, val), how)
            fitted[name] = together(first, fit(net, tasks[name], train, val, fits[name], name=name, **how))
            save_weights(net, out / FILES[name], {"recipe": experiment.recipe, "model": name, "seed": config.seed})
        levels, networks["snn"] = integer_levels(networks["snn"]), deployed(networks["snn"])
        twin = isinstance(networks["snn"], SpikingTwin)
        virtual = levels if levels and twin else 1
        # only now the test split is looked at
        tested = {name: evaluate(net, tasks[name], dataset.test, seed=config.seed) for name, net in networks.items()}
        models = {
            # what a network costs is counted, and its latency taken, on the CPU
            name: _model(experiment, config, fitted[name], tested[name], len(train))
            | measure(net.cpu(), tasks[name], dataset, config)
            for name, net in networks.items()
        }
        models["snn"]["accuracy_by_step"] = tested["snn"].accuracy_by_step
        if levels:
            run = "binary spikes" if twin else "counts"
            models["snn"]["architecture"] += f", trained with counts up to {levels}, run with {run}"
        result = {
            "schema": SCHEMA,
            "recipe": experiment.recipe,
            "title": experiment.title,
            "seed": config.seed,
            "steps": None if experiment.timed else cast("ImageConfig", config).steps * virtual,
            "command": command_line(experiment.recipe, config),
            "data": _about(dataset, train, val),
            **models,
            "expected": dict(experiment.expected) or None,
            "environment": environment(),
        }
    confusion = {name: evaluation.confusion for name, evaluation in tested.items()}
    write_snapshot(out, networks, tasks["snn"], dataset.test.take([0]), confusion)
    write_json(out / "result.json", result)
    write_report(out, lang=lang)
    return result


def _model(
    experiment: Experiment, config: RunConfig, fitted: Fitted, tested: Evaluation, samples: int
) -> dict[str, Any]:
    """How well a network does, and what its training took, validation and checkpoints included."""
    return {
        "architecture": experiment.architecture,
        "test_accuracy": tested.accuracy,
        "val_accuracy": fitted.val_accuracy,
        "train_seconds": fitted.seconds,
        "epochs": fitted.epochs_run,
        "best_epoch": fitted.best_epoch,
        "device": config.train.device,
        "samples_per_second": fitted.epochs_run * samples / fitted.seconds,
    }


def _about(dataset: DataSet, train: Split, val: Split) -> dict[str, Any]:
    """What a reader must know of the data."""
    return {
        "name": dataset.name,
        "train": len(train),
        "validation": len(val),
        "test": len(dataset.test),
        "classes": list(dataset.classes),
        "licence": dataset.licence,
        "about": dataset.about,
    }


def runner(experiment: Callable[[Any], Experiment]) -> Main:
    """The `main` of a recipe that is a comparison and nothing else.

    Args:
        experiment: from the recipe's options to its part of the common course.
    """

    def main(config: Any, **how: Any) -> dict[str, Any]:
        return compare(experiment(config), config, **how)

    return main


def measure(net: torch.nn.Module, task: Task, dataset: DataSet, config: RunConfig) -> dict[str, Any]:
    """What a trained network costs, on test samples: activity, operations, energy, latency."""
    some = dataset.test.inputs[: min(PROFILED, len(dataset.test))]
    xs = task.encode(some, torch.Generator().manual_seed(config.seed))
    # timed as it would be deployed: rounding the weights at every call belongs to training
    return {**profile(net, xs, batch_size=128).to_dict(), **latency(baked(net), xs).to_dict()}


@contextlib.contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let torch use so many CPU threads for a while."""
    if count is not None and count < 1:
        raise OptionError(f"--train.threads got {count}", "a whole number >= 1, or None for torch's own choice")
    before = torch.get_num_threads()
    try:
        if count is not None:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


def splits(dataset: DataSet, share: float, config: RunConfig) -> tuple[Split, Split]:
    """What is trained on and what chooses: the published part, or a share that is held out."""
    train = _limited(dataset.train, config)
    if dataset.validation is not None:
        return train, dataset.validation
    return hold_out(train, share, config.seed)


def _limited(split: Split, config: RunConfig) -> Split:
    """All of a split, or the first samples that the options allow."""
    if config.limit is None:
        return split
    if config.limit < 2:
        raise OptionError(f"--limit got {config.limit}", "at least 2 samples", "Leave it away to use all.")
    return split.take(torch.arange(min(config.limit, len(split))))
