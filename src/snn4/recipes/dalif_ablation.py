"""DA-LIF taken apart: gain and decay learned or not, three parameterisations, beside PLIF; accuracy against T.

Arms of one neuron: none (a LIF whose input decays), gain alone, decay alone, and both, which is DA-LIF; both also with
the other two parameterisations; and PLIF, in which one number is both. Each has three first settings, the same for all
that have a gain; validation chooses at the middle T, and the chosen one is trained with several seeds at every T.

Data sets: Fashion-MNIST (a small convolutional network; the frame is held for T steps), the N-MNIST subset (the same
network) and SHD (an MLP); the frames of the two are averaged to T.

Paper: [zhang2025dalif]
Differs from the paper: small networks and data; its first settings, reset and surrogate are not published.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Generator, Tensor

from snn4.core.errors import OptionError
from snn4.data import DataSet
from snn4.models import conv_net, mlp
from snn4.objectives import cross_entropy
from snn4.recipes.comparison import Experiment
from snn4.recipes.fixed import settled
from snn4.recipes.options import NeuronOptions, TrainingOptions
from snn4.recipes.search import Arm, compare_arms, experiment_of
from snn4.recipes.study import Study, study_runner
from snn4.recipes.tables import COLUMNS, Cells, Column, Row, grouped, table
from snn4.recipes.trials import seeds_of
from snn4.training import Task
from snn4.view import pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPECTED", "TITLE", "Config", "arms", "experiment_of_set", "main"]

TITLE = "DA-LIF, its parts and its parameterisations, against LIF and PLIF"
# the source names no number that could be checked
EXPECTED: dict[str, float] = {}

Set = Literal["fashion", "nmnist", "shd"]
_TITLES = {"fashion": "Fashion-MNIST", "nmnist": "N-MNIST, subset", "shd": "SHD"}
# what is the validation part, and frames of events as they are stored: their shape and the number of classes
_EVENTS = {"nmnist": (0.15, (2, 34, 34), 10), "shd": (0.1, (140,), 20)}
_HALF = 0.5


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the study."""

    seed: int = 0
    """The first seed; searches have no other."""
    seeds: int = 3
    """How many, counted up from the first."""
    sets: tuple[Set, ...] = ("fashion", "nmnist", "shd")
    """Data sets. SHD needs some 4 GiB to be read."""
    steps: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of time steps; the search is made at the middle one."""
    gains: tuple[float, ...] = (0.5, 0.99, 0.75)
    """First gains that are searched, each with the decay at its place."""
    decays: tuple[float, ...] = (0.5, 0.5, 0.25)
    """First decays, at their places."""
    epochs: int = 5
    """Passes over the training split, in a search."""
    limit: int | None = 10_000
    """Use only so many training samples, in a search."""
    full_epochs: int = 10
    """Passes over the training split, in the runs that count."""
    full_limit: int | None = None
    """Use only so many training samples, in the runs that count."""
    channels: tuple[int, ...] = (16, 32, 32)
    """Channels of the stages of convolution; the first two halve the map."""
    hidden: tuple[int, ...] = (64,)
    """Widths of the hidden dense layers; SHD has two of twice the width."""
    neuron: NeuronOptions = dataclasses.field(default_factory=lambda: NeuronOptions(v_reset=0.0))
    """Threshold, reset and surrogate of all arms."""
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(weight_decay=0.05, autocast=True, threads=1)
    )

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(
            seeds=1,
            sets=("fashion",),
            steps=(2,),
            gains=(0.5,),
            decays=(0.5,),
            epochs=1,
            limit=128,
            full_epochs=1,
            full_limit=128,
            channels=(4, 8),
            hidden=(16,),
        )


@dataclasses.dataclass(frozen=True)
class _Stepped:
    """The options of one trial: those of the study, with one number of steps."""

    seed: int
    epochs: int
    limit: int | None
    steps: int
    channels: tuple[int, ...]
    hidden: tuple[int, ...]
    neuron: NeuronOptions
    train: TrainingOptions
    seeds: int
    full_epochs: int
    full_limit: int | None


def arms(config: Config, name: str) -> list[Arm]:
    """What is compared on one data set.

    Raises:
        OptionError: not as many first gains as first decays.
    """
    if len(config.gains) != len(config.decays) or not config.gains:
        raise OptionError(f"--gains got {config.gains} and --decays {config.decays}", "as many of both")
    starts = list(zip(config.gains, config.decays, strict=True))

    def dual(gain: str, decay: str, activation: str = "tanh") -> dict[str, NeuronOptions]:
        return {
            f"gain {a:g}, decay {b:g}": dataclasses.replace(
                config.neuron,
                kind="da_lif",
                settings=(f"alpha={gain}{a:g}", f"beta={decay}{b:g}", f"activation={activation}"),
            )
            for a, b in starts
        }

    learned = "learned:"
    made = {
        "LIF": dual("", ""),
        "gain learned": dual(learned, ""),
        "decay learned": dual("", learned),
        "DA-LIF, tanh": dual(learned, learned),
        "DA-LIF, sigmoid": dual(learned, learned, "sigmoid"),
        "DA-LIF, clamp": dual(learned, learned, "clamp"),
        # one number for both: its candidates are three first time constants
        "PLIF": {
            f"tau {tau:g}": dataclasses.replace(config.neuron, kind="plif", tau=tau)
            for tau in (2.0, 4 / 3, 4.0)[: len(starts)]
        },
    }
    return [Arm({"set": name, "arm": arm}, candidates) for arm, candidates in made.items()]


def experiment_of_set(name: str, config: Any) -> Experiment:
    """The network and the task on one data set.

    Args:
        name: fashion, nmnist or shd.
        config: has channels, hidden widths and steps.
    """
    if name == "fashion":
        return experiment_of("dalif_ablation", TITLE, config)
    share, shape, classes = _EVENTS[name]

    def build(neuron: Callable[[], torch.nn.Module], steps: int) -> torch.nn.Module:  # noqa: ARG001  (data has the time)
        if len(shape) == 3:
            return conv_net(shape, config.channels, classes, neuron, dense=config.hidden)
        widths = [2 * width for width in config.hidden] * 2
        return mlp(shape[0], widths, classes, neuron, norm=True)

    words = "a small convolutional network" if len(shape) == 3 else "an MLP, batch norm"
    return Experiment("dalif_ablation", TITLE, name, share, words, build, {}, task=_frames(config.steps))


def _frames(steps: int) -> Callable[[DataSet, TrainingOptions], Task]:
    """Stored frames, neighbours averaged until there are so many; the mean of the outputs over time."""

    def task(_data: DataSet, training: TrainingOptions) -> Task:
        def encode(batch: Tensor, _generator: Generator) -> Tensor:
            flat = batch.flatten(2).float()
            pooled = torch.nn.functional.adaptive_avg_pool1d(flat.transpose(1, 2), steps)
            return pooled.permute(2, 0, 1).unflatten(2, batch.shape[2:])

        def loss(logits: Tensor, targets: Tensor) -> Tensor:
            return cross_entropy(logits, targets, label_smoothing=training.label_smoothing)

        return Task(encode, lambda ys: ys.mean(0), loss)

    return task


def carry_out(study: Study, config: Config) -> dict[str, Any]:
    """Search and train every arm on every data set; write tables, pictures and the page."""
    seeds_of(config)
    if not config.steps or min(config.steps) < 1:
        raise OptionError(f"--steps got {config.steps}", "whole numbers >= 1")
    parts = [f"neuron.{name}" for name in ("kind", "settings", "tau", "learn_tau", "decay")]
    settled("dalif_ablation", config, parts, "Its arms are DA-LIF, with --gains and --decays, and PLIF.")
    made = {name: arms(config, name) for name in config.sets}
    study.begin()
    own = {field.name for field in dataclasses.fields(_Stepped)} - {"steps"}
    one = _Stepped(steps=config.steps[0], **{key: getattr(config, key) for key in own})

    def make(options: Any, labels: Mapping[str, Any]) -> Experiment:
        return experiment_of_set(labels["set"], options)

    rows: list[Row] = []
    for name in config.sets:
        rows += compare_arms(study, made[name], one, make, spread={"steps": config.steps})
    rows = with_added(rows)
    return study.end(rows, tables(rows), draw(rows))


main = study_runner("dalif_ablation", TITLE, carry_out)


def with_added(rows: Sequence[Row]) -> list[Row]:
    """Rows with the number of parameters that the arm adds to LIF."""
    lif = {row["set"]: row["parameters"] for row in rows if row["arm"] == "LIF" and "parameters" in row}
    return [
        {**row, "added_parameters": row["parameters"] - lif[row["set"]]}
        if "parameters" in row and row["set"] in lif
        else row
        for row in rows
    ]


def tables(rows: Sequence[Row]) -> dict[str, Cells]:
    """One table for each data set, and the search."""
    added = Column("added_parameters", "added parameters", 1, 0)
    columns = (added, *COLUMNS)
    found: dict[str, Cells] = {}
    for budget, by in (
        ("full", {"arm": "arm", "steps": "T", "setting": "chosen"}),
        ("short", {"arm": "arm", "setting": "setting"}),
    ):
        for name in dict.fromkeys(row["set"] for row in rows):
            some = [row for row in rows if row["set"] == name and row["budget"] == budget]
            if some:
                found[_TITLES[name] + (", the search" if budget == "short" else "")] = table(some, by, columns)
    return found


def draw(rows: Sequence[Row]) -> dict[str, Figure]:
    """Accuracy against T, one picture for each data set."""
    found: dict[str, Figure] = {}
    whole = [row for row in rows if row["budget"] == "full" and "failed" not in row]
    for name in dict.fromkeys(row["set"] for row in whole):
        groups = grouped([row for row in whole if row["set"] == name], ["arm", "steps"])
        steps = sorted({t for _, t in groups})
        names = [arm for arm in dict.fromkeys(arm for arm, _ in groups) if all((arm, t) in groups for t in steps)]
        series = {arm: [[100 * row["test_accuracy"] for row in groups[arm, t]] for t in steps] for arm in names}
        if series:
            words = [str(t) for t in steps]
            ax = pictures.study(words, series, across="T", up="test accuracy (%)", title=_TITLES[name])
            found[_TITLES[name]] = ax.figure  # pyright: ignore[reportArgumentType]
    return found
