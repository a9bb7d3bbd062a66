"""TRT, temporal regularisation, judged by what it does to the gap between training and test on small sets of events.

Arms: the loss of the mean output, TET's loss of every step, TET with plain L2 (which is TRT with delta 0 and no pull
towards the one-hot class), and TRT; the last two with each strength. No arm has the optimiser's weight decay besides.
Each arm is trained with several seeds on the N-MNIST subset (a small convolutional network) and on Braille letters (the
recurrent network of the recipe `braille`). Validation chooses the epoch; the gap is training minus test accuracy there.

Paper: [zhang2025trt, deng2022tet]
Differs from the papers: small networks and sets. Parameters of norms are decayed as in TRT's own code; learned time
constants, which its networks do not have, are not: under Adam even a weak L2 drives them as fast as the loss does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from snn4.core.errors import OptionError
from snn4.objectives import TemporalDecay, tet, trt
from snn4.recipes import braille
from snn4.recipes.comparison import Experiment
from snn4.recipes.dalif_ablation import experiment_of_set
from snn4.recipes.fixed import settled
from snn4.recipes.options import NeuronOptions, TrainingOptions
from snn4.recipes.search import folder_name
from snn4.recipes.study import Study, study_runner
from snn4.recipes.tables import Cells, Column, Row, grouped, table
from snn4.recipes.trials import Trial, prepared, seeds_of
from snn4.training import Task, evaluate
from snn4.view import pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPECTED", "TITLE", "Config", "arms", "main"]

TITLE = "TRT, temporal regularisation: the gap between training and test on small sets of events"
# the paper names no number for these sets
EXPECTED: dict[str, float] = {}

Set = Literal["nmnist", "braille"]
_TITLES = {"nmnist": "N-MNIST, subset", "braille": "Braille letters"}
_COLUMNS = (
    Column("train_accuracy", "training, %", 100),
    Column("val_accuracy", "validation, %", 100),
    Column("test_accuracy", "test, %", 100),
    Column("gap", "gap, points", 100),
    Column("train_loss", "training loss", 1, 3),
    Column("test_loss", "test loss", 1, 3),
    Column("cpu_seconds", "training, CPU s", 1, 0),
)


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the study."""

    seed: int = 0
    """The first seed."""
    seeds: int = 3
    """How many, counted up from the first."""
    sets: tuple[Set, ...] = ("nmnist", "braille")
    """Data sets."""
    epochs: int = 40
    """Passes over the training split of N-MNIST."""
    braille_epochs: int = 120
    """Passes over that of Braille."""
    limit: int | None = None
    """Use only so many training samples."""
    strengths: tuple[float, ...] = (5e-5, 5e-4)
    """lambda, of L2 and of TRT; the paper's for sets of events is 5e-5."""
    delta: float = 0.5
    """How fast TRT's decay loosens with time."""
    eta: float = 0.05
    """Share of TRT's pull towards the one-hot class."""
    steps: int = 10
    """Time steps on N-MNIST; Braille has its own 76."""
    channels: tuple[int, ...] = (16, 32, 32)
    """Channels of the stages of convolution, on N-MNIST."""
    hidden: tuple[int, ...] = (64,)
    """Widths of the hidden dense layers, on N-MNIST."""
    neuron: NeuronOptions = dataclasses.field(default_factory=lambda: NeuronOptions(surrogate="triangle"))
    """On N-MNIST; those of Braille are its recipe's."""
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(batch_size=64, weight_decay=0.0, threads=1)
    )
    """On Braille with the learning rate of its recipe."""

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(
            seeds=1, sets=("nmnist",), epochs=1, limit=64, strengths=(5e-5,), steps=2, channels=(4, 8), hidden=(16,)
        )


@dataclasses.dataclass(frozen=True)
class _One:
    """The options of one trial."""

    seed: int
    epochs: int
    limit: int | None
    steps: int
    neuron: NeuronOptions
    train: TrainingOptions
    channels: tuple[int, ...] = ()
    hidden: tuple[int, ...] = ()


Change = Callable[[Task], Task]


def arms(config: Config, steps: int) -> Iterator[tuple[str, str, Change]]:
    """What is compared on a set: name, strength as a word, and what it makes of the usual task.

    Args:
        config: the study's options.
        steps: T of the set.
    """
    yield "mean", "", lambda task: task

    def every_step(task: Task) -> Task:
        return dataclasses.replace(task, objective=lambda ys, targets: tet(ys, targets, weight=0.0))

    yield "TET", "", every_step
    for strength in config.strengths:
        static = TemporalDecay(steps, strength, delta=0.0, names=_decayed)
        loosening = TemporalDecay(steps, strength, config.delta, names=_decayed)
        yield (
            "TET, L2",
            f"{strength:g}",
            lambda task, term=static: dataclasses.replace(every_step(task), regulariser=term),
        )
        yield (
            "TRT",
            f"{strength:g}",
            lambda task, term=loosening: dataclasses.replace(
                task, objective=lambda ys, targets: trt(ys, targets, config.eta), regulariser=term
            ),
        )


def _decayed(name: str) -> bool:
    return "bias" not in name and "learned_" not in name


def _set(name: str, config: Config, seed: int) -> tuple[Experiment, _One]:
    """The network and the task of one data set, and the options of a trial on it."""
    if name == "braille":
        usual = braille.Config()
        train = dataclasses.replace(config.train, learning_rate=usual.train.learning_rate)
        one = _One(seed, config.braille_epochs, config.limit, usual.steps, usual.neuron, train)
        return braille.experiment(usual), one
    more = (config.channels, config.hidden)
    one = _One(seed, config.epochs, config.limit, config.steps, config.neuron, config.train, *more)
    return experiment_of_set(name, one), one


def carry_out(study: Study, config: Config) -> dict[str, Any]:
    """Train every arm on every set; write tables, pictures and the page."""
    seeds = seeds_of(config)
    if config.steps < 1 or not config.sets:
        raise OptionError(f"--steps got {config.steps} and --sets {config.sets}", "a number >= 1 and at least one")
    if "nmnist" not in config.sets:
        fields = [f"neuron.{field.name}" for field in dataclasses.fields(config.neuron)]
        settled("trt", config, fields, "Braille has the neurons of its recipe.")
    planned: list[tuple[Trial, Change]] = []
    for name in config.sets:
        for seed in seeds:
            experiment, one = _set(name, config, seed)
            for arm, strength, change in arms(config, one.steps):
                labels = {"set": name, "arm": arm, "strength": strength, "seed": seed}
                planned.append((Trial(folder_name(name, arm, strength, seed), labels, experiment, one), change))
    study.begin()
    rows = [
        study.row(one.name, lambda folder, one=one, change=change: _run(study, one, change, folder), one.labels)
        for one, change in planned
    ]
    return study.end(rows, tables(rows), draw(rows))


main = study_runner("trt", TITLE, carry_out)


def _run(study: Study, trial: Trial, change: Change, folder: Path) -> dict[str, Any]:
    """Train, test once, and measure the training split at the same epoch."""
    config = trial.config
    net, usual, parts = prepared(study, trial)
    how = config.train.fit_config(config.epochs)
    found = study.learn(folder, net, change(usual), parts, how, seed=config.seed)
    # by the loss of the mean answer, as the test split, whatever the arm made small
    trained = evaluate(net, usual, parts[0], seed=config.seed, over_time=False)
    return {
        **found,
        "train_accuracy": trained.accuracy,
        "gap": trained.accuracy - found["test_accuracy"],
        "train_loss": trained.loss,
        "squared_weights": sum(p.detach().square().sum().item() for p in net.parameters() if p.requires_grad),
    }


def tables(rows: Sequence[Row]) -> dict[str, Cells]:
    """One table for each data set."""
    by = {"arm": "arm", "strength": "strength"}
    return {
        _TITLES[name]: table([row for row in rows if row["set"] == name], by, _COLUMNS)
        for name in dict.fromkeys(row["set"] for row in rows)
    }


def draw(rows: Sequence[Row]) -> dict[str, Figure]:
    """The gap of each arm, a picture for each data set."""
    found: dict[str, Figure] = {}
    for name in dict.fromkeys(row["set"] for row in rows):
        some = grouped([row for row in rows if row["set"] == name], ["arm", "strength"])
        values = {
            " ".join(word for word in key if word): [100 * row["gap"] for row in many] for key, many in some.items()
        }
        title = f"{_TITLES[name]}: training minus test"
        ax = pictures.ranking(values, across="gap (points)", marked="mean", title=title)
        found[_TITLES[name]] = ax.figure  # pyright: ignore[reportArgumentType]
    return found
