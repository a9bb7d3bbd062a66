"""The dynamics of learning: gradient mismatch, vanishing gradients and dead neurons, by depth, T and surrogate.

A deep MLP on the 8 x 8 digits, with each surrogate and each T, looked at before training, where all surrogates see the
same network, and after. `snn4.profiling.gradient_flow` and `gradient_mismatch` say what is measured.

Paper: [neftci2019surrogate]
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from snn4.core.errors import OptionError, suggest
from snn4.models import mlp
from snn4.profiling import gradient_flow, gradient_mismatch
from snn4.recipes import members
from snn4.recipes.comparison import Experiment, make_networks, splits
from snn4.recipes.fixed import settled
from snn4.recipes.options import NeuronOptions, TrainingOptions
from snn4.recipes.search import folder_name
from snn4.recipes.study import Study, study_runner
from snn4.recipes.tables import Cells, Column, Row, table
from snn4.recipes.tasks import make_task
from snn4.recipes.trials import Trial, run_trials
from snn4.view import pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPECTED", "TITLE", "Config", "draw", "experiment_of", "main"]

TITLE = "Gradient mismatch, vanishing gradients and dead neurons, by depth, T and surrogate"
# what is measured is what it is
EXPECTED: dict[str, float] = {}

_SAMPLES = 256


@dataclasses.dataclass(frozen=True)
class _Field:
    """A quantity in the pictures.

    Args:
        title: what it is.
        ends: of its colours, the same in every picture, or a panel of the worst would look like one of the best.
        value: its number in the picture.
        text: what is written there.
    """

    title: str
    ends: tuple[float, float]
    value: Callable[[float], float]
    text: Callable[[float], str]


# of a gradient's size, in decades
_SMALLEST, _LARGEST = -12, -2


def _decades(size: float) -> float:
    return math.log10(max(size, 10**_SMALLEST))


def _written(size: float) -> str:
    """No gradient at all leaves the place empty; one too small for the colours is not given a number either."""
    if size <= 0:
        return ""
    return f"≤ {_SMALLEST}" if size <= 10**_SMALLEST else f"{_decades(size):.1f}"


_FIELDS = {
    "size": _Field("log10 of the gradient", (_SMALLEST, _LARGEST), _decades, _written),
    "dead": _Field("dead neurons, %", (0, 100), lambda share: 100 * share, lambda share: f"{100 * share:.0f}"),
    "mismatch": _Field("mismatch", (0, 1.2), lambda value: value, lambda value: f"{value:.2f}"),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the study."""

    seed: int = 0
    """Of everything random."""
    epochs: int = 10
    """Passes over the training split."""
    surrogates: tuple[str, ...] = ()
    """Only these surrogates, by the names of `snn4 list surrogates`; without it all."""
    steps: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of time steps."""
    hidden: tuple[int, ...] = (64,) * 8
    """Widths of the hidden layers: as many as the network is deep."""
    norm: bool = True
    """Whether a batch norm stands before each layer of neurons."""
    directions: int = 16
    """Random directions of each layer's weights along which finite differences are taken."""
    length: float = 0.1
    """Of a direction, in units of the weights."""
    limit: int | None = None
    """Use only so many training samples."""
    neuron: NeuronOptions = dataclasses.field(default_factory=NeuronOptions)
    """Of all networks, but for the surrogate."""
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(batch_size=128, learning_rate=3e-3, threads=1)
    )

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, surrogates=("atan", "rectangle"), steps=(2,), hidden=(8, 8), directions=2, limit=128)


@dataclasses.dataclass(frozen=True)
class _Stepped:
    """The options of one trial: those of the study, with one number of steps."""

    seed: int
    epochs: int
    steps: int
    limit: int | None
    neuron: NeuronOptions
    train: TrainingOptions


def experiment_of(config: Config) -> Experiment:
    """The deep MLP."""

    def build(neuron: Callable[[], torch.nn.Module], steps: int) -> torch.nn.Module:
        return mlp(64, config.hidden, 10, neuron, steps=steps, norm=config.norm)

    words = f"MLP of {len(config.hidden)} hidden layers"
    return Experiment("learning_dynamics", TITLE, "digits", 0.15, words, build, EXPECTED)


def carry_out(study: Study, config: Config) -> dict[str, Any]:
    """Measure, train, measure again; write tables, pictures and the page."""
    known = members.surrogates()
    names = config.surrogates or tuple(known)
    for name in names:
        if name not in known:
            raise OptionError(f"--surrogates got {name!r}", "a surrogate", suggest(name, list(known)))
    if not config.steps or min(config.steps) < 1:
        raise OptionError(f"--steps got {config.steps}", "whole numbers >= 1")
    settled("learning_dynamics", config, ["neuron.surrogate"], "Name them with --surrogates.")
    settled(
        "learning_dynamics", config, ["train.online"], "The gradients that it measures are those of whole sequences."
    )
    study.begin()
    experiment = experiment_of(config)
    trials = [
        _trial(study, config, experiment, name, known[name].__name__, steps) for steps in config.steps for name in names
    ]
    rows = run_trials(study, trials)
    return study.end(rows, tables(rows), draw(rows))


main = study_runner("learning_dynamics", TITLE, carry_out)


def _trial(study: Study, config: Config, experiment: Experiment, name: str, title: str, steps: int) -> Trial:
    neuron = dataclasses.replace(config.neuron, surrogate=name)
    one = _Stepped(config.seed, config.epochs, steps, config.limit, neuron, config.train)
    labels = {"surrogate": title, "steps": steps, "seed": config.seed}

    def tell(net: torch.nn.Module) -> Mapping[str, Any]:
        fresh = make_networks(experiment, one)["snn"]
        return {"start": _measured(study, config, one, fresh), "trained": _measured(study, config, one, net)}

    return Trial(folder_name(title, f"t{steps}", config.seed), labels, experiment, one, tell)


def _measured(study: Study, config: Config, one: _Stepped, net: torch.nn.Module) -> dict[str, list[float]]:
    """Flow and mismatch on training samples; the network's mode is put back."""
    dataset = study.load("digits")
    train, _ = splits(dataset, 0.15, one)
    some = train.take(torch.arange(min(_SAMPLES, len(train))))
    task = make_task(dataset, one.train)
    xs = task.encode(some.inputs, torch.Generator())

    def loss() -> torch.Tensor:
        # a mask of MSG is drawn in the same way each time
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(torch.Generator().manual_seed(config.seed).get_state())
            return task.loss(task.readout(net(xs)), some.targets)

    before = net.training
    buffers = [buffer.clone() for buffer in net.buffers()]
    net.train()
    flow = gradient_flow(net, loss)
    weights = [p for name, p in net.named_parameters() if name.startswith("linear") and p.ndim > 1]
    drawn = torch.Generator().manual_seed(config.seed)
    mismatch = gradient_mismatch(loss, weights, directions=config.directions, length=config.length, generator=drawn)
    net.train(before)
    with torch.no_grad():
        for buffer, old in zip(net.buffers(), buffers, strict=True):
            buffer.copy_(old)
    return {**flow.to_dict(), "mismatch": mismatch}


def _summary(row: Row) -> dict[str, Any]:
    """One row of the table: means over layers, and how many decades the gradient loses in each."""
    found = dict(row)
    for when in ("start", "trained"):
        if when in row:
            many = row[when]
            sizes = many["size"]
            lost = math.log10(sizes[-1] / sizes[0]) / (len(sizes) - 1) if len(sizes) > 1 and min(sizes) > 0 else None
            found |= {
                f"{when}_lost": lost,
                f"{when}_dead": sum(many["dead"]) / len(many["dead"]),
                f"{when}_mismatch": sum(many["mismatch"]) / len(many["mismatch"]),
            }
    return found


def tables(rows: Sequence[Row]) -> dict[str, Cells]:
    """One table for each T."""
    columns = (
        Column("start_mismatch", "mismatch, at the start"),
        Column("trained_mismatch", "mismatch, trained"),
        Column("start_lost", "decades lost a layer, at the start"),
        Column("trained_lost", "decades lost a layer, trained"),
        Column("start_dead", "dead, at the start, %", 100, 1),
        Column("trained_dead", "dead, trained, %", 100, 1),
        Column("val_accuracy", "validation, %", 100),
    )
    return {
        f"T = {steps}": table(
            [_summary(row) for row in rows if row["steps"] == steps], {"surrogate": "surrogate"}, columns
        )
        for steps in dict.fromkeys(row["steps"] for row in rows)
    }


def draw(rows: Sequence[Row]) -> dict[str, Figure]:
    """For each T: gradient size, dead share and mismatch by surrogate and depth, before training and after."""
    from snn4.view.pictures.canvas import figure

    found: dict[str, Figure] = {}
    whole = [row for row in rows if "start" in row]
    for steps in dict.fromkeys(row["steps"] for row in whole):
        some = [row for row in whole if row["steps"] == steps]
        names = [row["surrogate"] for row in some]
        drawing = figure(13.0, 2.4 + 0.36 * len(names))
        for line, when in zip(drawing.subplots(2, 3), ("start", "trained"), strict=True):
            for ax, (key, field) in zip(line, _FIELDS.items(), strict=True):
                values = [[field.value(value) for value in row[when][key]] for row in some]
                texts = [[field.text(value) for value in row[when][key]] for row in some]
                layers = [str(number) for number in range(1, len(values[0]) + 1)]
                words = f"{field.title}, {'at the start' if when == 'start' else 'trained'}, T = {steps}"
                pictures.heat(values, names, layers, ends=field.ends, texts=texts, ax=ax, title=words)
        found[f"T = {steps}"] = drawing
    return found
